"""The chest X-ray collections, in the folder layout of TensorFlow Datasets."""
