"""Numbers that say how good predictions are."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as skl

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.predictions import labels_and_scores


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


def binary_metrics(y_true: ArrayLike, y_score: ArrayLike, threshold: float) -> dict[str, float]:
    """Compute the eight metrics of a report; PNEUMONIA is the positive class.

    A metric whose definition divides by zero is NaN: ``precision`` if no image is called PNEUMONIA,
    ``recall`` if none is PNEUMONIA, ``specificity`` if none is NORMAL, ``f1`` if none is or is
    called PNEUMONIA, and ``balanced_accuracy``, ``roc_auc`` and ``average_precision``, which
    compare the classes, if only one class is there.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        threshold: In [0, 1]; a score of at least this is called PNEUMONIA.

    Returns:
        "accuracy", "precision", "recall" (sensitivity), "specificity", "f1" and
        "balanced_accuracy" at the threshold, "roc_auc" and "average_precision" over all thresholds;
        each in [0, 1] or NaN. They are those of ``sklearn.metrics``; specificity is the recall
        of NORMAL.

    Raises:
        PredictionsError: The labels or scores are not what they have to be.
        SettingsError: The threshold is not in [0, 1].

    Examples:
        >>> found = binary_metrics([0, 0, 1, 1], [0.1, 0.7, 0.6, 0.9], threshold=0.5)
        >>> found["recall"], found["specificity"], found["roc_auc"]
        (1.0, 0.5, 0.75)
    """
    labels, scores = labels_and_scores(y_true, y_score)
    called = predicted_labels(scores, threshold)
    both_classes = labels.min() != labels.max()
    # For one class scikit-learn answers these three with a warning or a number that means nothing.
    comparing = {
        "balanced_accuracy": (skl.balanced_accuracy_score, called),
        "roc_auc": (skl.roc_auc_score, scores),
        "average_precision": (skl.average_precision_score, scores),
    }
    found = {
        "accuracy": skl.accuracy_score(labels, called),
        "precision": skl.precision_score(labels, called, zero_division=np.nan),
        "recall": skl.recall_score(labels, called, zero_division=np.nan),
        "specificity": skl.recall_score(labels, called, pos_label=0, zero_division=np.nan),
        "f1": skl.f1_score(labels, called, zero_division=np.nan),
    } | {
        name: score(labels, given) if both_classes else math.nan
        for name, (score, given) in comparing.items()
    }
    return {name: float(value) for name, value in found.items()}
