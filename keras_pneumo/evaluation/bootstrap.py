"""Intervals of metrics by drawing the patients again and again.

Images of one patient resemble each other, so they say less than as many images of different
patients. What is drawn with replacement is therefore the patient, with all images.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.intervals import require_level, wilson_interval
from keras_pneumo.evaluation.metrics import (
    binary_metrics,
    predicted_labels,
    require_metrics,
    undefined_reasons,
)
from keras_pneumo.evaluation.predictions import labels_and_scores
from keras_pneumo.evaluation.replicates import replicate_metrics, row_blocks

METHODS = ("bca", "percentile")

_Array = NDArray[np.float64]

_FEWEST_RESAMPLES = 20
_UNDEFINED_AT_MOST = 0.05
# In standard errors. Resampling adds its own noise to a calibration error. Where it moves the error
# further than this, most intervals of either method missed the truth in simulations of 500 images.
_BIAS_AT_MOST = 1.0
# Beyond, patients are left out by the several, so that this takes no longer than the resamples.
_LEFT_OUT_AT_MOST = 2000


class Estimate(NamedTuple):
    """A value with its interval.

    Attributes:
        value: Of the images as they are; NaN if undefined.
        low: The lower end of the interval; NaN if there is none.
        high: The upper end; NaN if there is none.
        method: How the interval was made: "bca", "percentile" or "wilson"; None if there is none.
        reason: Why the value or the interval is NaN; None if neither is.
    """

    value: float
    low: float
    high: float
    method: str | None
    reason: str | None

    def to_dict(self) -> dict[str, float | None]:
        """Return "value", "low" and "high", ready for JSON, with None for NaN."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {name: end if math.isfinite(end) else None for name, end in ends.items()}


def patient_weights(groups: ArrayLike, resamples: int = 2000, seed: int = 0) -> NDArray[np.float64]:
    """Draw as many patients as there are, with replacement, and all their images with them.

    Args:
        groups: Shape (n,): the patient of each image.
        resamples: How often to draw, at least 20.
        seed: Of the random numbers; the same seed draws the same patients.

    Returns:
        float64, shape (resamples, n): how often each image is in each resample.

    Raises:
        PredictionsError: The groups are not flat, or a patient is missing.
        SettingsError: There are too few resamples.

    Examples:
        >>> weights = patient_weights(["a", "a", "b", "c"], resamples=20)
        >>> weights.shape, bool((weights[:, 0] == weights[:, 1]).all())
        ((20, 4), True)
    """
    _require_resamples(resamples)
    return np.concatenate(list(_drawn(_patients(groups, np.size(groups)), resamples, seed)))


def bootstrap_metrics(
    y_true: ArrayLike,
    y_score: ArrayLike,
    threshold: float,
    groups: ArrayLike | None = None,
    *,
    names: Iterable[str] | None = None,
    method: str = "bca",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    prevalence: float | None = None,
) -> dict[str, Estimate]:
    """Compute metrics with their intervals over patients.

    "percentile" takes the middle of the resamples. "bca" moves its ends by the bias and the
    skewness of the metric, the latter found by leaving out one patient at a time; where that is not
    defined, the interval is that of "percentile", and the estimate says so.

    There is no interval, but a reason, where resampling cannot tell one:

    - More than 5 % of the resamples leave the metric undefined; up to 5 % are left out.
    - All resamples give the same value, such as a specificity of 1. Accuracy, precision, recall,
      specificity and npv then get the interval of Wilson, for as many cases as patients have an
      image in the denominator.
    - The resamples are biased by more than a standard error: fewer than 16 % of them are below the
      value, or above it. This is so for the calibration errors of a well calibrated model.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        threshold: In [0, 1]; a score of at least this is called PNEUMONIA. It is taken as given:
            that it was chosen on images adds no width.
        groups: Shape (n,): the patient of each image. None: each image is a patient of its own.
        names: The metrics to compute, of ``METRICS``; None for all.
        method: "bca" or "percentile".
        level: Of confidence, in (0, 1).
        resamples: How often to draw, at least 20.
        seed: Of the random numbers.
        prevalence: As for ``binary_metrics``; adds the predictive values at this prevalence.

    Returns:
        An estimate for each name.

    Raises:
        PredictionsError: The labels, scores or groups are not what they have to be.
        SettingsError: The threshold, a name, the method, the level, the number of resamples or the
            prevalence is not what it has to be.

    References:
        B. Efron, Better bootstrap confidence intervals, Journal of the American Statistical
        Association 82 (1987) 171-185.
        A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), section 3.8
        on drawing clusters.

    Examples:
        >>> y_true, y_score = [0, 0, 0, 1, 1, 1] * 5, [0.1, 0.2, 0.7, 0.6, 0.8, 0.9] * 5
        >>> found = bootstrap_metrics(y_true, y_score, 0.5, names=["roc_auc", "recall"])
        >>> found["roc_auc"].method, round(found["roc_auc"].value, 3)
        ('bca', 0.889)
        >>> found["recall"].method, round(found["recall"].low, 3)
        ('wilson', 0.796)
    """
    labels, scores = labels_and_scores(y_true, y_score)
    wanted = require_metrics(names, prevalence)
    _require_method(method)
    require_level(level)
    _require_resamples(resamples)
    patient = _patients(groups, len(labels))

    def metrics_of(weights: _Array) -> dict[str, _Array]:
        return replicate_metrics(labels, scores, threshold, weights, wanted, prevalence)

    values = binary_metrics(labels, scores, threshold, prevalence, wanted)
    undefined = undefined_reasons(labels, scores, threshold, prevalence)
    drawn = _joined(map(metrics_of, _drawn(patient, resamples, seed)))
    left_out = _joined(map(metrics_of, _left_out(patient))) if method == "bca" else {}
    called = predicted_labels(scores, threshold)
    denominators = {
        "accuracy": labels >= 0,
        "precision": called == 1,
        "recall": labels == 1,
        "specificity": labels == 0,
        "npv": called == 0,
    }
    patients = {name: len(np.unique(patient[images])) for name, images in denominators.items()}
    return {
        name: _undefined(undefined[name])
        if name in undefined
        else _estimate(values[name], drawn[name], level, left_out.get(name), patients.get(name))
        for name in wanted
    }


