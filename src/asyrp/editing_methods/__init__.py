"""The rivals of the paper's first figure, each a small function on the same network."""
