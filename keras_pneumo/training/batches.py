"""Batches of cached features."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Batches of cached features, for ``fit`` and ``predict``.

    The positions of an epoch are spread over the views: image i is seen in view
    ``(epoch + i) % views``, so that every epoch has some of each, and an image another one each
    time.

    Args:
        features: An array for each view, with a row for each image.
        labels: int64 array, a label for each row; None for features alone.
        order: Positions of the rows in the order in which they are read.
        batch_size: Rows in a batch.
        epoch: Number of the epoch, from 0.
    """

    def __init__(
        self,
        features: Sequence[np.ndarray],
        labels: np.ndarray | None,
        order: np.ndarray,
        batch_size: int,
        epoch: int = 0,
    ) -> None:
        super().__init__()
        self._features, self._labels, self._order = features, labels, order
        self._batch_size, self._epoch = batch_size, epoch

    def __len__(self) -> int:
        """Number of batches; the last one may be smaller."""
        return math.ceil(len(self._order) / self._batch_size)

    def __getitem__(self, number: int) -> Any:
        """Features, float32, and labels of one batch."""
        rows = self._order[number * self._batch_size : (number + 1) * self._batch_size]
        views = (self._epoch + rows) % len(self._features)
        features = np.stack(
            [self._features[view][row] for view, row in zip(views, rows, strict=True)]
        ).astype("float32")
        return features if self._labels is None else (features, self._labels[rows])
