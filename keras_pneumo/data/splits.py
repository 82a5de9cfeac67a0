"""Splits that keep every child on one side.

Which file names belong to one child cannot be told for certain, so groups are formed by the naive
reading (``Record``), which is safe under both.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from keras_pneumo.data.duplicates import identical_files
from keras_pneumo.data.layout import CLASS_NAMES, Collection, Record
from keras_pneumo.errors import DataError, SettingsError


def split_by_patient(
    collection: Collection, *, fraction: float = 0.1, seed: int = 0
) -> list[Record]:
    """Split a collection into train, validation and test without dividing a child.

    A collection with split folders keeps its ``test`` records as they are; all others, those of
    ``val`` included, are divided anew into train and validation. A folder of class folders is
    divided into train, validation and test. Children who share an identical file stay together.

    Args:
        collection: The collection. Files of equal size are read, to find the identical ones.
        fraction: The share of the images held out, for each held-out split. See
            ``grouped_split``.
        seed: Another seed gives another split; the same seed gives the same one.

    Returns:
        The records with their ``split`` replaced, sorted by filename.

    Raises:
        SettingsError: ``fraction`` is not in (0, 0.5], or leaves nothing for training.
        DataError: A class has too few children.
    """
    fixed = [record for record in collection.records if record.split == "test"]
    free = [record for record in collection.records if record.split != "test"]
    if collection.layout == "class_folders":
        names: tuple[str, ...] = ("train", "validation", "test")
    else:
        names = ("train", "validation")
    divided = grouped_split(
        free, names=names, fraction=fraction, seed=seed, identical=identical_files(free)
    )
    return sorted(fixed + divided, key=lambda record: record.filename)


def grouped_split(
    records: Iterable[Record],
    *,
    names: Sequence[str] = ("train", "validation"),
    fraction: float = 0.1,
    seed: int = 0,
    identical: Iterable[Sequence[Record]] = (),
) -> list[Record]:
    """Divide records among splits, by child, stratified by label and aetiology.

    The records are cut into k = ``round(1 / fraction)`` folds of about equal size by
    ``sklearn.model_selection.StratifiedGroupKFold``. Each name but the first gets one fold,
    the first gets the rest; so a held-out split has about 1/k of the images: ``fraction=0.15``
    gives 1/7, ``fraction=0.4`` gives 1/2. An aetiology with fewer than k images is stratified
    with the most frequent one of its label.

    Args:
        records: The records. Neither their order nor their present ``split`` matters.
        names: The splits; the first one keeps what is not held out.
        fraction: The share of the images in each held-out split, in (0, 0.5].
        seed: Another seed gives another split; the same seed gives the same one.
        identical: Groups of records that have one content, such as those of
            ``identical_files``. Their children are not divided.

    Returns:
        The records with their ``split`` replaced, sorted by filename.

    Raises:
        SettingsError: ``fraction`` is not in (0, 0.5], or leaves nothing for the first name.
        DataError: A class has fewer than k children, or a few children have nearly all its images.

    Examples:
        >>> from pathlib import Path
        >>> records = [
        ...     Record(Path(name), name, None, label, aetiology, name, "")
        ...     for label, aetiology in (("NORMAL", "none"), ("PNEUMONIA", "virus"))
        ...     for name in (f"{label}/child{number}.png" for number in range(10))
        ... ]
        >>> Counter((record.split, record.label) for record in grouped_split(records, fraction=0.2))
        Counter({('train', 'NORMAL'): 8, ('train', 'PNEUMONIA'): 8, \
('validation', 'NORMAL'): 2, ('validation', 'PNEUMONIA'): 2})
    """
    records = sorted(records, key=lambda record: record.filename)
    folds = _fold_count(fraction, names)
    child_of_patient = _unite(records, identical)
    children = np.array([child_of_patient[record.patient_id] for record in records])
    _require_children(records, children, folds)

    # Shuffled here and not by StratifiedGroupKFold, whose own shuffle loses the stratification
    # in older releases. The held-out folds are drawn too, since the largest group is always in
    # the first one.
    rng = np.random.default_rng(seed)
    _, codes = np.unique(children, return_inverse=True)
    shuffled = rng.permutation(codes.max() + 1)[codes]
    splitter = StratifiedGroupKFold(n_splits=folds)
    parts = [part for _, part in splitter.split(records, _strata(records, folds), shuffled)]
    split = np.full(len(records), names[0], dtype=object)
    for name, fold in zip(names[1:], rng.permutation(folds), strict=False):
        split[parts[fold]] = name

    divided = [replace(record, split=name) for record, name in zip(records, split, strict=True)]
    _require_every_class(divided, names)
    return divided


def _fold_count(fraction: float, names: Sequence[str]) -> int:
    if not 0 < fraction <= 0.5:
        raise SettingsError(
            f"`fraction`, the share of each held-out split, must be in (0, 0.5]. Received: "
            f"{fraction}. 0.1 holds out a tenth."
        )
    folds = round(1 / fraction)
    if folds < len(names):
        raise SettingsError(
            f"The held-out splits must leave something for {names[0]!r}. Received: `fraction` "
            f"{fraction} for each of {', '.join(names[1:])}. Choose at most 1/{len(names)}."
        )
    return folds


def _unite(records: Iterable[Record], identical: Iterable[Sequence[Record]]) -> dict[str, str]:
    """Map every patient to one representative of all patients they share a file with."""
    parent = {record.patient_id: record.patient_id for record in records}

    def representative(patient: str) -> str:
        while parent[patient] != patient:
            patient = parent[patient]
        return patient

    for same in identical:
        for record in same[1:]:
            parent[representative(record.patient_id)] = representative(same[0].patient_id)
    return {patient: representative(patient) for patient in parent}


def _strata(records: Sequence[Record], folds: int) -> list[str]:
    counts = Counter((record.label, record.aetiology) for record in records)
    # most_common() is descending and the last one wins, so reversed it keeps the most frequent.
    main = {label: aetiology for (label, aetiology), _ in reversed(counts.most_common())}
    return [
        f"{record.label} {record.aetiology}"
        if counts[record.label, record.aetiology] >= folds
        else f"{record.label} {main[record.label]}"
        for record in records
    ]


def _require_children(records: Sequence[Record], children: np.ndarray, folds: int) -> None:
    of_label = {
        label: {
            child for record, child in zip(records, children, strict=True) if record.label == label
        }
        for label in CLASS_NAMES
    }
    counts = {label: len(found) for label, found in of_label.items()}
    if min(counts.values()) < folds:
        raise DataError(
            f"Holding out 1/{folds} by patient needs at least {folds} patients of each class. "
            f"Found: {counts}. Add images, or hold out a greater share."
        )


def _require_every_class(records: Iterable[Record], names: Iterable[str]) -> None:
    counts = Counter((record.split, record.label) for record in records)
    for name in names:
        for label in CLASS_NAMES:
            if not counts[name, label]:
                raise DataError(
                    f"Every split needs images of both classes. {name!r} got none of {label}, "
                    "since a few patients have nearly all of them. Hold out a greater share, "
                    "or try another seed."
                )
