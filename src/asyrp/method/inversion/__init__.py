"""Ways up from an image to a latent, each with the way down that retraces it."""
