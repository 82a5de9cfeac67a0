"""How far scores can be read as probabilities: observed shares of PNEUMONIA by score."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.predictions import labels_and_scores

STRATEGIES = ("uniform", "quantile")


class Reliability(NamedTuple):
    """The points of a reliability diagram, one per bin that holds an image, by ascending score.

    Attributes:
        mean_score: float64, shape (k,): mean score of the images in the bin, in [0, 1].
        observed: float64, shape (k,): share of PNEUMONIA among them, in [0, 1].
        images: int64, shape (k,): how many they are, at least 1.
    """

    mean_score: NDArray[np.float64]
    observed: NDArray[np.float64]
    images: NDArray[np.int64]


def reliability(
    y_true: ArrayLike, y_score: ArrayLike, bins: int = 15, strategy: str = "uniform"
) -> Reliability:
    """Compare the scores with how often they are right, bin by bin.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        bins: How many bins, at least 1; empty ones are left out of the result.
        strategy: "uniform" for bins of equal width, or "quantile" for bins of about equally many
            images. See ``uniform_bins`` and ``quantile_bins``.

    Returns:
        Mean score, share of PNEUMONIA and number of images of each bin.

    Raises:
        PredictionsError: The labels or scores are not what they have to be.
        SettingsError: There is no bin, or the strategy is unknown.

    References:
        A. Niculescu-Mizil and R. Caruana, Predicting good probabilities with supervised learning,
        ICML 2005.

    Examples:
        >>> found = reliability([0, 0, 1, 1], [0.1, 0.3, 0.8, 1.0], bins=2)
        >>> found.mean_score, found.observed, found.images
        (array([0.2, 0.9]), array([0., 1.]), array([2, 2]))
    """
    labels, scores = labels_and_scores(y_true, y_score)
    if strategy not in STRATEGIES:
        raise SettingsError(
            f"`strategy` must be one of {', '.join(map(repr, STRATEGIES))}. Received: "
            f"{strategy!r}. Choose 'uniform' for bins of equal width."
        )
    if strategy == "uniform":
        bin_of = uniform_bins(scores, bins)
    else:
        _, position, count = np.unique(scores, return_inverse=True, return_counts=True)
        bin_of = quantile_bins(count.astype(np.float64), bins)[position]
    images = np.bincount(bin_of)
    filled = images > 0
    return Reliability(
        np.bincount(bin_of, weights=scores)[filled] / images[filled],
        np.bincount(bin_of, weights=labels)[filled] / images[filled],
        images[filled],
    )


def expected_calibration_error(y_true: ArrayLike, y_score: ArrayLike, bins: int = 15) -> float:
    """Mean distance between score and share of PNEUMONIA over bins of equal width.

    It is ``sum(images / n * abs(observed - mean_score))`` over the bins of ``reliability``. Chance
    alone puts a perfectly calibrated model above 0, the more so the fewer images a bin holds.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        bins: How many bins, at least 1.

    Returns:
        In [0, 1]; 0 is best.

    Raises:
        PredictionsError: The labels or scores are not what they have to be.
        SettingsError: There is no bin.

    References:
        M. P. Naeini, G. F. Cooper and M. Hauskrecht, Obtaining well calibrated probabilities using
        Bayesian binning, AAAI 2015.
        C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On calibration of modern neural networks,
        ICML 2017; 15 bins are theirs. Theirs is on the confidence in the called class, this on the
        probability of PNEUMONIA.

    Examples:
        >>> round(expected_calibration_error([0, 0, 1, 1], [0.1, 0.3, 0.8, 1.0], bins=2), 4)
        0.15
    """
    return _mean_distance(reliability(y_true, y_score, bins, "uniform"))


def adaptive_calibration_error(y_true: ArrayLike, y_score: ArrayLike, bins: int = 15) -> float:
    """Mean distance between score and share of PNEUMONIA over bins of about equally many images.

    Where most scores are close to 0 or 1, bins of equal width put them all into two; these do not.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        bins: How many bins, at least 1.

    Returns:
        In [0, 1]; 0 is best.

    Raises:
        PredictionsError: The labels or scores are not what they have to be.
        SettingsError: There is no bin.

    References:
        J. Nixon, M. W. Dusenberry, L. Zhang, G. Jerfel and D. Tran, Measuring calibration in deep
        learning, CVPR Workshops 2019.

    Examples:
        >>> round(adaptive_calibration_error([0, 1, 0, 1], [0.91, 0.92, 0.96, 0.97], bins=2), 4)
        0.44
    """
    return _mean_distance(reliability(y_true, y_score, bins, "quantile"))


def uniform_bins(scores: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Find the bin of each score among bins of equal width on [0, 1].

    Args:
        scores: Any shape, in [0, 1].
        bins: How many bins, at least 1.

    Returns:
        int64 in the shape of ``scores``, in [0, bins): a score on a border is in the upper bin, 1.0
        in the last.

    Raises:
        SettingsError: There is no bin.

    Examples:
        >>> uniform_bins(np.array([0.0, 0.49, 0.5, 1.0]), bins=2)
        array([0, 0, 1, 1])
    """
    _require_bins(bins)
    return np.minimum(scores * bins, bins - 1).astype(np.int64)


def quantile_bins(weight: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Find the bin of each distinct score among bins of about equal weight.

    Images with the same score stay together, so that the order of the images does not matter: a
    distinct score belongs where the middle of its weight falls.

    Args:
        weight: Shape (..., m): the images at each distinct score, by ascending score; not negative.
        bins: How many bins, at least 1.

    Returns:
        int64 in the shape of ``weight``, in [0, bins), ascending along the last axis. All 0 where
        the weights of a row are all 0.

    Raises:
        SettingsError: There is no bin.

    Examples:
        >>> quantile_bins(np.array([1.0, 1.0, 4.0, 1.0, 1.0]), bins=4)
        array([0, 0, 2, 3, 3])
    """
    _require_bins(bins)
    up_to = weight.cumsum(axis=-1)
    total = np.broadcast_to(up_to[..., -1:], weight.shape)
    share = np.zeros_like(up_to)
    np.divide(bins * (up_to - weight / 2), total, out=share, where=total > 0)
    return np.minimum(share, bins - 1).astype(np.int64)


def _mean_distance(found: Reliability) -> float:
    distance = np.abs(found.observed - found.mean_score)
    return float(np.average(distance, weights=found.images))


def _require_bins(bins: int) -> None:
    if bins < 1:
        raise SettingsError(
            f"`bins` must be 1 or more. Received: {bins}. 15 is what is mostly reported."
        )
