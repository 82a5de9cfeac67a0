"""The models: images to probabilities."""
