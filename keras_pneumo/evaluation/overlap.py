"""What two splits share: a file never, a patient only where that is known and said."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from keras_pneumo.errors import PredictionsError
from keras_pneumo.evaluation.predictions import Predictions

_SHOWN = 3


def require_different_files(predictions: Mapping[str, Predictions]) -> None:
    """Refuse predictions in which one file is in two splits.

    Args:
        predictions: The predictions by the name of their split.

    Raises:
        PredictionsError: A file name is in two splits.

    Examples:
        >>> one = Predictions([0, 1], [0.1, 0.9], ["a", "b"], ["1.jpeg", "2.jpeg"])
        >>> two = Predictions([0, 1], [0.2, 0.8], ["c", "d"], ["3.jpeg", "4.jpeg"])
        >>> require_different_files({"validation": one, "test": two})
    """
    for pair, files in _in_two(predictions, "filename"):
        raise PredictionsError(
            "No file may be in two splits, or what is judged on one is known from the other. "
            f"{' and '.join(pair)} share {len(files):,}: {_some(files)}. Leave them out of one of "
            "the two, or evaluate the splits in reports of their own."
        )


def count_shared_patients(
    predictions: Mapping[str, Predictions], *, allowed: bool
) -> list[dict[str, Any]]:
    """Count the patients that two splits share.

    Args:
        predictions: The predictions by the name of their split.
        allowed: Count them rather than refuse them.

    Returns:
        For each pair of splits that share patients, "splits", the two names, and "patients", their
        number.

    Raises:
        PredictionsError: A patient is in two splits, and ``allowed`` is False.

    Examples:
        >>> one = Predictions([0, 1], [0.1, 0.9], ["a", "b"], ["1.jpeg", "2.jpeg"])
        >>> two = Predictions([0, 1], [0.2, 0.8], ["b", "c"], ["3.jpeg", "4.jpeg"])
        >>> count_shared_patients({"validation": one, "test": two}, allowed=True)
        [{'splits': ['validation', 'test'], 'patients': 1}]
    """
    shared = []
    for pair, patients in _in_two(predictions, "patient_id"):
        if not allowed:
            raise PredictionsError(
                "No patient may be in two splits, or what is judged on one is known from the "
                f"other. {' and '.join(pair)} share {len(patients):,}: {_some(patients)}. Split by "
                "patient, or pass `allow_shared_patients=True` where an official split is kept as "
                "it is; the report then counts and states them."
            )
        shared.append({"splits": list(pair), "patients": len(patients)})
    return shared


def _in_two(
    predictions: Mapping[str, Predictions], column: str
) -> Iterator[tuple[tuple[str, str], list[str]]]:
    values = {split: getattr(found, column) for split, found in predictions.items()}
    for pair in combinations(values, 2):
        shared = np.intersect1d(values[pair[0]], values[pair[1]])
        if len(shared):
            yield pair, shared.tolist()


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
