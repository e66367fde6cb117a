"""Intervals, tables and figures of results."""
