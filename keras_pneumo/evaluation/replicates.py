"""The metrics of many reweighted copies of the same predictions at once.

A resample of a bootstrap, or a leave-one-out of a jackknife, is the same images with other weights.
So the scores are sorted once, and every metric becomes a few sums of weights.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_pneumo.errors import PredictionsError
from keras_pneumo.evaluation.metrics import predicted_labels, require_metrics
from keras_pneumo.evaluation.predictions import labels_and_scores
from keras_pneumo.evaluation.reliability import quantile_bins, uniform_bins

_Array = NDArray[np.float64]
_Formulas = dict[str, Callable[[], _Array]]

# Numbers in one block: 8 MB as float64; about ten such arrays are there at a time.
_BLOCK = 2**20
_CALIBRATION_BINS = 15


class _Images(NamedTuple):
    """Images by ascending score."""

    labels: _Array  # (n,), 0 or 1
    scores: _Array  # (n,)
    first: NDArray[np.int64]  # (m,): where each distinct score begins


def replicate_metrics(
    y_true: ArrayLike,
    y_score: ArrayLike,
    threshold: float,
    weights: ArrayLike,
    names: Iterable[str] | None = None,
    prevalence: float | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Compute the metrics of ``binary_metrics`` for many weightings of the same images.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        threshold: In [0, 1]; a score of at least this is called PNEUMONIA.
        weights: Shape (b, n): how often each image counts in each replicate; finite, not negative.
        names: The metrics to compute, of ``METRICS``; None for all. The fewer, the faster.
        prevalence: As for ``binary_metrics``.

    Returns:
        float64, shape (b,), for each name: what scikit-learn gives with this ``sample_weight``; NaN
        where the definition divides by zero.

    Raises:
        PredictionsError: The labels, scores or weights are not what they have to be.
        SettingsError: The threshold is not in [0, 1], the prevalence not in (0, 1), or a name is
            unknown.

    Examples:
        >>> weights = [[1, 1, 1, 1], [2, 0, 1, 1], [0, 0, 1, 3]]
        >>> found = replicate_metrics([0, 0, 1, 1], [0.1, 0.7, 0.6, 0.9], 0.5, weights)
        >>> found["specificity"]
        array([0.5, 1. , nan])
        >>> found["roc_auc"]
        array([0.75, 1.  ,  nan])
    """
    labels, scores = labels_and_scores(y_true, y_score)
    wanted = require_metrics(names, prevalence)
    checked = _checked(weights, len(labels))
    order = np.argsort(scores, kind="stable")
    labels, scores = labels[order], scores[order]
    cell = np.eye(4)[2 * labels + predicted_labels(scores, threshold)]
    first = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    images = _Images(labels.astype(np.float64), scores, first)
    found = {name: np.empty(len(checked)) for name in wanted}
    for rows in row_blocks(*checked.shape):
        block = checked[rows].take(order, axis=1)
        tn, fp, fn, tp = (block @ cell).T
        formulas = (
            _at_threshold(tn, fp, fn, tp, prevalence)
            | _of_ranks(images, block)
            | _of_probabilities(images, block)
        )
        for name in wanted:
            found[name][rows] = formulas[name]()
    return found


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Cut a large matrix into blocks of rows that take little memory.

    Args:
        rows: How many rows the matrix has.
        columns: How many columns it has, at least 1.

    Yields:
        Slices of at least one row each, in order.

    Examples:
        >>> list(row_blocks(5, 400_000))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, _BLOCK // columns)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _at_threshold(
    tn: _Array, fp: _Array, fn: _Array, tp: _Array, prevalence: float | None
) -> _Formulas:
    pneumonia, normal = tp + fn, tn + fp
    recall, missed = _ratio(tp, pneumonia), _ratio(fn, pneumonia)
    specificity, false_alarms = _ratio(tn, normal), _ratio(fp, normal)
    formulas: _Formulas = {
        "accuracy": lambda: _ratio(tp + tn, pneumonia + normal),
        "precision": lambda: _ratio(tp, tp + fp),
        "recall": lambda: recall,
        "specificity": lambda: specificity,
        "npv": lambda: _ratio(tn, tn + fn),
        "f1": lambda: _ratio(2 * tp, 2 * tp + fp + fn),
        "f2": lambda: _ratio(5 * tp, 5 * tp + fp + 4 * fn),
        "balanced_accuracy": lambda: (recall + specificity) / 2,
        "mcc": lambda: _ratio(
            tp * tn - fp * fn, np.sqrt(pneumonia * normal) * np.sqrt((tp + fp) * (tn + fn))
        ),
        "positive_likelihood_ratio": lambda: _ratio(recall, false_alarms),
        "negative_likelihood_ratio": lambda: _ratio(missed, specificity),
    }
    if prevalence is not None:
        sick, well = prevalence, 1 - prevalence
        formulas |= {
            "ppv_at_prevalence": lambda: _ratio(sick * recall, sick * recall + well * false_alarms),
            "npv_at_prevalence": lambda: _ratio(
                well * specificity, well * specificity + sick * missed
            ),
        }
    return formulas


