"""Folder to records to TFDS examples to batches."""