def bootstrap_difference(
    y_true: ArrayLike,
    y_score_a: ArrayLike,
    y_score_b: ArrayLike,
    threshold_a: float,
    threshold_b: float,
    groups: ArrayLike | None = None,
    *,
    names: Iterable[str] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Compute how much metrics differ between two sets of scores for the same images.

    These may be of two models, or of one model on the images as they are and altered. Both are
    measured on the same resamples, so that what makes a resample easy for both cancels out: the
    interval is narrower than those of the two metrics suggest.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score_a: Shape (n,): probability of PNEUMONIA in [0, 1].
        y_score_b: Shape (n,): the same, of the same images in the same order.
        threshold_a: In [0, 1]; a score of at least this is called PNEUMONIA by a.
        threshold_b: The same for b.
        groups: Shape (n,): the patient of each image. None: each image is a patient of its own.
        names: The metrics to compute, of ``METRICS``; None for all.
        level: Of confidence, in (0, 1).
        resamples: How often to draw, at least 20.
        seed: Of the random numbers.

    Returns:
        An estimate of b − a for each name, with the "percentile" interval, or none with the reasons
        of ``bootstrap_metrics``.

    Raises:
        PredictionsError: The labels, scores or groups are not what they have to be.
        SettingsError: A threshold, a name, the level or the number of resamples is not what it has
            to be.

    References:
        B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Examples:
        >>> y_true = [0, 0, 0, 1, 1, 1] * 5
        >>> a, b = [0.1, 0.2, 0.7, 0.3, 0.8, 0.9] * 5, [0.1, 0.2, 0.4, 0.3, 0.8, 0.9] * 5
        >>> found = bootstrap_difference(y_true, a, b, 0.5, 0.5, names=["specificity", "recall"])
        >>> round(found["specificity"].value, 3), found["specificity"].low > 0
        (0.333, True)
        >>> found["recall"].value, found["recall"].reason
        (0.0, 'all resamples give the same value')
    """
    labels, scores_a = labels_and_scores(y_true, y_score_a)
    labels, scores_b = labels_and_scores(y_true, y_score_b)
    models = {"a": (labels, scores_a, threshold_a), "b": (labels, scores_b, threshold_b)}
    wanted = require_metrics(names, None)
    require_level(level)
    _require_resamples(resamples)
    patient = _patients(groups, len(labels))

    def differences(weights: _Array) -> dict[str, _Array]:
        a, b = (replicate_metrics(*model, weights, wanted) for model in models.values())
        return {name: b[name] - a[name] for name in wanted}

    a, b = (binary_metrics(*model, names=wanted) for model in models.values())
    undefined = {name: undefined_reasons(*model) for name, model in models.items()}
    drawn = _joined(map(differences, _drawn(patient, resamples, seed)))
    found = {}
    for name in wanted:
        reasons = [f"{model}: {of[name]}" for model, of in undefined.items() if name in of]
        found[name] = (
            _undefined("; ".join(reasons))
            if reasons
            else _estimate(b[name] - a[name], drawn[name], level)
        )
    return found


def _estimate(
    value: float,
    replicates: _Array,
    level: float,
    left_out: _Array | None = None,
    patients: int | None = None,
) -> Estimate:
    def without_interval(reason: str) -> Estimate:
        return Estimate(value, math.nan, math.nan, None, reason)

    lost = np.isnan(replicates).mean()
    if lost > _UNDEFINED_AT_MOST:
        return without_interval(f"undefined in {100 * lost:.1f} % of the resamples")
    replicates = replicates[~np.isnan(replicates)]
    if _equal(replicates, replicates[0]).all():
        if patients is None:
            return without_interval("all resamples give the same value")
        low, high = wilson_interval(round(value * patients), patients, level)
        return Estimate(value, low, high, "wilson", None)
    equal = _equal(replicates, value)
    below = equal.mean() / 2 + (~equal & (replicates < value)).mean()
    bias = norm.ppf(below)
    if abs(bias) > _BIAS_AT_MOST:
        return without_interval(f"biased: {100 * below:.1f} % of the resamples are below the value")
    method, tails = "percentile", np.array([(1 - level) / 2, (1 + level) / 2])
    if left_out is not None:
        moved = _moved(tails, bias, left_out)
        if moved is not None:
            method, tails = "bca", moved
    low, high = np.quantile(replicates, tails).tolist()
    return Estimate(value, low, high, method, None)


def _moved(tails: _Array, bias: float, left_out: _Array) -> _Array | None:
    """Correct the tails for bias and acceleration as in Efron (1987); None where undefined."""
    influence = left_out.mean() - left_out
    spread = (influence**2).sum()
    # A metric that is undefined without some patients makes the spread NaN.
    if not spread > 0:
        return None
    acceleration = (influence**3).sum() / (6 * spread**1.5)
    shifted = bias + norm.ppf(tails)
    room = 1 - acceleration * shifted
    if not (room > 0).all():
        return None
    return norm.cdf(bias + shifted / room)


def _undefined(reason: str) -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, None, reason)


def _equal(replicates: _Array, value: float) -> NDArray[np.bool_]:
    # Sums in another order differ in the last digits.
    return np.isclose(replicates, value, rtol=1e-12, atol=1e-15)


def _drawn(patient: NDArray[np.int64], resamples: int, seed: int) -> Iterator[_Array]:
    """Yield the weights of the resamples in blocks, whose size changes no number."""
    rng = np.random.default_rng(seed)
    n_patients = int(patient.max()) + 1
    for rows in row_blocks(resamples, len(patient)):
        n_rows = rows.stop - rows.start
        drawn = rng.integers(n_patients, size=(n_rows, n_patients))
        # Number the patients of all resamples through, so that one count serves them all.
        drawn += n_patients * np.arange(n_rows)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=n_rows * n_patients)
        yield times.reshape(n_rows, n_patients).astype(np.float64)[:, patient]


def _left_out(patient: NDArray[np.int64]) -> Iterator[_Array]:
    part = patient % _LEFT_OUT_AT_MOST
    n_parts = int(part.max()) + 1
    for rows in row_blocks(n_parts, len(patient)):
        yield (np.arange(rows.start, rows.stop)[:, np.newaxis] != part).astype(np.float64)


def _joined(blocks: Iterable[dict[str, _Array]]) -> dict[str, _Array]:
    found = list(blocks)
    return {name: np.concatenate([block[name] for block in found]) for name in found[0]}


def _patients(groups: ArrayLike | None, n_images: int) -> NDArray[np.int64]:
    """Number the patients from 0 in any order."""
    if groups is None:
        return np.arange(n_images)
    names = np.array(groups, dtype=np.str_)
    if names.shape != (n_images,) or n_images == 0:
        raise PredictionsError(
            f"`groups` must have the shape ({n_images},), the patient of each image. Received: an "
            f"array of shape {names.shape}. Pass one patient per image in the order of the scores."
        )
    missing = np.flatnonzero(np.isin(names, ("nan", "None", "<NA>")))
    if len(missing):
        raise PredictionsError(
            "`groups` must name the patient of each image. Received: "
            f"{names[missing[0]]} at position {missing[0]} ({len(missing)} such entries of "
            f"{n_images}). Give each image of an unknown patient a name of its own."
        )
    return np.unique(names, return_inverse=True)[1]


def _require_method(method: str) -> None:
    if method not in METHODS:
        raise SettingsError(
            f"`method` must be one of {', '.join(map(repr, METHODS))}. Received: {method!r}. "
            "Choose 'bca' unless you compare with numbers that are not."
        )


def _require_resamples(resamples: int) -> None:
    if resamples < _FEWEST_RESAMPLES:
        raise SettingsError(
            f"`resamples` must be {_FEWEST_RESAMPLES} or more; fewer have no tails to speak of. "
            f"Received: {resamples}. Pass 2000 for numbers to publish."
        )
