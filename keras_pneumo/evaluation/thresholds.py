"""The choice of the score from which an image is called PNEUMONIA."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.policies import ThresholdPolicy
from keras_pneumo.evaluation.predictions import labels_and_scores


@dataclass(frozen=True)
class Threshold:
    """A threshold with its origin: a score of at least ``value`` is called PNEUMONIA.

    Args:
        value: In [0, 1].
        policy: The text of the ``ThresholdPolicy`` that chose it.
        chosen_on: The split it was chosen on; "none" for a fixed one.
        interval: The ends of its 95 % interval, always of this level; None where it is not known.
            (NaN, NaN), which ``threshold_interval`` gives then, becomes None.

    Raises:
        SettingsError: A value is not in [0, 1], the ends are in the wrong order, or the policy is
            none.

    Examples:
        >>> Threshold(0.5, "fixed=0.5", "none").to_dict()
        {'value': 0.5, 'policy': 'fixed=0.5', 'chosen_on': 'none', 'interval': None}
    """

    value: float
    policy: str
    chosen_on: str
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check the values and the policy."""
        ThresholdPolicy.parse(self.policy)
        if self.interval is not None and all(map(math.isnan, self.interval)):
            object.__setattr__(self, "interval", None)
        if not 0 <= self.value <= 1:
            raise SettingsError(
                f"The value of a threshold must be in [0, 1], as the scores are. "
                f"Received: {self.value}. Choose one with `choose_threshold`."
            )
        if self.interval is not None and not 0 <= self.interval[0] <= self.interval[1] <= 1:
            raise SettingsError(
                "The interval of a threshold must be two scores in [0, 1], the lower one first. "
                f"Received: {self.interval}. Pass what `threshold_interval` returned, or None."
            )

    def __str__(self) -> str:
        """The value and its origin in a few words."""
        origin = self.policy if self._is_fixed() else f"{self.policy}, chosen on {self.chosen_on}"
        interval = f", {self._interval_in_words()}" if self.interval else ""
        return f"{self.rounded()} ({origin}{interval})"

    def rounded(self) -> str:
        """Return the value for people, as the function ``rounded`` does."""
        return rounded(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return "value", "policy", "chosen_on" and "interval" (a list), ready for JSON."""
        return {
            "value": self.value,
            "policy": self.policy,
            "chosen_on": self.chosen_on,
            "interval": None if self.interval is None else list(self.interval),
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Make a threshold from what ``to_dict`` returned.

        Args:
            given: A mapping with "value", "policy" and "chosen_on", and with "interval" unless it
                was written before there were intervals.

        Returns:
            The threshold.

        Raises:
            SettingsError: A key is missing or unknown, or a value is not what it has to be.
        """
        keys = {"value", "policy", "chosen_on", "interval"}
        if keys - set(given) > {"interval"} or set(given) - keys:
            raise SettingsError(
                f"A threshold must have the keys {sorted(keys)}. Received: {sorted(given)}. "
                "Pass what `Threshold.to_dict` returned."
            )
        ends = given.get("interval")
        interval = None if ends is None else (float(ends[0]), float(ends[1]))
        return cls(float(given["value"]), str(given["policy"]), str(given["chosen_on"]), interval)

    def in_words(self) -> str:
        """Say what the threshold means and where it comes from, in plain sentences.

        Examples:
            >>> Threshold(0.5, "f_beta=2", "validation").in_words().partition(". ")[2]
            'This threshold maximises F-beta with beta = 2 on the validation split.'
        """
        origin = "" if self._is_fixed() else f" on the {self.chosen_on} split"
        interval = f" ({self._interval_in_words()})" if self.interval else ""
        return (
            f"An image is called PNEUMONIA when its score is at least {self.rounded()}{interval}. "
            f"This threshold {ThresholdPolicy.parse(self.policy).in_words()}{origin}."
        )

    def _interval_in_words(self) -> str:
        low, high = map(rounded, self.interval or ())
        return f"95 % interval {low} to {high}"

    def _is_fixed(self) -> bool:
        return ThresholdPolicy.parse(self.policy).name == "fixed"


def choose_threshold(
    y_true: ArrayLike,
    y_score: ArrayLike,
    policy: str | ThresholdPolicy = "youden",
    chosen_on: str = "validation",
) -> Threshold:
    """Choose a threshold by a policy. Choose on validation images, never on those of the test.

    The candidates are the midpoints between neighbouring distinct scores, 0 (every image is called
    PNEUMONIA) and 1 (none is, unless a score is 1 itself). A midpoint, unlike a score, keeps its
    distance from the images on both sides, so that the last digits of a score, which differ from
    one machine or batch size to another, do not decide about an image.

    If several candidates are equally good for "youden", "f_beta" or "cost_ratio", the one in the
    widest gap between scores is chosen, because it is the least sensitive to small changes of the
    scores; among equally wide gaps the lowest, because it misses the fewest patients.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        policy: A ``ThresholdPolicy`` or its text, such as "sensitivity=0.95".
        chosen_on: The name of the split that the images are from.

    Returns:
        The threshold. For a "fixed" policy ``chosen_on`` is "none", since no data were used.

    Raises:
        PredictionsError: The labels or scores are not what they have to be, only one class is
            there (unless the policy is "fixed"), or no threshold reaches the specificity.
        SettingsError: The policy is none.

    Examples:
        >>> choose_threshold([0, 0, 1, 1], [0.1, 0.25, 0.75, 0.9])
        Threshold(value=0.5, policy='youden', chosen_on='validation', interval=None)
    """
    labels, scores = labels_and_scores(y_true, y_score)
    rule = policy if isinstance(policy, ThresholdPolicy) else ThresholdPolicy.parse(policy)
    if rule.name == "fixed":
        return Threshold(float(rule.parameter or 0), str(rule), "none")
    if labels.min() == labels.max():
        only = "PNEUMONIA" if labels[0] else "NORMAL"
        raise PredictionsError(
            f"A threshold can only be chosen on images of both classes. Received: {len(labels)} "
            f"images of {chosen_on}, all {only}. Choose it on another split, or fix it in advance "
            "with the policy 'fixed=0.5'."
        )
    value = float(_choose(labels, scores, rule, np.ones((1, len(labels))))[0])
    if math.isnan(value):
        raise _unreachable(labels, scores, float(rule.parameter or 0))
    return Threshold(value, str(rule), chosen_on)


def choose_in_resamples(
    y_true: ArrayLike, y_score: ArrayLike, policy: str | ThresholdPolicy, weights: ArrayLike
) -> NDArray[np.float64]:
    """Choose a threshold again in each resample of the images, as ``choose_threshold`` would.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        policy: A ``ThresholdPolicy`` or its text, but not a "fixed" one.
        weights: Shape (b, n): how often each image is in each resample, as by
            ``bootstrap.patient_weights``.

    Returns:
        Shape (b,): the thresholds, in [0, 1]; NaN for a resample that lacks a class or cannot reach
        the specificity.

    Raises:
        PredictionsError: The labels or scores are not what they have to be, or the weights do not
            fit them.
        SettingsError: The policy is none, or a "fixed" one, which chooses nothing.

    Examples:
        >>> weights = [[1, 1, 1, 1], [0, 2, 0, 2], [4, 0, 0, 0]]
        >>> choose_in_resamples([0, 0, 1, 1], [0.1, 0.25, 0.75, 1.0], "youden", weights)
        array([0.5  , 0.625,   nan])
    """
    labels, scores = labels_and_scores(y_true, y_score)
    rule = policy if isinstance(policy, ThresholdPolicy) else ThresholdPolicy.parse(policy)
    if rule.name == "fixed":
        raise SettingsError(
            "Only a policy that looks at the data can choose again. "
            f"Received: '{rule}'. A fixed threshold has no interval."
        )
    counts = np.asarray(weights, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[1] != len(labels):
        raise PredictionsError(
            f"`weights` must have the shape (b, n), n = {len(labels)} as for the labels. "
            f"Received: an array of shape {counts.shape}. Pass what `patient_weights` returned."
        )
    return _choose(labels, scores, rule, counts)


def rounded(value: float) -> str:
    """Write a threshold to three digits of its distance from 0 or 1, for people.

    Plain rounding would show the 0.99996 of an overconfident network as 1.

    Args:
        value: In [0, 1].

    Returns:
        Such as "0.877".

    Examples:
        >>> [rounded(value) for value in (0.25, 0.87654, 0.9999612)]
        ['0.25', '0.877', '0.9999612']
    """
    if value <= 0.5 or value == 1:
        return f"{value:.3g}"
    places = 2 - math.floor(math.log10(1 - value))
    return f"{value:.{places}f}".rstrip("0")


class _Candidates(NamedTuple):
    """All thresholds that can differ in their result, in ascending order, in each of b resamples.

    Candidate i calls all images from the i-th of k distinct scores upwards PNEUMONIA, the last one
    none. Where a resample has no image of that score, the candidate is not possible: it does what
    the next one does, which lies in the middle of the gap that the resample has.
    """

    low: NDArray[np.float64]  # (b, k + 1): the score below; -1 if there is none
    high: NDArray[np.float64]  # (k + 1,): the score above; 2 if there is none
    possible: NDArray[np.bool_]  # (b, k + 1)
    tp: NDArray[np.float64]  # (b, k + 1)
    fp: NDArray[np.float64]  # (b, k + 1)


def _choose(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    rule: ThresholdPolicy,
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    chosen = np.full(len(weights), np.nan)
    complete = (weights @ (labels == 1) > 0) & (weights @ (labels == 0) > 0)
    candidates = _candidates(labels, scores, weights[complete])
    suitable, preference = _judged(candidates, rule)
    suitable &= candidates.possible
    best = np.argmax(np.where(suitable, preference, -np.inf), axis=1)
    low = candidates.low[np.arange(len(best)), best]
    value = _between(low, candidates.high[best])
    chosen[complete] = np.where(suitable.any(axis=1), value, np.nan)
    return chosen


def _candidates(
    labels: NDArray[np.int64], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> _Candidates:
    order = np.argsort(scores, kind="stable")
    distinct, first = np.unique(scores[order], return_index=True)
    weights = weights[:, order]
    normal, pneumonia = (
        np.add.reduceat(weights * (labels[order] == label), first, axis=1) for label in (0, 1)
    )
    present = normal + pneumonia > 0
    below = np.maximum.accumulate(np.where(present, distinct, -1.0), axis=1)
    return _Candidates(
        low=np.pad(below, ((0, 0), (1, 0)), constant_values=-1.0),
        high=np.append(distinct, 2.0),
        # If a score is 1 itself, no threshold in [0, 1] is above it.
        possible=np.column_stack([present, below[:, -1] < 1]),
        tp=_from_here_upwards(pneumonia),
        fp=_from_here_upwards(normal),
    )


def _from_here_upwards(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.pad(counts[:, ::-1].cumsum(axis=1)[:, ::-1], ((0, 0), (0, 1)))


def _judged(
    candidates: _Candidates, rule: ThresholdPolicy
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Say which candidates a policy may choose, and which of them it prefers: the highest."""
    number = float(rule.parameter or 0)  # "youden" has no number and needs none
    tp, fp = candidates.tp, candidates.fp
    positives, negatives = tp[:, :1], fp[:, :1]  # the first candidate calls all PNEUMONIA
    ascending = np.arange(tp.shape[1], dtype=np.float64)
    if rule.name == "sensitivity":
        return tp / positives >= number, ascending
    if rule.name == "specificity":
        return (negatives - fp) / negatives >= number, -ascending
    if rule.name == "youden":
        # Sensitivity + specificity − 1, multiplied by both class counts.
        quality = tp * negatives - fp * positives
    elif rule.name == "f_beta":
        quality = (1 + number**2) * tp / (number**2 * positives + tp + fp)
    elif rule.prevalence is None:
        quality = -(number * (positives - tp) + fp)
    else:
        misses = number * rule.prevalence * (positives - tp) / positives
        quality = -(misses + (1 - rule.prevalence) * fp / negatives)
    best = np.where(candidates.possible, quality, -np.inf).max(axis=1, keepdims=True)
    gap = np.minimum(candidates.high, 1) - np.maximum(candidates.low, 0)
    # Costs in decimals that tie on paper may differ in their last digits.
    return np.isclose(quality, best, rtol=1e-12, atol=0), gap


def _between(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the middle of two scores; 0 if there is none below, 1 if there is none above."""
    middle = low + (high - low) / 2
    # Between two neighbouring floats there is no other: the upper one separates them as well.
    middle = np.where(middle > low, middle, high)
    return np.where(low < 0, 0.0, np.where(high > 1, 1.0, middle))


def _unreachable(
    labels: NDArray[np.int64], scores: NDArray[np.float64], target: float
) -> PredictionsError:
    negatives = int((labels == 0).sum())
    at_one = int((scores[labels == 0] == 1).sum())
    return PredictionsError(
        f"A threshold in [0, 1] must exist that reaches a specificity of {target}. The highest "
        f"that can be reached is {1 - at_one / negatives:.4g}: {at_one} of {negatives} "
        "NORMAL images have a score of exactly 1. Ask for less, or choose another policy."
    )
