"""Intervals and tests in closed form: for a share, for the area under the ROC curve, for errors.

They take every image as independent of the others. Where patients have several images, the
intervals of ``bootstrap`` are the honest ones; these are quick, exactly repeatable, and what most
publications show.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.predictions import labels_and_scores


class DeLongTest(NamedTuple):
    """The areas under two ROC curves of the same images, and the test of their difference."""

    auc_a: float
    auc_b: float
    difference: float  # b - a
    low: float
    high: float
    p_value: float


class McNemarTest(NamedTuple):
    """The images on which only one of two models is right, and the test of their balance."""

    only_a_right: int
    only_b_right: int
    p_value: float


def wilson_interval(successes: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Give the score interval of Wilson for a share, such as a sensitivity.

    It stays inside [0, 1] and has a width even for 0 of n and n of n, where the resamples of a
    bootstrap are all alike. The cases are taken as independent.

    Args:
        successes: How many cases count, in [0, ``total``].
        total: How many cases there are.
        level: Of confidence, in (0, 1).

    Returns:
        The lower and the upper end, in [0, 1]; both NaN if ``total`` is 0.

    Raises:
        SettingsError: ``successes`` is not in [0, ``total``], or ``level`` not in (0, 1).

    References:
        E. B. Wilson, Probable inference, the law of succession, and statistical inference,
        Journal of the American Statistical Association 22 (1927) 209-212;
        ``scipy.stats.binomtest``.

    Examples:
        >>> low, high = wilson_interval(10, 10)
        >>> round(low, 3), high
        (0.722, 1.0)
    """
    require_level(level)
    if not 0 <= successes <= total:
        raise SettingsError(
            "`successes` must be a count in [0, `total`]. "
            f"Received: {successes} of {total}. Pass the share as two counts."
        )
    if total == 0:
        return math.nan, math.nan
    found = stats.binomtest(successes, total).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def delong_interval(
    y_true: ArrayLike, y_score: ArrayLike, level: float = 0.95
) -> tuple[float, float]:
    """Give the interval of DeLong for the area under the ROC curve.

    It is the area ± a normal quantile times its standard error, clipped to [0, 1]. The images are
    taken as independent; patients are ignored.

    If the standard error is 0, as where the scores separate the classes perfectly, the data say
    nothing about the width of the interval. It is (NaN, NaN) then, rather than a false [1, 1]; so
    it is with a single image of one class, whose variance nobody knows.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA, both present.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        level: Of confidence, in (0, 1).

    Returns:
        The lower and the upper end, in [0, 1], or both NaN.

    Raises:
        PredictionsError: The labels or scores are not what they have to be, or only one class is
            there.
        SettingsError: ``level`` is not in (0, 1).

    References:
        E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Comparing the areas under two or more
        correlated receiver operating characteristic curves: a nonparametric approach,
        Biometrics 44 (1988) 837-845.

    Examples:
        >>> low, high = delong_interval([0, 0, 0, 1, 1, 1], [0.1, 0.3, 0.6, 0.5, 0.8, 0.9])
        >>> round(low, 3), high
        (0.581, 1.0)
    """
    wins = _wins(*labels_and_scores(y_true, y_score))
    return _normal_interval(wins, level, lowest=0.0)


def delong_test(
    y_true: ArrayLike, y_score_a: ArrayLike, y_score_b: ArrayLike, level: float = 0.95
) -> DeLongTest:
    """Test whether two models differ in the area under the ROC curve on the same images.

    The test is paired: it knows that an image that is hard for one model is often hard for the
    other. The images are taken as independent of each other; patients are ignored.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA, both present.
        y_score_a: Shape (n,): probability of PNEUMONIA in [0, 1] by model a.
        y_score_b: Shape (n,): the same by model b, for the same images in the same order.
        level: Of confidence of the interval, in (0, 1).

    Returns:
        Both areas, their difference b - a with its interval in [-1, 1], and the two-sided p-value.
        If the variance of the difference is 0 or unknown (see ``delong_interval``) the interval is
        (NaN, NaN), and the p-value is 1 for a difference of 0 and NaN otherwise.

    Raises:
        PredictionsError: The labels or scores are not what they have to be, or only one class is
            there.
        SettingsError: ``level`` is not in (0, 1).

    References:
        DeLong, DeLong & Clarke-Pearson (1988), as for ``delong_interval``.

    Examples:
        >>> y_true = [0, 0, 0, 1, 1, 1]
        >>> found = delong_test(
        ...     y_true, [0.1, 0.6, 0.7, 0.5, 0.8, 0.3], [0.1, 0.3, 0.6, 0.5, 0.8, 0.9]
        ... )
        >>> round(found.difference, 3), round(found.p_value, 3)
        (0.333, 0.221)
    """
    a = _wins(*labels_and_scores(y_true, y_score_a))
    b = _wins(*labels_and_scores(y_true, y_score_b))
    change = _Wins(b.pneumonia - a.pneumonia, b.normal - a.normal)
    difference, error = change.share(), change.standard_error()
    if error > 0:
        p_value = float(2 * stats.norm.sf(abs(difference) / error))
    else:
        p_value = 1.0 if difference == 0 else math.nan
    interval = _normal_interval(change, level, lowest=-1.0)
    return DeLongTest(a.share(), b.share(), difference, *interval, p_value)


