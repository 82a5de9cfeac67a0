"""Two models on the same images: which one is better, and whether that is settled."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_pneumo.errors import PredictionsError
from keras_pneumo.evaluation.bootstrap import Estimate, bootstrap_difference
from keras_pneumo.evaluation.intervals import (
    DeLongTest,
    McNemarTest,
    delong_test,
    mcnemar_test,
)
from keras_pneumo.evaluation.metrics import binary_metrics, predicted_labels
from keras_pneumo.evaluation.predictions import Predictions, read_csv
from keras_pneumo.evaluation.thresholds import rounded

LOWER_IS_BETTER = (
    "negative_likelihood_ratio",
    "brier_score",
    "log_loss",
    "expected_calibration_error",
    "adaptive_calibration_error",
)
_EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models a and b on the same images; ``compare`` makes it.

    ``str(comparison)`` is the table of ``to_text``.

    Args:
        names: What to call a and b.
        thresholds: Of a and of b.
        images: How many images both have.
        patients: How many patients they are from.
        values: The metrics of a and those of b, each at its own threshold.
        differences: b - a for each metric, with its interval over patients.
        delong: The test on the areas under the ROC curves; None where only one class is there.
        mcnemar: The test on the errors at the two thresholds.
        level: Of confidence of the intervals.
        resamples: How many times the patients were drawn.
        seed: Of the draws.
    """

    names: tuple[str, str]
    thresholds: tuple[float, float]
    images: int
    patients: int
    values: tuple[Mapping[str, float], Mapping[str, float]]
    differences: Mapping[str, Estimate]
    delong: DeLongTest | None
    mcnemar: McNemarTest
    level: float
    resamples: int
    seed: int

    def __str__(self) -> str:
        """The table of ``to_text``."""
        return self.to_text()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values ready for JSON, None for NaN."""
        of_a, of_b = self.values
        return {
            "images": self.images,
            "patients": self.patients,
            "models": {
                key: {"name": name, "threshold": threshold}
                for key, name, threshold in zip("ab", self.names, self.thresholds, strict=True)
            },
            "bootstrap": {
                "level": self.level,
                "resamples": self.resamples,
                "seed": self.seed,
                "unit": "patient",
            },
            "metrics": {
                name: {
                    "a": _finite(of_a[name]),
                    "b": _finite(of_b[name]),
                    "difference": _finite(found.value),
                    "low": _finite(found.low),
                    "high": _finite(found.high),
                    "reason": found.reason,
                }
                for name, found in self.differences.items()
            },
            "delong": None
            if self.delong is None
            else {name: _finite(value) for name, value in self.delong._asdict().items()},
            "mcnemar": self.mcnemar._asdict(),
        }

    def to_text(self) -> str:
        """Return the comparison as a small table for the terminal, with the tests below it.

        A metric is called settled, in favour of a or b, if the interval of the difference does not
        contain 0.
        """
        percent = f"{100 * self.level:g} %"
        models = [
            f"{key}       {name}, at threshold {rounded(threshold)}"
            for key, name, threshold in zip("ab", self.names, self.thresholds, strict=True)
        ]
        rows = [["", "a", "b", "b − a", f"{percent} interval", ""]]
        for name, found in self.differences.items():
            values = [_number(of_model[name]) for of_model in self.values]
            rows.append([name, *values, *_in_numbers(found), _verdict(name, found)])
        first, *widths, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
        table = [
            "  ".join([name.ljust(first), *map(str.rjust, cells, widths), verdict]).rstrip()
            for name, *cells, verdict in rows
        ]
        return "\n".join(
            [
                *models,
                f"Images  {self.images:,} of {self.patients:,} patients, the same for both",
                "",
                *table,
                "",
                _delong_in_words(self.delong, percent),
                _mcnemar_in_words(self.mcnemar),
                "",
                f"The intervals of the table resample patients ({self.resamples:,} times, seed "
                f"{self.seed}); the tests of DeLong and",
                "McNemar take every image as independent. Not settled: the interval contains 0. "
                "Among so many",
                "metrics, one may look settled by chance.",
            ]
        )


def compare(
    a: Predictions,
    b: Predictions,
    threshold_a: float,
    threshold_b: float,
    *,
    names: tuple[str, str] = ("a", "b"),
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same images of one split, paired image by image.

    Both models find the same images hard, so that their difference is known better than either
    number: intervals that overlap do not say that it is open. Three answers are given:

    - the difference b - a of every metric of ``METRICS``, with an interval from resamples of the
      patients, each drawn for both models at once (``bootstrap_difference``);
    - DeLong's test on the areas under the ROC curves (``delong_test``);
    - McNemar's exact test on the errors at the two thresholds (``mcnemar_test``).

    The two tests take every image as independent of the others, which the images of one patient are
    not. Where they and the resamples disagree, believe the resamples.

    Args:
        a: The predictions of one model.
        b: Those of the other, on the same images; matched by file name, in any order.
        threshold_a: Of model a, in [0, 1].
        threshold_b: Of model b, in [0, 1].
        names: What to call a and b.
        level: Of confidence, in (0, 1).
        resamples: How many times the patients are drawn.
        seed: Of the draws.

    Returns:
        The comparison: ``print`` it, or take its ``to_dict``.

    Raises:
        PredictionsError: A file name occurs twice, the images are not the same, or an image has
            another label or patient in a than in b.
        SettingsError: A threshold or ``level`` is out of range.

    Examples:
        >>> files, patients = ["1", "2", "3", "4"], ["p", "p", "q", "r"]
        >>> a = Predictions([0, 0, 1, 1], [0.1, 0.7, 0.6, 0.9], patients, files)
        >>> b = Predictions([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.9], patients, files)
        >>> found = compare(a, b, 0.5, 0.5)
        >>> found.differences["specificity"].value, found.mcnemar.only_b_right
        (0.5, 1)
    """
    b = _in_the_order_of(a, b)
    called_a = predicted_labels(a.y_score, threshold_a)
    called_b = predicted_labels(b.y_score, threshold_b)
    both_classes = a.y_true.min() != a.y_true.max()
    return Comparison(
        names=names,
        thresholds=(float(threshold_a), float(threshold_b)),
        images=len(a),
        patients=a.n_patients,
        values=(
            binary_metrics(a.y_true, a.y_score, threshold_a),
            binary_metrics(b.y_true, b.y_score, threshold_b),
        ),
        differences=bootstrap_difference(
            a.y_true,
            a.y_score,
            b.y_score,
            threshold_a,
            threshold_b,
            a.patient_id,
            level=level,
            resamples=resamples,
            seed=seed,
        ),
        delong=delong_test(a.y_true, a.y_score, b.y_score, level) if both_classes else None,
        mcnemar=mcnemar_test(a.y_true, called_a, called_b),
        level=level,
        resamples=resamples,
        seed=seed,
    )


