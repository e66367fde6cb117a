"""The domain photographs-64: aligned photographs of faces, 64 x 64."""
