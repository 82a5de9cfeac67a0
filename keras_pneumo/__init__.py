"""Pneumonia on chest X-rays with Keras 3. For research and teaching; not a medical device."""

__version__ = "0.1.0"
