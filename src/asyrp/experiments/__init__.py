"""Comparisons and studies: resumable, on any domain."""
