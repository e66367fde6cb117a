"""Ways to find a direction."""
