"""Where the lungs are on a radiograph: a small segmentation network, its use and its training."""
