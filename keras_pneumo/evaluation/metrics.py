"""Numbers that say how good predictions are."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as skl

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.predictions import labels_and_scores
from keras_pneumo.evaluation.reliability import (
    adaptive_calibration_error,
    expected_calibration_error,
)

METRICS: tuple[str, ...] = (
    "accuracy",
    "precision",
    "recall",
    "specificity",
    "npv",
    "f1",
    "f2",
    "balanced_accuracy",
    "mcc",
    "positive_likelihood_ratio",
    "negative_likelihood_ratio",
    "roc_auc",
    "average_precision",
    "brier_score",
    "log_loss",
    "expected_calibration_error",
    "adaptive_calibration_error",
)
PREDICTIVE_VALUES = ("ppv_at_prevalence", "npv_at_prevalence")

_NO_PNEUMONIA = "no image is PNEUMONIA"
_NO_NORMAL = "no image is NORMAL"
_NONE_CALLED_PNEUMONIA = "no image is called PNEUMONIA"
_NONE_CALLED_NORMAL = "no image is called NORMAL"
_NO_FALSE_POSITIVE = "no NORMAL image is called PNEUMONIA"
_NO_TRUE_NEGATIVE = "no NORMAL image is called NORMAL"
_NOTHING_POSITIVE = "no image is PNEUMONIA or called PNEUMONIA"
# What makes a metric divide by zero. Metrics that compare the classes need both.
_UNDEFINED_IF = {
    "precision": (_NONE_CALLED_PNEUMONIA,),
    "recall": (_NO_PNEUMONIA,),
    "specificity": (_NO_NORMAL,),
    "npv": (_NONE_CALLED_NORMAL,),
    "f1": (_NOTHING_POSITIVE,),
    "f2": (_NOTHING_POSITIVE,),
    "balanced_accuracy": (_NO_PNEUMONIA, _NO_NORMAL),
    "mcc": (_NO_PNEUMONIA, _NO_NORMAL, _NONE_CALLED_PNEUMONIA, _NONE_CALLED_NORMAL),
    "positive_likelihood_ratio": (_NO_PNEUMONIA, _NO_NORMAL, _NO_FALSE_POSITIVE),
    "negative_likelihood_ratio": (_NO_PNEUMONIA, _NO_NORMAL, _NO_TRUE_NEGATIVE),
    "roc_auc": (_NO_PNEUMONIA, _NO_NORMAL),
    "average_precision": (_NO_PNEUMONIA, _NO_NORMAL),
    "ppv_at_prevalence": (_NO_PNEUMONIA, _NO_NORMAL, _NONE_CALLED_PNEUMONIA),
    "npv_at_prevalence": (_NO_PNEUMONIA, _NO_NORMAL, _NONE_CALLED_NORMAL),
}


def predicted_labels(y_score: ArrayLike, threshold: float) -> NDArray[np.int64]:
    """Call each image PNEUMONIA whose score is at least the threshold.

    The comparison is made in float64: rounding the threshold to the float32 of a model's output
    could move it across a score.

    Args:
        y_score: Any shape: probability of PNEUMONIA in [0, 1].
        threshold: In [0, 1].

    Returns:
        int64 in the shape of ``y_score``: 0 = NORMAL, 1 = PNEUMONIA.

    Raises:
        SettingsError: The threshold is not in [0, 1].

    Examples:
        >>> predicted_labels([0.2, 0.5, 0.9], threshold=0.5)
        array([0, 1, 1])
    """
    if not 0 <= threshold <= 1:
        raise SettingsError(
            f"`threshold` must be in [0, 1], as the scores are. Received: {threshold}. "
            "Choose one with `choose_threshold`, or pass 0.5."
        )
    return (np.asarray(y_score, dtype=np.float64) >= float(threshold)).astype(np.int64)


def confusion_counts(y_true: ArrayLike, y_score: ArrayLike, threshold: float) -> dict[str, int]:
    """Count the images that are called right and wrong, by class.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        threshold: In [0, 1]; a score of at least this is called PNEUMONIA.

    Returns:
        "tn" (NORMAL called NORMAL), "fp" (NORMAL called PNEUMONIA), "fn" (PNEUMONIA called NORMAL)
        and "tp" (PNEUMONIA called PNEUMONIA).

    Raises:
        PredictionsError: The labels or scores are not what they have to be.
        SettingsError: The threshold is not in [0, 1].

    Examples:
        >>> confusion_counts([0, 0, 1, 1], [0.1, 0.7, 0.6, 0.9], threshold=0.5)
        {'tn': 1, 'fp': 1, 'fn': 0, 'tp': 2}
    """
    labels, scores = labels_and_scores(y_true, y_score)
    matrix = skl.confusion_matrix(labels, predicted_labels(scores, threshold), labels=[0, 1])
    return dict(zip(("tn", "fp", "fn", "tp"), matrix.ravel().tolist(), strict=True))


def binary_metrics(
    y_true: ArrayLike,
    y_score: ArrayLike,
    threshold: float,
    prevalence: float | None = None,
    names: Iterable[str] | None = None,
) -> dict[str, float]:
    """Compute the metrics of a report; PNEUMONIA is the positive class.

    tn, fp, fn and tp are those of ``confusion_counts``, n is their sum, y a label and p a score.

    | metric | definition | source |
    | --- | --- | --- |
    | ``accuracy`` | (tp + tn) / n | ``accuracy_score`` |
    | ``precision`` (PPV) | tp / (tp + fp) | ``precision_score`` |
    | ``recall`` (sensitivity) | tp / (tp + fn) | ``recall_score`` |
    | ``specificity`` | tn / (tn + fp) | ``recall_score`` of NORMAL |
    | ``npv`` | tn / (tn + fn) | ``precision_score`` of NORMAL |
    | ``f1`` | 2 tp / (2 tp + fp + fn) | ``f1_score`` |
    | ``f2`` | 5 tp / (5 tp + fp + 4 fn) | ``fbeta_score``; van Rijsbergen 1979 |
    | ``balanced_accuracy`` | (recall + specificity) / 2 | ``balanced_accuracy_score`` |
    | ``mcc`` | correlation of truth and call | ``matthews_corrcoef``; Matthews 1975 |
    | ``positive_likelihood_ratio`` | recall / (1 − specificity) | Altman and Bland 2004 |
    | ``negative_likelihood_ratio`` | (1 − recall) / specificity | Altman and Bland 2004 |
    | ``roc_auc`` | area under the ROC curve | ``roc_auc_score``; Hanley and McNeil 1982 |
    | ``average_precision`` | mean precision over recall | ``average_precision_score`` |
    | ``brier_score`` | mean of (p − y)² | ``brier_score_loss``; Brier 1950 |
    | ``log_loss`` | mean of −log(p if y else 1 − p) | ``log_loss`` |
    | ``expected_calibration_error`` | distance of p from y, by bins | ``reliability`` |
    | ``adaptive_calibration_error`` | the same, equally full bins | ``reliability`` |
    | ``ppv_at_prevalence`` | ``precision`` at another share of PNEUMONIA | ``predictive_values`` |
    | ``npv_at_prevalence`` | ``npv`` at another share of PNEUMONIA | ``predictive_values`` |

    The likelihood ratios are in [0, ∞), ``mcc`` is in [−1, 1], ``log_loss`` in [0, 36.05], since
    scikit-learn keeps p away from 0 and 1 by the smallest step of a float64; all others are in
    [0, 1]. Lower is better for the last four of ``METRICS`` and for the negative likelihood ratio.
    A metric whose definition divides by zero is NaN; ``undefined_reasons`` says why.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        threshold: In [0, 1]; a score of at least this is called PNEUMONIA. The last six of
            ``METRICS`` do not depend on it.
        prevalence: The share of PNEUMONIA, in (0, 1), where the model is to be used; None leaves
            the two predictive values out.
        names: The metrics to compute; None for all.

    Returns:
        The metrics in the order of ``names``, by default that of ``METRICS`` and then the
        predictive values.

    Raises:
        PredictionsError: The labels or scores are not what they have to be.
        SettingsError: The threshold is not in [0, 1], the prevalence not in (0, 1), or a name
            unknown.

    References:
        C. J. van Rijsbergen, Information Retrieval, 2nd ed. (1979), chapter 7.
        B. W. Matthews, Comparison of the predicted and observed secondary structure of T4 phage
        lysozyme, Biochimica et Biophysica Acta 405 (1975) 442-451.
        J. A. Hanley and B. J. McNeil, The meaning and use of the area under a receiver operating
        characteristic (ROC) curve, Radiology 143 (1982) 29-36.
        D. G. Altman and J. M. Bland, Diagnostic tests 4: likelihood ratios, BMJ 329 (2004) 168-169.
        G. W. Brier, Verification of forecasts expressed in terms of probability, Monthly Weather
        Review 78 (1950) 1-3.

    Examples:
        >>> found = binary_metrics([0, 0, 1, 1], [0.1, 0.7, 0.6, 0.9], threshold=0.5)
        >>> found["recall"], found["specificity"], found["roc_auc"]
        (1.0, 0.5, 0.75)
        >>> found["positive_likelihood_ratio"]
        2.0
    """
    labels, scores = labels_and_scores(y_true, y_score)
    wanted = require_metrics(names, prevalence)
    called = predicted_labels(scores, threshold)
    by_class = skl.precision_recall_fscore_support(
        labels, called, labels=[0, 1], zero_division=np.nan
    )
    (npv, precision), (specificity, recall), (_, f1), _ = by_class
    # Called only where the metric is defined: scikit-learn answers the rest with warnings or zeros.
    formulas: dict[str, Callable[[], float]] = {
        "accuracy": lambda: skl.accuracy_score(labels, called),
        "precision": lambda: precision,
        "recall": lambda: recall,
        "specificity": lambda: specificity,
        "npv": lambda: npv,
        "f1": lambda: f1,
        "f2": lambda: skl.fbeta_score(labels, called, beta=2),
        "balanced_accuracy": lambda: skl.balanced_accuracy_score(labels, called),
        "mcc": lambda: skl.matthews_corrcoef(labels, called),
        "positive_likelihood_ratio": lambda: recall / (1 - specificity),
        "negative_likelihood_ratio": lambda: (1 - recall) / specificity,
        "roc_auc": lambda: skl.roc_auc_score(labels, scores),
        "average_precision": lambda: skl.average_precision_score(labels, scores),
        "brier_score": lambda: skl.brier_score_loss(labels, scores, pos_label=1),
        "log_loss": lambda: skl.log_loss(labels, scores, labels=[0, 1]),
        "expected_calibration_error": lambda: expected_calibration_error(labels, scores),
        "adaptive_calibration_error": lambda: adaptive_calibration_error(labels, scores),
    }
    if prevalence is not None:
        ppv, npv_there = predictive_values(recall, specificity, prevalence)
        formulas |= {"ppv_at_prevalence": lambda: ppv, "npv_at_prevalence": lambda: npv_there}
    undefined = undefined_reasons(labels, scores, threshold, prevalence)
    return {name: math.nan if name in undefined else float(formulas[name]()) for name in wanted}


def undefined_reasons(
    y_true: ArrayLike, y_score: ArrayLike, threshold: float, prevalence: float | None = None
) -> dict[str, str]:
    """Say why metrics are NaN.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        threshold: In [0, 1]; a score of at least this is called PNEUMONIA.
        prevalence: As for ``binary_metrics``.

    Returns:
        A reason for each metric that ``binary_metrics`` gives as NaN, and for no other.

    Raises:
        PredictionsError: The labels or scores are not what they have to be.
        SettingsError: The threshold is not in [0, 1], or the prevalence not in (0, 1).

    Examples:
        >>> reasons = undefined_reasons([0, 1], [0.1, 0.2], threshold=0.5)
        >>> reasons["precision"]
        'no image is called PNEUMONIA'
        >>> list(reasons)
        ['precision', 'mcc', 'positive_likelihood_ratio']
    """
    count = confusion_counts(y_true, y_score, threshold)
    divisors = {
        _NO_PNEUMONIA: count["tp"] + count["fn"],
        _NO_NORMAL: count["tn"] + count["fp"],
        _NONE_CALLED_PNEUMONIA: count["tp"] + count["fp"],
        _NONE_CALLED_NORMAL: count["tn"] + count["fn"],
        _NO_FALSE_POSITIVE: count["fp"],
        _NO_TRUE_NEGATIVE: count["tn"],
        _NOTHING_POSITIVE: count["tp"] + count["fp"] + count["fn"],
    }
    reasons = {}
    for name in require_metrics(None, prevalence):
        empty = [reason for reason in _UNDEFINED_IF.get(name, ()) if divisors[reason] == 0]
        if empty:
            reasons[name] = empty[0]
    return reasons


def predictive_values(recall: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """Carry recall and specificity over to another share of PNEUMONIA with the theorem of Bayes.

    ``precision`` and ``npv`` hold for the share of PNEUMONIA in the evaluated images, which is
    about 62 % in the official test split, far above that of any clinic.

    Args:
        recall: In [0, 1] or NaN.
        specificity: In [0, 1] or NaN.
        prevalence: The share of PNEUMONIA, in (0, 1).

    Returns:
        The positive and the negative predictive value, in [0, 1]. The positive one is NaN if
        no image would be called PNEUMONIA, the negative one if none would be called NORMAL.

    Raises:
        SettingsError: The prevalence is not in (0, 1).

    References:
        D. G. Altman and J. M. Bland, Diagnostic tests 2: predictive values, BMJ 309 (1994) 102.

    Examples:
        >>> positive, negative = predictive_values(recall=0.9, specificity=0.9, prevalence=0.1)
        >>> round(positive, 3), round(negative, 3)
        (0.5, 0.988)
    """
    _require_prevalence(prevalence)
    true_positive, false_negative = recall * prevalence, (1 - recall) * prevalence
    true_negative = specificity * (1 - prevalence)
    false_positive = (1 - specificity) * (1 - prevalence)
    called_pneumonia = true_positive + false_positive
    called_normal = true_negative + false_negative
    return (
        true_positive / called_pneumonia if called_pneumonia else math.nan,
        true_negative / called_normal if called_normal else math.nan,
    )


def require_metrics(names: Iterable[str] | None, prevalence: float | None) -> tuple[str, ...]:
    """Check names of metrics.

    Args:
        names: Of ``METRICS``, and with a prevalence also of ``PREDICTIVE_VALUES``. None for all.
        prevalence: As for ``binary_metrics``.

    Returns:
        The names, each once, in the order given.

    Raises:
        SettingsError: A name is unknown, or the prevalence is not in (0, 1).

    Examples:
        >>> require_metrics(["recall", "npv"], prevalence=None)
        ('recall', 'npv')
    """
    known = METRICS
    if prevalence is not None:
        _require_prevalence(prevalence)
        known += PREDICTIVE_VALUES
    wanted = known if names is None else tuple(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SettingsError(
            f"`names` must be metrics out of {', '.join(known)}. Received: "
            f"{', '.join(map(repr, unknown))}. Correct the name; "
            f"{' and '.join(PREDICTIVE_VALUES)} need a `prevalence`."
        )
    return wanted


def _require_prevalence(prevalence: float) -> None:
    if not 0 < prevalence < 1:
        raise SettingsError(
            f"`prevalence` must be a share of PNEUMONIA in (0, 1). Received: {prevalence}. "
            "Pass that of the place where the model is to be used, such as 0.1."
        )