def compare_files(
    a: str | Path,
    b: str | Path,
    split: str = "test",
    thresholds: tuple[float, float] | None = None,
    *,
    seed: int = 0,
) -> Comparison:
    """Compare two models by the predictions in their reports.

    Args:
        a: The ``predictions.csv`` of one model.
        b: That of the other.
        split: The split to compare on.
        thresholds: Of a and of b; None takes those in the ``metrics.json`` beside the files.
        seed: As for ``compare``.

    Returns:
        The comparison.

    Raises:
        PredictionsError: A file cannot be read, has no such split, or has no threshold beside it,
            or the images differ.
        SettingsError: A threshold is not in [0, 1].

    Examples:
        ```python
        print(compare_files("runs/a/evaluation/predictions.csv", "others/predictions.csv"))
        ```
    """
    of_a, of_b = thresholds or (_threshold_beside(a), _threshold_beside(b))
    return compare(
        _split_of(a, split), _split_of(b, split), of_a, of_b, names=(str(a), str(b)), seed=seed
    )


def _split_of(path: str | Path, split: str) -> Predictions:
    splits = read_csv(path)
    if split not in splits:
        raise PredictionsError(
            f"Both files must hold the split to compare on. Received: {split!r}; {path} holds "
            f"{', '.join(splits)}. Choose one that both hold."
        )
    return splits[split]


