"""What `asyrp bench` measures: speed, FLOPs, memory and their growth, beside the official order."""
