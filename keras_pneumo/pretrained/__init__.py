"""A saved model as a folder: described, found, published; without Keras."""
