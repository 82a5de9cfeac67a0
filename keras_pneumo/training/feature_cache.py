"""What a frozen prefix gives for each image, computed once and kept on disk.

A cache is a folder named after a fingerprint of all that its numbers depend on, so that a stale one
is never read. In it lie ``key.json``, ``validation.npy`` and one file for each augmented view of
the training images. A file has its name when it is whole; until then, ``view-0.partial.npy`` and
``view-0.rows`` say how far it is, and an interrupted cache goes on from there.
"""

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from keras_pneumo.errors import OutputError, TrainingError
from keras_pneumo.files import replacing

logger = logging.getLogger(__name__)

KEY_FILE = "key.json"
KEEP_FILE = "keep"
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
        return sum(map(self._bytes, self.parts))

    @property
    def still_needed(self) -> int:
        """How many bytes of the disk it has not taken yet."""
        files = {part: (self._file(part), self._partial(part)) for part in self.parts}
        new = [part for part, paths in files.items() if not any(path.exists() for path in paths)]
        return sum(map(self._bytes, new))

    def read(self, part: str) -> np.ndarray:
        """Return one part, memory-mapped: ``(rows, *shape)``."""
        return np.load(self._file(part), mmap_mode="r")

    def fill(self, source: Source, key: Mapping[str, Any]) -> None:
        """Compute what is not there yet; wait if another training is computing it.

        Args:
            source: Gives the features of a part, in batches.
            key: What the numbers depend on, for people who look at the folder.

        Raises:
            OutputError: The disk has not the room for a part. It is not computed.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with _locked(self.directory / "lock"):
            missing = [part for part in self.parts if not self._file(part).exists()]
            with replacing(self.directory / KEY_FILE) as temporary:
                temporary.write_text(json.dumps(dict(key), indent=2) + "\n", encoding="utf-8")
            total = sum(self.parts[part] for part in missing)
            hide = None if missing else True
            with tqdm(total=total, desc="Features", unit="img", disable=hide) as bar:
                for part in missing:
                    self._write(part, source, bar)

    def keep(self) -> None:
        """Mark the folder, so that ``delete`` leaves it, also at the end of another training."""
        (self.directory / KEEP_FILE).touch()

    def delete(self) -> None:
        """Delete the folder, unless it is to be kept."""
        if not (self.directory / KEEP_FILE).exists():
            shutil.rmtree(self.directory, ignore_errors=True)

    def _bytes(self, part: str) -> int:
        return self.parts[part] * math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def _partial(self, part: str) -> Path:
        return self._file(f"{part}.partial")

    def _file(self, part: str) -> Path:
        return self.directory / f"{part}.npy"

    def _write(self, part: str, source: Source, bar: Any) -> None:
        rows, partial = self.parts[part], self._partial(part)
        progress = self.directory / f"{part}.rows"
        safe = int(progress.read_text()) if progress.exists() else 0
        array = np.lib.format.open_memmap(
            partial, "r+" if safe else "w+", np.dtype(self.dtype), (rows, *self.shape)
        )
        _reserve(partial)
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


def require_room(caches: Iterable[FeatureCache]) -> None:
    """Raise if the disk has not the room for what these caches have not taken of it yet.

    Raises:
        OutputError: It has not; the message says how much is needed, and where.
    """
    caches = list(caches)
    needed = sum(cache.still_needed for cache in caches)
    for cache in caches:
        folders = (cache.directory, *cache.directory.parents)
        free = shutil.disk_usage(next(path for path in folders if path.exists())).free
        if needed > free:
            raise _no_room(cache.directory.parent, needed, free)


def _reserve(path: Path) -> None:
    # Otherwise a disk that others fill meanwhile would kill the process, without a word.
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            size = path.stat().st_size
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                free = shutil.disk_usage(path.parent).free
                raise _no_room(path.parent.parent, size, free) from error


def _no_room(root: Path, needed: float, free: float) -> OutputError:
    return OutputError(
        f"The features that are computed once need {_gigabytes(needed)} on disk. {root} has "
        f"{_gigabytes(free)} left. Give another folder (`cache_dir`, --cache-dir), ask for fewer "
        "views, or train without the cache (`cache=False`, --no-cache), which takes longer."
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("Another training computes the features of %s: waiting for it.", path.parent)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def fingerprint(key: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that stand for all values of a key."""
    text = json.dumps(dict(key), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
