"""Domains: a network, its encoder, distance, judge and images, behind one name."""
