"""What a collection holds, counted."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from keras_pneumo.data.audit_text import as_text
from keras_pneumo.data.duplicates import alike
from keras_pneumo.data.integrity import Measured, measure
from keras_pneumo.data.layout import (
    AETIOLOGIES,
    CLASS_NAMES,
    Collection,
    Record,
    fingerprint,
    read_collection,
)

# The two readings of a file name, see Record.
_READINGS: dict[str, Callable[[Record], str]] = {
    "naive": lambda record: record.patient_id,
    "per_series": lambda record: record.series_patient,
}


@dataclass(frozen=True)
class Audit:
    """The files of a collection, each read once.

    Attributes:
        collection: The collection.
        fingerprint: Its ``fingerprint`` when it was read.
        files: One entry for each of its records, in their order.
    """

    collection: Collection
    fingerprint: str
    files: tuple[Measured, ...]

    @property
    def readable(self) -> list[Measured]:
        """The files that are whole images; all counts are of these."""
        return [file for file in self.files if file.problem is None]

    def to_dict(self) -> dict[str, Any]:
        """Give the counts as nested dicts of JSON types.

        Returns:
            A dict with these keys: ``root``, ``layout``, ``fingerprint``; ``images``, the number
            of readable ones; ``splits``, for each split and for ``"all"`` the counts by class,
            aetiology and series; ``sizes``, in pixels; ``left_out``, file names by reason;
            ``identical_files``; ``patients_in_two_splits``, for each pair of splits. Patients
            are counted under both readings, ``naive`` and ``per_series``, see
            ``Record``.
        """
        records = [file.record for file in self.readable]
        return {
            "root": str(self.collection.root),
            "layout": self.collection.layout,
            "fingerprint": self.fingerprint,
            "images": len(records),
            "splits": {name: _describe(part) for name, part in by_split(records).items()},
            "sizes": _sizes(self.readable),
            "left_out": self._left_out(),
            "identical_files": _identical(self.readable),
            "patients_in_two_splits": _shared_patients(records),
        }

    def to_text(self) -> str:
        """Give the counts as tables to read on a terminal, 80 columns wide unless names are long.

        Returns:
            Several lines without a trailing newline.
        """
        return as_text(self.to_dict())

    def _left_out(self) -> dict[str, list[str]]:
        pairs = [(one.path, one.reason) for one in self.collection.skipped]
        pairs += [(file.record.path, file.problem) for file in self.files if file.problem]
        left_out: dict[str, list[str]] = {}
        for path, reason in sorted(pairs):
            name = path.relative_to(self.collection.root).as_posix()
            # What follows a colon differs from file to file.
            left_out.setdefault(reason.partition(":")[0], []).append(name)
        return dict(sorted(left_out.items()))


def audit(data_dir: str | Path, *, progress: bool = False) -> Audit:
    """Read every file of a collection once and count what is there.

    Args:
        data_dir: A folder as ``read_collection`` takes it.
        progress: Show a progress bar on stderr, if that is a terminal.

    Returns:
        The audit.

    Raises:
        LayoutError: The folder is no collection.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("NORMAL/IM-0115-0001.jpeg", "PNEUMONIA/person23_virus_53.jpeg"):
        ...     (folder / name).parent.mkdir()
        ...     Image.new("L", (40, 30)).save(folder / name)
        >>> found = audit(folder).to_dict()
        >>> found["splits"]["all"]["classes"]["PNEUMONIA"]["images"]
        1
        >>> found["identical_files"]["groups"]
        [['NORMAL/IM-0115-0001.jpeg', 'PNEUMONIA/person23_virus_53.jpeg']]
    """
    collection = read_collection(data_dir)
    identity = fingerprint(collection)
    return Audit(collection, identity, tuple(measure(collection.records, progress=progress)))


def by_split(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Sort records by their split, in the order train, validation, test, and then ``"all"``.

    Only splits that exist are there; a folder of class folders has ``"all"`` alone.
    """
    records = list(records)
    parts = {
        name: [record for record in records if record.split == name]
        for name in ("train", "validation", "test")
    }
    return {name: part for name, part in parts.items() if part} | {"all": records}


def _describe(records: list[Record]) -> dict[str, Any]:
    series = sorted({record.series for record in records})
    return {
        **_count(records),
        "classes": {
            label: _count(record for record in records if record.label == label)
            for label in CLASS_NAMES
        },
        "aetiologies": {
            aetiology: _count(record for record in records if record.aetiology == aetiology)
            for aetiology in AETIOLOGIES
        },
        "series": {
            name: _count(record for record in records if record.series == name) for name in series
        },
    }


def _count(records: Iterable[Record]) -> dict[str, int]:
    records = list(records)
    patients = {
        f"patients_{reading}": len({patient(record) for record in records})
        for reading, patient in _READINGS.items()
    }
    return {"images": len(records), **patients}


def _sizes(files: list[Measured]) -> dict[str, dict[str, float]]:
    sides = {"width": [file.width for file in files], "height": [file.height for file in files]}
    return {
        side: {"min": min(pixels), "median": float(np.median(pixels)), "max": max(pixels)}
        for side, pixels in sides.items()
        if pixels
    }


def _identical(files: list[Measured]) -> dict[str, Any]:
    groups = alike((file.sha256, file.record) for file in files)

    def across(key: Callable[[Record], Any]) -> int:
        return sum(len({key(record) for record in group}) > 1 for group in groups)

    across_splits = across(lambda record: record.split)
    return {
        "images": sum(map(len, groups)),
        "groups_within_a_split": len(groups) - across_splits,
        "groups_across_splits": across_splits,
        "groups_across_patients": across(_READINGS["naive"]),
        "groups_across_classes": across(lambda record: record.label),
        "groups": [[record.filename for record in group] for group in groups],
    }


def _shared_patients(records: list[Record]) -> list[dict[str, Any]]:
    return list(_shared_by_pair(by_split(records)))


def _shared_by_pair(splits: dict[str, list[Record]]) -> Iterator[dict[str, Any]]:
    for one, other in combinations([name for name in splits if name != "all"], 2):
        shared = {
            f"patients_{reading}": len(
                set(map(patient, splits[one])) & set(map(patient, splits[other]))
            )
            for reading, patient in _READINGS.items()
        }
        yield {"splits": [one, other], **shared}
