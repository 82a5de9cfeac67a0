"""Parts of a collection of chest X-rays, or of one that is drawn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_pneumo.data.layout import Record, read_collection
from keras_pneumo.data.phantom import write_phantom_collection
from keras_pneumo.errors import SettingsError


def read_records(data: Path | None, n_images: int, work: Path) -> list[Record]:
    """List at least ``n_images`` of a collection, or of one that is drawn into ``work``."""
    if data is None:
        data = work / "phantoms"
        if not data.exists():
            # It has half as many images for test as for training.
            write_phantom_collection(data, n_images=2 * n_images // 3 + 1)
    # Not the few images of ``val``: in a part, they would lack a class.
    records = [one for one in read_collection(data).records if one.split != "validation"]
    if len(records) < n_images:
        raise SettingsError(
            f"A benchmark takes at most the images for training and test. Received: {n_images:,}; "
            f"{data} has {len(records):,}. Ask for fewer."
        )
    return records


def link_part(records: Sequence[Record], n_images: int, folder: Path) -> Path:
    """Make a collection of ``n_images`` links, spread over the records."""
    for position in np.linspace(0, len(records) - 1, n_images).round().astype(int):
        link = folder / records[position].filename
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(records[position].path)
    return folder