def _threshold_beside(path: str | Path) -> float:
    numbers = Path(path).with_name("metrics.json")
    try:
        return float(json.loads(numbers.read_text(encoding="utf-8"))["threshold"]["value"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PredictionsError(
            f"The threshold of {path} is read from the report it belongs to. {numbers} does not "
            f"have it: {error!r}. Give both thresholds."
        ) from error


def _in_the_order_of(a: Predictions, b: Predictions) -> Predictions:
    for name, found in (("a", a), ("b", b)):
        files, counts = np.unique(found.filename, return_counts=True)
        if (counts > 1).any():
            raise PredictionsError(
                "Each image must be there once, because images are matched by file name. "
                f"More than once in {name}: {_some(files[counts > 1])}. "
                "Compare one split at a time, or write the predictions again."
            )
    only_a, only_b = np.setdiff1d(a.filename, b.filename), np.setdiff1d(b.filename, a.filename)
    if len(only_a) or len(only_b):
        raise PredictionsError(
            "Two models can only be compared on the same images. "
            f"Only in a: {_some(only_a)}; only in b: {_some(only_b)}. "
            "Predict the same split of the same collection with both."
        )
    ascending = np.argsort(b.filename)
    order = ascending[np.searchsorted(b.filename, a.filename, sorter=ascending)]
    b = Predictions(b.y_true[order], b.y_score[order], b.patient_id[order], b.filename[order])
    for what, of_a, of_b in (
        ("label", a.y_true, b.y_true),
        ("patient", a.patient_id, b.patient_id),
    ):
        differing = of_a != of_b
        if differing.any():
            raise PredictionsError(
                f"An image must have the same {what} in a and in b. It differs for: "
                f"{_some(a.filename[differing])}. Make both predictions from the same collection, "
                "read in the same way."
            )
    return b


def _some(files: NDArray[np.str_]) -> str:
    if not len(files):
        return "none"
    more = ", …" if len(files) > _EXAMPLES else ""
    plural = "" if len(files) == 1 else "s"
    return f"{len(files):,} image{plural} ({', '.join(files[:_EXAMPLES])}{more})"


def _verdict(name: str, found: Estimate) -> str:
    if math.isnan(found.low):
        return "no difference" if found.value == 0 else found.reason or "unknown"
    if found.low <= 0 <= found.high:
        return "not settled"
    return f"{'b' if (found.low > 0) != (name in LOWER_IS_BETTER) else 'a'} is better"


def _delong_in_words(test: DeLongTest | None, percent: str) -> str:
    if test is None:
        return "ROC AUC (DeLong): undefined, as only one class is there."
    if test.difference == 0:
        return f"ROC AUC (DeLong): no difference, {_p(test.p_value)}."
    higher = "b" if test.difference > 0 else "a"
    open_ = ", not settled" if test.low <= 0 <= test.high else ""
    return (
        f"ROC AUC (DeLong): {higher} is higher by {abs(test.difference):.4f}{open_}; "
        f"b − a is {_signed(test.low)} to {_signed(test.high)} ({percent}), {_p(test.p_value)}."
    )


def _mcnemar_in_words(test: McNemarTest) -> str:
    return (
        f"Errors (McNemar, exact): only a is right on {test.only_a_right:,} images, only b on "
        f"{test.only_b_right:,}, {_p(test.p_value)}."
    )


def _p(value: float) -> str:
    if math.isnan(value):
        return "p unknown"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _in_numbers(found: Estimate) -> tuple[str, str]:
    ends = "–" if math.isnan(found.low) else f"{_signed(found.low)} to {_signed(found.high)}"
    return _signed(found.value), ends


def _number(value: float) -> str:
    return f"{value:.4f}".replace("-", "−") if math.isfinite(value) else "–"


def _signed(value: float) -> str:
    text = f"{value:+.4f}".replace("-", "−") if math.isfinite(value) else "–"
    return "0.0000" if text in ("+0.0000", "−0.0000") else text


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
