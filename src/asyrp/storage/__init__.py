"""Files: atomic writes, safetensors, images and where they come from, results."""
