"""What calling an image PNEUMONIA is worth, weighed against its false alarms."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.predictions import labels_and_scores

_THRESHOLDS = np.linspace(0, 0.99, 100)


class DecisionCurve(NamedTuple):
    """The net benefit of three ways to decide, over the threshold probability.

    Attributes:
        thresholds: float64, shape (k,): threshold probability, in [0, 1).
        model: float64, shape (k,): net benefit of calling PNEUMONIA what has at least this score.
        treat_all: float64, shape (k,): of calling every image PNEUMONIA.
        treat_none: float64, shape (k,): of calling none, always 0.
    """

    thresholds: NDArray[np.float64]
    model: NDArray[np.float64]
    treat_all: NDArray[np.float64]
    treat_none: NDArray[np.float64]


def net_benefit(
    y_true: ArrayLike, y_score: ArrayLike, thresholds: ArrayLike
) -> NDArray[np.float64]:
    """Compute the net benefit of calling PNEUMONIA what has at least a threshold's score.

    ``tp / n - fp / n * t / (1 - t)``: the PNEUMONIA images found, of all images, less the false
    alarms in the same currency. Who calls PNEUMONIA from a probability t on holds that finding one
    is worth (1 - t) / t false alarms: 9 at t = 0.1, 1 at t = 0.5. That is only meant if scores are
    probabilities, see ``keras_pneumo.evaluation.calibration``, and it is at the share of PNEUMONIA
    among these images, which is mostly higher in a collection than in a clinic.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        thresholds: Shape (k,): threshold probabilities t in [0, 1).

    Returns:
        float64, shape (k,): at most the share of PNEUMONIA, and negative where calling none would
        be better.

    Raises:
        PredictionsError: The labels or scores are not what they have to be.
        SettingsError: A threshold is not in [0, 1).

    References:
        A. J. Vickers and E. B. Elkin, Decision curve analysis: a novel method for evaluating
        prediction models, Medical Decision Making 26 (2006) 565-574.

    Examples:
        One of two PNEUMONIA images is found, for one false alarm among four images:

        >>> net_benefit([0, 0, 1, 1], [0.1, 0.7, 0.3, 0.9], thresholds=[0.5])
        array([0.])
    """
    labels, scores = labels_and_scores(y_true, y_score)
    at = np.asarray(thresholds, dtype=np.float64)
    # A comparison with NaN is False, so this finds NaN too.
    if at.ndim != 1 or not ((at >= 0) & (at < 1)).all():
        raise SettingsError(
            "`thresholds` must be a flat sequence of numbers in [0, 1): at 1 a false alarm would "
            f"weigh without limit. Received: {thresholds!r}."
        )
    tp, fp = (
        of_class.size - np.searchsorted(np.sort(of_class), at, side="left")
        for of_class in (scores[labels == 1], scores[labels == 0])
    )
    return (tp - fp * at / (1 - at)) / len(labels)


def decision_curve(
    y_true: ArrayLike, y_score: ArrayLike, thresholds: ArrayLike | None = None
) -> DecisionCurve:
    """Compare the net benefit of a model with that of calling every image PNEUMONIA, and none.

    A model is worth using at a threshold probability where it is above both. See ``net_benefit``.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        thresholds: Shape (k,): threshold probabilities in [0, 1); 0, 0.01, ..., 0.99 by default.

    Returns:
        The thresholds and the three net benefits at each.

    Raises:
        PredictionsError: The labels or scores are not what they have to be.
        SettingsError: A threshold is not in [0, 1).

    References:
        A. J. Vickers and E. B. Elkin, Decision curve analysis: a novel method for evaluating
        prediction models, Medical Decision Making 26 (2006) 565-574.

    Examples:
        >>> curve = decision_curve([0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9], thresholds=[0.2, 0.5])
        >>> curve.model, curve.treat_all
        (array([0.4375, 0.5   ]), array([0.375, 0.   ]))
    """
    labels, scores = labels_and_scores(y_true, y_score)
    at = _THRESHOLDS if thresholds is None else thresholds
    return DecisionCurve(
        np.array(at, dtype=np.float64),
        model=net_benefit(labels, scores, at),
        treat_all=net_benefit(labels, np.ones(len(labels)), at),
        treat_none=np.zeros(np.size(at)),
    )
