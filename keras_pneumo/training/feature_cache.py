"""What a frozen prefix gives for each image, computed once and kept on disk.

A cache is a folder named after a fingerprint of all that its numbers depend on, so that a stale one
is never read. In it lie ``key.json``, ``validation.npy`` and one file for each augmented view of
the training images. A file has its name when it is whole; until then, ``view-0.partial.npy`` and
``view-0.rows`` say how far it is, and an interrupted cache goes on from there.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from keras_pneumo.errors import OutputError, TrainingError
from keras_pneumo.files import replacing

KEY_FILE = "key.json"
VALIDATION = "validation"

Source = Callable[[str, int], Iterable[np.ndarray]]
"""Gives the features of a part, ``"validation"``, ``"view-0"``, ..., in batches from a row on."""

_ROWS_AT_RISK = 256  # are computed again after an interruption


@dataclass(frozen=True)
class FeatureCache:
    """The features of a training and a validation split, read from memory-mapped files.

    Attributes:
        directory: The folder.
        rows: How many images the training and the validation split have.
        shape: Shape of the features of one image.
        dtype: In which they are stored.
        views: How many augmented views of each training image there are.
    """

    directory: Path
    rows: Mapping[str, int]
    shape: tuple[int, ...]
    dtype: str
    views: int

    @property
    def parts(self) -> dict[str, int]:
        """How many rows each file has, by its name without the suffix."""
        views = {f"view-{view}": self.rows["train"] for view in range(self.views)}
        return {VALIDATION: self.rows["validation"], **views}

    @property
    def size(self) -> int:
        """Size on disk in bytes when it is whole."""
        of_image = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        return of_image * sum(self.parts.values())

    def read(self, part: str) -> np.ndarray:
        """Return one part, memory-mapped: ``(rows, *shape)``."""
        return np.load(self._file(part), mmap_mode="r")

    def fill(self, source: Source, key: Mapping[str, Any]) -> None:
        """Compute what is not there yet.

        Args:
            source: Gives the features of a part, in batches.
            key: What the numbers depend on, for people who look at the folder.

        Raises:
            OutputError: The disk has not the room for it. Nothing is computed.
        """
        missing = [part for part in self.parts if not self._file(part).exists()]
        if not missing:
            return
        self._require_room(missing)
        self.directory.mkdir(parents=True, exist_ok=True)
        with replacing(self.directory / KEY_FILE) as temporary:
            temporary.write_text(json.dumps(dict(key), indent=2) + "\n", encoding="utf-8")
        total = sum(self.parts[part] for part in missing)
        with tqdm(total=total, desc="Features", unit="img", disable=None) as bar:
            for part in missing:
                self._write(part, source, bar)

    def delete(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _file(self, part: str) -> Path:
        return self.directory / f"{part}.npy"

    def _write(self, part: str, source: Source, bar: Any) -> None:
        rows, partial = self.parts[part], self._file(f"{part}.partial")
        progress = self.directory / f"{part}.rows"
        safe = int(progress.read_text()) if progress.exists() else 0
        array = np.lib.format.open_memmap(
            partial, "r+" if safe else "w+", np.dtype(self.dtype), (rows, *self.shape)
        )
        start = safe
        bar.update(start)
        for batch in source(part, start):
            array[start : start + len(batch)] = self._stored(batch, start)
            start += len(batch)
            bar.update(len(batch))
            if start - safe >= _ROWS_AT_RISK:
                array.flush()
                safe = start
                with replacing(progress) as temporary:
                    temporary.write_text(str(safe))
        if start != rows:
            raise TrainingError(
                f"Features of {start} of {rows} images arrived. Train again; if that ends alike, "
                "train without the cache (`cache=False`, --no-cache)."
            )
        array.flush()
        partial.replace(self._file(part))
        progress.unlink(missing_ok=True)

    def _stored(self, batch: np.ndarray, start: int) -> np.ndarray:
        with np.errstate(over="ignore"):  # it is an error below
            stored = batch.astype(self.dtype)
        if not np.isfinite(stored).all():
            raise TrainingError(
                f"Features must be numbers that {self.dtype} can hold. Found others among "
                f"images {start} to {start + len(batch) - 1}. Train with `precision='float32'` "
                "(--precision float32), or with other weights."
            )
        return stored

    def _require_room(self, parts: Iterable[str]) -> None:
        of_image = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        needed = of_image * sum(self.parts[part] for part in parts)
        there = next(path for path in (self.directory, *self.directory.parents) if path.exists())
        free = shutil.disk_usage(there).free
        if needed > free:
            raise OutputError(
                f"The features that are computed once need {_gigabytes(needed)} on disk. "
                f"{self.directory.parent} has {_gigabytes(free)} left. Give another folder "
                "(`cache_dir`, --cache-dir), ask for fewer views, or train without the cache "
                "(`cache=False`, --no-cache), which takes longer."
            )


class Batches(keras.utils.PyDataset):
    """Batches of cached features, for ``fit`` and ``predict``.

    The positions of an epoch are spread over the views: image i is seen in view
    ``(epoch + i) % views``, so that every epoch has some of each, and an image another one each
    time.

    Args:
        cache: The cache, whole.
        labels: int64 array, a label for each row; None for features alone.
        order: Positions of the rows in the order in which they are read.
        batch_size: Rows in a batch.
        epoch: Number of the epoch, from 0; None for the validation split.
    """

    def __init__(
        self,
        cache: FeatureCache,
        labels: np.ndarray | None,
        order: np.ndarray,
        batch_size: int,
        epoch: int | None,
    ) -> None:
        super().__init__()
        parts = [VALIDATION] if epoch is None else [f"view-{view}" for view in range(cache.views)]
        self._features = [cache.read(part) for part in parts]
        self._labels, self._order, self._batch_size = labels, order, batch_size
        self._epoch = epoch or 0

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


def fingerprint(key: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that stand for all values of a key."""
    text = json.dumps(dict(key), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def weights_hash(model: keras.Model) -> str:
    """Return the SHA-256 of all weights of a model, in hexadecimal digits."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def default_root() -> Path:
    """Where caches are kept: ``KERAS_PNEUMO_CACHE``, or ``~/.cache/keras-pneumo``."""
    return Path(os.environ.get("KERAS_PNEUMO_CACHE", "~/.cache/keras-pneumo")).expanduser()


@dataclass(frozen=True)
class StoredCache:
    """A cache that was found in a folder, whole or not.

    Attributes:
        directory: Its folder.
        key: What its numbers depend on.
        size: Bytes on disk.
    """

    directory: Path
    key: Mapping[str, Any]
    size: int

    def delete(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.directory)


def caches(root: Path) -> Iterator[StoredCache]:
    """List the caches of a folder, by their names."""
    for file in sorted(root.glob(f"*/{KEY_FILE}")):
        size = sum(path.stat().st_size for path in file.parent.iterdir())
        yield StoredCache(file.parent, json.loads(file.read_text(encoding="utf-8")), size)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