def _of_ranks(images: _Images, block: _Array) -> _Formulas:
    @cache
    def by_score() -> tuple[_Array, _Array]:
        pneumonia = _by_score(images, block * images.labels)
        return _by_score(images, block) - pneumonia, pneumonia

    return {
        "roc_auc": lambda: _roc_auc(*by_score()),
        "average_precision": lambda: _average_precision(*by_score()),
    }


def _roc_auc(normal: _Array, pneumonia: _Array) -> _Array:
    """The share of pairs in the right order; a pair of equal scores is half in order."""
    lower = normal.cumsum(axis=1) - normal / 2
    in_order = np.einsum("bm,bm->b", pneumonia, lower)
    return _ratio(in_order, pneumonia.sum(axis=1) * normal.sum(axis=1))


def _average_precision(normal: _Array, pneumonia: _Array) -> _Array:
    """The precision down to each score, weighted by the recall that the score adds."""
    from_top = pneumonia[:, ::-1]
    found = from_top.cumsum(axis=1)
    called = found + normal[:, ::-1].cumsum(axis=1)
    # Nothing is called above the highest score that has a weight; it adds no recall either.
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    average = _ratio(np.einsum("bm,bm->b", from_top, precision), found[:, -1])
    return np.where(normal.any(axis=1), average, np.nan)


def _of_probabilities(images: _Images, block: _Array) -> _Formulas:
    labels, scores = images.labels, images.scores
    total = block.sum(axis=1)

    def mean(loss: _Array) -> _Array:
        return _ratio(block @ loss, total)

    def expected_calibration_error() -> _Array:
        bin_of = np.eye(_CALIBRATION_BINS)[uniform_bins(scores, _CALIBRATION_BINS)]
        distance = block @ (bin_of * (labels - scores)[:, np.newaxis])
        return _ratio(np.abs(distance).sum(axis=1), total)

    def adaptive_calibration_error() -> _Array:
        bin_of = quantile_bins(_by_score(images, block), _CALIBRATION_BINS)
        # Number the bins of all replicates through, so that one count fills them all.
        bin_of += _CALIBRATION_BINS * np.arange(len(block))[:, np.newaxis]
        distance = np.bincount(
            bin_of.ravel(),
            weights=_by_score(images, block * (labels - scores)).ravel(),
            minlength=len(block) * _CALIBRATION_BINS,
        ).reshape(len(block), -1)
        return _ratio(np.abs(distance).sum(axis=1), total)

    # As scikit-learn clips, so that one certain error is not infinite.
    tiny = np.finfo(np.float64).eps
    right = np.clip(np.where(labels == 1, scores, 1 - scores), tiny, 1 - tiny)
    return {
        "brier_score": lambda: mean((scores - labels) ** 2),
        "log_loss": lambda: mean(-np.log(right)),
        "expected_calibration_error": expected_calibration_error,
        "adaptive_calibration_error": adaptive_calibration_error,
    }


def _by_score(images: _Images, of_images: _Array) -> _Array:
    """Add up what belongs to images with the same score: (b, n) to (b, m)."""
    if len(images.first) == len(images.scores):
        return of_images
    return np.add.reduceat(of_images, images.first, axis=1)


def _ratio(part: _Array, whole: _Array) -> _Array:
    undefined = np.full(np.shape(whole), np.nan)
    return np.divide(part, whole, out=undefined, where=whole > 0)


def _checked(weights: ArrayLike, n_images: int) -> _Array:
    checked = np.asarray(weights, dtype=np.float64)
    if checked.ndim != 2 or checked.shape[1] != n_images:
        raise PredictionsError(
            f"`weights` must have the shape (b, {n_images}), one column per image. Received: an "
            f"array of shape {checked.shape}. Draw them with `patient_weights`."
        )
    if not (np.isfinite(checked).all() and (checked >= 0).all()):
        raise PredictionsError(
            "`weights` must be finite and not negative. Received: one that is not. "
            "Draw them with `patient_weights`."
        )
    return checked
