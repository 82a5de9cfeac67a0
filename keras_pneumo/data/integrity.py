"""Whether image files can be read whole, with what is learnt on the way."""

import hashlib
import io
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from keras_pneumo.data.layout import Record, Skipped


@dataclass(frozen=True, slots=True)
class Measured:
    """One image file, as found on the disk.

    Attributes:
        record: The record of the file.
        sha256: The SHA-256 of its bytes, 64 hexadecimal digits; empty if it cannot be opened.
        width: In pixels, 0 if the file cannot be read.
        height: In pixels, 0 if the file cannot be read.
        mean: The mean grey level in [0, 255], NaN if the file cannot be read.
        problem: None for a whole image; otherwise ``"empty file"``, ``"not an image"``,
            ``"truncated or corrupt: ..."`` or ``"cannot be opened: ..."``.
    """

    record: Record
    sha256: str
    width: int = 0
    height: int = 0
    mean: float = math.nan
    problem: str | None = None


def unreadable(records: Sequence[Record], *, progress: bool = False) -> list[Skipped]:
    """Find the files that cannot be decoded to their end.

    Args:
        records: The records to check.
        progress: Show a progress bar on stderr, if that is a terminal.

    Returns:
        One entry for each bad file, in the order of the records; see ``Measured`` for the
        reasons.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> _ = path.write_bytes(b"no picture")
        >>> [found.reason for found in unreadable([Record(path, "a.png", None, "NORMAL", *"nas")])]
        ['not an image']
    """
    return [
        Skipped(file.record.path, file.problem)
        for file in measure(records, progress=progress)
        if file.problem
    ]


def measure(records: Sequence[Record], *, progress: bool = False) -> list[Measured]:
    """Read every file once: its hash, its size, its mean grey level, and whether it is whole.

    A JPEG is decoded at an eighth of its size, which still reads all of its data and takes a few
    milliseconds per megapixel. Errors of the data that leave a complete image are not seen.

    Args:
        records: The records to read.
        progress: Show a progress bar on stderr, if that is a terminal.

    Returns:
        One entry for each record, in their order.
    """
    # Pillow and hashlib release the interpreter's lock; more threads than this wait for the disk.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        measured = pool.map(_measure_one, records)
        bar = {"disable": None if progress else True, "unit": " files", "desc": "Reading"}
        return list(tqdm(measured, total=len(records), **bar))


def _measure_one(record: Record) -> Measured:
    try:
        contents = record.path.read_bytes()
    except OSError as error:
        return Measured(record, "", problem=f"cannot be opened: {error.strerror}")
    sha256 = hashlib.sha256(contents).hexdigest()
    if not contents:
        return Measured(record, sha256, problem="empty file")
    try:
        image = Image.open(io.BytesIO(contents), formats=("JPEG", "PNG"))
        width, height = image.size
        image.draft("L", (width // 8, height // 8))
        mean = _mean_grey(image)
    except Image.UnidentifiedImageError:
        return Measured(record, sha256, problem="not an image")
    # Pillow's PNG reader raises a SyntaxError for a broken chunk.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Measured(record, sha256, problem=f"truncated or corrupt: {error}")
    return Measured(record, sha256, width, height, mean)


def _mean_grey(image: Image.Image) -> float:
    if image.mode.startswith("I"):  # 16 bits, which convert("L") would clip instead of scale
        return float(np.asarray(image).mean()) / 257
    return float(np.asarray(image.convert("L")).mean())
