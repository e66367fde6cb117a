"""Original checkpoints to diffusers folders and back, each conversion proved."""
