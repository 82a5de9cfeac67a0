"""What other thresholds would do: a table of usual targets, and how sure each threshold is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.bootstrap import Estimate, bootstrap_metrics, patient_weights
from keras_pneumo.evaluation.intervals import require_level
from keras_pneumo.evaluation.policies import ThresholdPolicy
from keras_pneumo.evaluation.predictions import Predictions, labels_and_scores, require_splits
from keras_pneumo.evaluation.replicates import row_blocks
from keras_pneumo.evaluation.thresholds import (
    choose_in_resamples,
    choose_threshold,
)

TARGETS = (
    "sensitivity=0.9",
    "sensitivity=0.95",
    "sensitivity=0.99",
    "specificity=0.9",
    "specificity=0.95",
    "specificity=0.99",
)
RATES = ("recall", "specificity", "precision", "npv")

# A percentile of the resamples that happen to work says little if many do not.
_MOST_LEFT_OUT = 0.05


@dataclass(frozen=True, eq=False)
class OperatingPoint:
    """A threshold that a policy chooses, and what it does on each split.

    Args:
        policy: The text of the ``ThresholdPolicy``.
        chosen_on: The split that the threshold was chosen on.
        value: The threshold in [0, 1]; None if the policy cannot be reached.
        interval: The ends of its interval; None where that is not known.
        reason: Why there is no value; None if there is one.
        splits: The rates ``RATES`` by the name of the split; empty without a value.
    """

    policy: str
    chosen_on: str
    value: float | None
    interval: tuple[float, float] | None
    reason: str | None
    splits: Mapping[str, Mapping[str, Estimate]]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values ready for JSON, None for NaN."""
        return {
            "policy": self.policy,
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "chosen_on": self.chosen_on,
            "reason": self.reason,
            "splits": {
                split: {name: estimate.to_dict() for name, estimate in rates.items()}
                for split, rates in self.splits.items()
            },
        }


def operating_points(
    predictions: Mapping[str, Predictions],
    chosen_on: str = "validation",
    policies: Sequence[str] = TARGETS,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> list[OperatingPoint]:
    """Choose a threshold by each of several policies and measure it on every split.

    The rates on the split that the thresholds were chosen on flatter: they are at least the target
    by construction. Those on another split say what the choice is worth. All intervals resample
    patients with all their images; the thresholds are held fixed in those of the rates.

    Args:
        predictions: The predictions by the name of their split.
        chosen_on: The split to choose on, one of ``predictions``.
        policies: The policies, in the order of the table.
        level: Of confidence of all intervals, in (0, 1).
        resamples: How many times the patients are drawn.
        seed: Of the draws.

    Returns:
        One ``OperatingPoint`` per policy. A policy that cannot be reached has no value, but a
        reason.

    Raises:
        PredictionsError: There is no split.
        SettingsError: ``chosen_on`` is not one of the splits, or a policy is none.

    Examples:
        >>> found = Predictions(
        ...     [0, 0, 1, 1], [0.1, 1.0, 0.7, 0.9], ["a", "b", "c", "d"], ["1", "2", "3", "4"]
        ... )
        >>> points = operating_points(
        ...     {"validation": found}, policies=["sensitivity=0.9", "specificity=0.9"]
        ... )
        >>> points[0].value, points[0].splits["validation"]["specificity"].value
        (0.4, 0.5)
        >>> points[1].value, points[1].reason.partition(". ")[0]
        (None, 'A threshold in [0, 1] must exist that reaches a specificity of 0.9')
    """
    require_splits(predictions)
    if chosen_on not in predictions:
        raise SettingsError(
            f"`chosen_on` must be one of the splits {', '.join(map(repr, predictions))}. "
            f"Received: {chosen_on!r}. Predict that split too, or choose on another one."
        )
    drawn = {"level": level, "resamples": resamples, "seed": seed}
    return [_point(predictions, chosen_on, policy, drawn) for policy in policies]


def threshold_interval(
    y_true: ArrayLike,
    y_score: ArrayLike,
    policy: str | ThresholdPolicy,
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Say between what a chosen threshold would lie, had it been chosen on other patients.

    Patients are drawn with replacement, each with all their images, the policy chooses again on
    each draw, and the percentiles of the thresholds are the interval. Draws without a possible
    choice, as those of one class, are left out. If they are more than 5 % of all, the interval is
    not known; nor is there one for a fixed threshold, which no data chose.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        policy: A ``ThresholdPolicy`` or its text, such as "sensitivity=0.95".
        groups: Shape (n,): images of one patient share an entry. None takes each image as a
            patient of its own.
        level: Of confidence, in (0, 1).
        resamples: How many times the patients are drawn.
        seed: Of the draws.

    Returns:
        The lower and the upper end, in [0, 1]; both NaN where the interval is not known.

    Raises:
        PredictionsError: The labels, scores or groups are not what they have to be.
        SettingsError: The policy is none, or ``level`` is not in (0, 1).

    References:
        B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Examples:
        >>> y_true = [0] * 20 + [1] * 20
        >>> y_score = [i / 64 for i in range(40)]
        >>> choose_threshold(y_true, y_score, "sensitivity=0.9").value
        0.3359375
        >>> threshold_interval(y_true, y_score, "sensitivity=0.9")
        (0.296875, 0.375)
    """
    require_level(level)
    rule = policy if isinstance(policy, ThresholdPolicy) else ThresholdPolicy.parse(policy)
    labels, scores = labels_and_scores(y_true, y_score)
    if rule.name == "fixed":
        return math.nan, math.nan
    patients = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if patients.shape != labels.shape:
        raise PredictionsError(
            "`groups` must have one entry per image. "
            f"Received: an array of shape {patients.shape} for {len(labels)} images. "
            "Pass the patient of each image, in the order of the labels."
        )
    weights = patient_weights(patients, resamples, seed)
    chosen = np.concatenate(
        [
            choose_in_resamples(labels, scores, rule, weights[rows])
            for rows in row_blocks(*weights.shape)
        ]
    )
    missing = np.isnan(chosen)
    if missing.mean() > _MOST_LEFT_OUT:
        return math.nan, math.nan
    low, high = np.quantile(chosen[~missing], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _point(
    predictions: Mapping[str, Predictions], chosen_on: str, policy: str, drawn: Mapping[str, Any]
) -> OperatingPoint:
    chooser = predictions[chosen_on]
    try:
        threshold = choose_threshold(chooser.y_true, chooser.y_score, policy, chosen_on)
    except PredictionsError as error:
        return OperatingPoint(policy, chosen_on, None, None, str(error), {})
    interval = threshold_interval(
        chooser.y_true, chooser.y_score, policy, chooser.patient_id, **drawn
    )
    splits = {
        name: bootstrap_metrics(
            found.y_true, found.y_score, threshold.value, found.patient_id, names=RATES, **drawn
        )
        for name, found in predictions.items()
    }
    known = interval if math.isfinite(interval[0]) else None
    return OperatingPoint(threshold.policy, chosen_on, threshold.value, known, None, splits)
