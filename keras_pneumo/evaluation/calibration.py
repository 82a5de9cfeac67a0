"""Scores become probabilities: one number, or one rising curve, fitted on held-out images."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.predictions import labels_and_scores

# The temperatures of trained networks lie well inside.
_LOWEST, _HIGHEST = 0.05, 20.0

# The distance of 1 from the next lower float32: what a float32 sigmoid rounds away.
_FLOAT32_GAP = float(np.finfo(np.float32).epsneg)


class Temperature(NamedTuple):
    """What ``fit_temperature`` found.

    Attributes:
        value: What logits are to be divided by, above 0: over 1 if the scores were too extreme,
            below 1 if they were too timid.
        log_loss_before: Mean log loss of the scores as they were, in nats.
        log_loss_after: Mean log loss at ``value``, in nats; at most ``log_loss_before``.
        reason: Why no temperature could be fitted and ``value`` is 1; None if one was.
    """

    value: float
    log_loss_before: float
    log_loss_after: float
    reason: str | None


def fit_temperature(y_true: ArrayLike, y_score: ArrayLike) -> Temperature:
    """Find the temperature at which scores have the lowest log loss.

    A score of 0 or 1 has no finite logit. A float32 sigmoid rounds to 1 what is less than 2**-24
    away; scores are therefore first clipped to [2**-24, 1 - 2**-24], the same distance on both
    sides so that both classes are treated alike. Where many scores are that extreme, fit on the
    logits that they come from with ``fit_temperature_to_logits``, which does the rest here.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].

    Returns:
        The temperature, and the log loss of the clipped scores without and with it.

    Raises:
        PredictionsError: The labels or scores are not what they have to be.

    Examples:
        Of the images at each score, as many are PNEUMONIA as a logit half as large would say:

        >>> y_true = [1] * 3 + [0] + [0] * 3 + [1]
        >>> found = fit_temperature(y_true, [0.9] * 4 + [0.1] * 4)
        >>> round(found.value, 6), found.reason
        (2.0, None)
    """
    labels, scores = labels_and_scores(y_true, y_score)
    return fit_temperature_to_logits(labels, logit(scores.clip(_FLOAT32_GAP, 1 - _FLOAT32_GAP)))


def fit_temperature_to_logits(y_true: ArrayLike, logits: ArrayLike) -> Temperature:
    """Find the temperature at which ``sigmoid(logits / temperature)`` has the lowest log loss.

    Fit on images that had no part in training the weights, such as a validation split. The log loss
    is convex in 1 / T, so that there is one lowest point, where its slope crosses zero
    (``scipy.optimize.brentq``). If that is not between 0.05 and 20, T is 1 and ``reason`` says why.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        logits: Shape (n,): finite numbers, above 0 for PNEUMONIA.

    Returns:
        The temperature, and the log loss without and with it.

    Raises:
        PredictionsError: The labels are not 0 and 1, a logit is not finite, or the shapes differ.

    References:
        C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On calibration of modern neural networks,
        ICML 2017.

    Examples:
        >>> found = fit_temperature_to_logits([1, 1, 1, 0], [10, 10, 10, 10])
        >>> round(10 / found.value, 3)  # the logit of 3 in 4
        1.099
    """
    given = np.asarray(logits, np.float64)
    labels, _ = labels_and_scores(y_true, expit(given))
    if not np.isfinite(given).all():
        raise PredictionsError(
            f"Each logit must be a finite number. Received: {given[~np.isfinite(given)][0]} "
            f"({int((~np.isfinite(given)).sum())} such entries of {len(given)}). Look at the "
            "training if they are infinite; pass scores to `fit_temperature` if they are 0 or 1."
        )

    def slope(log_temperature: float) -> float:
        # Of the log loss over 1 / T; over log T it has its zero at the same place.
        return float(np.mean((expit(given / np.exp(log_temperature)) - labels) * given))

    before = _log_loss(labels, given)
    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    if labels.min() == labels.max():
        only = "PNEUMONIA" if labels[0] else "NORMAL"
        return Temperature(1.0, before, before, f"all images are {only}")
    if slope(high) >= 0:
        reason = (
            f"the log loss still falls at T = {_HIGHEST:g}: "
            "the scores are hardly better than guessing"
        )
        return Temperature(1.0, before, before, reason)
    if slope(low) <= 0:
        reason = (
            f"the log loss still falls at T = {_LOWEST:g}: "
            "no image, or hardly any, is on the wrong side of 0.5"
        )
        return Temperature(1.0, before, before, reason)
    value = float(np.exp(brentq(slope, low, high)))
    return Temperature(value, before, _log_loss(labels, given / value), None)


def scale_temperature(y_score: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Divide the logits of scores by a temperature: ``sigmoid(logit(score) / temperature)``.

    The order of the scores stays, and 0, 0.5 and 1 stay what they are. Scaling the result by
    ``1 / temperature`` gives the scores back, as far as float64 can hold the result.

    Args:
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        temperature: Above 0: over 1 brings scores closer to 0.5, below 1 further away from it.

    Returns:
        float64, shape (n,): in [0, 1].

    Raises:
        PredictionsError: The scores are not what they have to be.
        SettingsError: The temperature is not a finite number above 0.

    References:
        C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On calibration of modern neural networks,
        ICML 2017.

    Examples:
        >>> scale_temperature([0.1, 0.5, 0.9], 2).round(4)
        array([0.25, 0.5 , 0.75])
    """
    require_temperature(temperature)
    return expit(logit(_checked(y_score)) / float(temperature))


def require_temperature(temperature: float) -> None:
    """Refuse what logits cannot be divided by.

    Args:
        temperature: A finite number above 0.

    Raises:
        SettingsError: It is not.
    """
    if not 0 < temperature < np.inf:
        raise SettingsError(
            f"`temperature` must be a finite number above 0. Received: {temperature!r}. "
            "Fit one with `fit_temperature`, or pass 1 for none."
        )


def fit_isotonic(
    y_true: ArrayLike, y_score: ArrayLike
) -> Callable[[ArrayLike], NDArray[np.float64]]:
    """Fit a rising curve from scores to probabilities.

    It needs more images than a temperature, a thousand or so, and makes ties: scores on one step of
    the curve get the same probability. That of ``sklearn.isotonic.IsotonicRegression``; scores
    beyond those it was fitted on get the probability of the nearest of them.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].

    Returns:
        A function from scores in [0, 1], shape (n,), to float64 probabilities in [0, 1] of that
        shape. Fitted on one class alone, it says 0 or 1 of every image.

    Raises:
        PredictionsError: The labels or scores are not what they have to be.

    References:
        B. Zadrozny and C. Elkan, Transforming classifier scores into accurate multiclass
        probability estimates, KDD 2002.

    Examples:
        >>> calibrated = fit_isotonic([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.9])
        >>> calibrated([0.0, 0.4, 0.5, 1.0])
        array([0. , 0.5, 0.5, 1. ])
    """
    labels, scores = labels_and_scores(y_true, y_score)
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels)

    def calibrated(y_score: ArrayLike) -> NDArray[np.float64]:
        return curve.predict(_checked(y_score))

    return calibrated


def _log_loss(labels: NDArray[np.int64], logits: NDArray[np.float64]) -> float:
    # Without the sigmoid between, which rounds large logits to 1.
    return float(np.mean(np.logaddexp(0, logits) - labels * logits))


def _checked(y_score: ArrayLike) -> NDArray[np.float64]:
    # Labels that mean nothing, so that the scores are checked as everywhere else.
    return labels_and_scores(np.zeros(max(np.size(y_score), 1)), y_score)[1]
