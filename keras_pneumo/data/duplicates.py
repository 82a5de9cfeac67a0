"""Image files that are byte for byte the same."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import TypeVar

from keras_pneumo.data.layout import Record

Key = TypeVar("Key", bound=Hashable)


def identical_files(records: Iterable[Record]) -> list[list[Record]]:
    """Find the records whose files have the same bytes.

    Only files of equal size are read, since others cannot be the same.

    Args:
        records: The records. Their files must exist.

    Returns:
        The groups of two or more records that share one content, in the order of the records.
    """
    same_size = alike((record.path.stat().st_size, record) for record in records)
    return [group for some in same_size for group in alike((_sha256(one), one) for one in some)]


def alike(keyed: Iterable[tuple[Key, Record]]) -> list[list[Record]]:
    """Group records by a key, leaving out those that are alone with theirs."""
    groups: defaultdict[Key, list[Record]] = defaultdict(list)
    for key, record in keyed:
        groups[key].append(record)
    return [group for group in groups.values() if len(group) > 1]


def _sha256(record: Record) -> str:
    with record.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
