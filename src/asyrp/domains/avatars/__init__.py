"""The built-in world avatars-64: faces, networks, and how they were made."""