def mcnemar_test(y_true: ArrayLike, called_a: ArrayLike, called_b: ArrayLike) -> McNemarTest:
    """Test whether two models differ in how many of the same images they call right.

    Only the images on which exactly one model is right tell the two apart. If the models err
    equally often, each such image is a fair coin, which gives the exact two-sided p-value. The
    images are taken as independent; patients are ignored.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        called_a: Shape (n,): what model a calls each image, 0 or 1.
        called_b: Shape (n,): the same by model b, for the same images in the same order.

    Returns:
        The number of images on which only a is right, on which only b is, and the p-value; 1 if
        the models are right on the same images.

    Raises:
        PredictionsError: An entry is not 0 or 1, or the lengths differ.

    References:
        Q. McNemar, Note on the sampling error of the difference between correlated proportions or
        percentages, Psychometrika 12 (1947) 153-157; ``scipy.stats.binomtest``.

    Examples:
        >>> mcnemar_test([0, 0, 1, 1, 1], [0, 1, 1, 0, 0], [0, 0, 1, 1, 1])
        McNemarTest(only_a_right=0, only_b_right=3, p_value=0.25)
    """
    right_a = _right("called_a", y_true, called_a)
    right_b = _right("called_b", y_true, called_b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    differing = only_a + only_b
    p_value = float(stats.binomtest(only_a, differing).pvalue) if differing else 1.0
    return McNemarTest(only_a, only_b, p_value)


def require_level(level: float) -> None:
    """Refuse a level of confidence that is none.

    Args:
        level: Of confidence of an interval.

    Raises:
        SettingsError: It is not in (0, 1).
    """
    if not 0 < level < 1:
        raise SettingsError(
            f"`level` must be in (0, 1). Received: {level}. Pass 0.95 for 95 % intervals."
        )


class _Wins(NamedTuple):
    """How often each image is on the right side of one of the other class; a tie is half a win.

    Wins are multiples of 1/2 and not yet divided by the number of opponents, so that floats hold
    them exactly and a variance of 0 comes out as 0.
    """

    pneumonia: NDArray[np.float64]
    normal: NDArray[np.float64]

    def share(self) -> float:
        """Of the won pairs among all: the area under the ROC curve (Mann & Whitney)."""
        return float(self.pneumonia.sum() / (len(self.pneumonia) * len(self.normal)))

    def standard_error(self) -> float:
        """Of the share; NaN where a class has a single image, which has no variance."""
        n_pneumonia, n_normal = len(self.pneumonia), len(self.normal)
        if min(n_pneumonia, n_normal) < 2:
            return math.nan
        variance = (
            np.var(self.pneumonia, ddof=1) / n_normal**2 / n_pneumonia
            + np.var(self.normal, ddof=1) / n_pneumonia**2 / n_normal
        )
        return math.sqrt(variance)


def _wins(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> _Wins:
    # The rank of an image among all, less its rank within its class, counts the images of the
    # other class below it: Sun & Xu, Fast implementation of DeLong's algorithm, IEEE Signal
    # Processing Letters 21 (2014) 1389-1393.
    pneumonia, normal = scores[labels == 1], scores[labels == 0]
    if min(len(pneumonia), len(normal)) == 0:
        only = "PNEUMONIA" if len(pneumonia) else "NORMAL"
        raise PredictionsError(
            "The area under a ROC curve needs images of both classes. "
            f"Received: {len(labels)} images, all {only}. Evaluate a split that has both."
        )
    among_all = stats.rankdata(scores)
    below_pneumonia = among_all[labels == 1] - stats.rankdata(pneumonia)
    below_normal = among_all[labels == 0] - stats.rankdata(normal)
    return _Wins(below_pneumonia, len(pneumonia) - below_normal)


def _normal_interval(wins: _Wins, level: float, lowest: float) -> tuple[float, float]:
    require_level(level)
    share, error = wins.share(), wins.standard_error()
    if not error > 0:
        return math.nan, math.nan
    half = float(stats.norm.ppf((1 + level) / 2)) * error
    return max(share - half, lowest), min(share + half, 1.0)


def _right(name: str, y_true: ArrayLike, called: ArrayLike) -> NDArray[np.bool_]:
    labels, calls = labels_and_scores(y_true, called)
    fine = np.isin(calls, (0, 1))
    if not fine.all():
        first = int(np.argmin(fine))
        raise PredictionsError(
            f"Each entry of `{name}` must be 0 (called NORMAL) or 1 (called PNEUMONIA). Received: "
            f"{calls[first]} at position {first}. Compare scores with a threshold by "
            "`predicted_labels` first."
        )
    return labels == calls
