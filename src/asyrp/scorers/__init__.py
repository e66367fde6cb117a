"""Networks that guide and measure: encoders, distances, features, segmentation."""
