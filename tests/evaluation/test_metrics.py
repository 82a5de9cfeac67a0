import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as skl

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.metrics import binary_metrics, confusion_counts, predicted_labels

KEYS = [
    "accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "balanced_accuracy",
    "roc_auc",
    "average_precision",
]


def test_metrics_of_a_small_example_are_those_computed_by_hand():
    # At 0.5: NORMAL 0.1, 0.3 right, 0.6 wrong; PNEUMONIA 0.5, 0.8, 0.9 right, 0.2, 0.4 wrong.
    y_true = [0, 0, 0, 1, 1, 1, 1, 1]
    y_score = [0.1, 0.3, 0.6, 0.5, 0.8, 0.9, 0.2, 0.4]
    assert confusion_counts(y_true, y_score, 0.5) == {"tn": 2, "fp": 1, "fn": 2, "tp": 3}
    found = binary_metrics(y_true, y_score, 0.5)
    assert list(found) == KEYS
    assert found == pytest.approx(
        {
            "accuracy": 5 / 8,
            "precision": 3 / 4,
            "recall": 3 / 5,
            "specificity": 2 / 3,
            "f1": 2 * 3 / (2 * 3 + 1 + 2),
            "balanced_accuracy": (3 / 5 + 2 / 3) / 2,
            # Of the 15 pairs these are in the wrong order: 0.6 > 0.5, 0.2, 0.4 and 0.3 > 0.2.
            "roc_auc": 11 / 15,
            # From the top: 0.9, 0.8, (0.6), 0.5, 0.4, (0.3), 0.2.
            "average_precision": (1 / 1 + 2 / 2 + 3 / 4 + 4 / 5 + 5 / 7) / 5,
        }
    )
    assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.75])
def test_metrics_agree_with_scikit_learn_on_tied_scores(threshold):
    rng = np.random.default_rng(3)
    y_true = rng.integers(0, 2, 80)
    y_score = rng.integers(0, 9, 80) / 8
    called = y_score >= threshold
    found = binary_metrics(y_true, y_score, threshold)
    counts = confusion_counts(y_true, y_score, threshold)
    assert found["specificity"] == pytest.approx(counts["tn"] / (counts["tn"] + counts["fp"]))
    assert found["f1"] == pytest.approx(skl.f1_score(y_true, called))
    assert found["balanced_accuracy"] == pytest.approx(skl.balanced_accuracy_score(y_true, called))
    assert found["roc_auc"] == skl.roc_auc_score(y_true, y_score)
    assert found["average_precision"] == skl.average_precision_score(y_true, y_score)


BETWEEN_CLASSES = {"balanced_accuracy", "roc_auc", "average_precision"}


@pytest.mark.parametrize(
    ("y_true", "y_score", "undefined"),
    [
        ([0, 1], [0.1, 0.2], {"precision"}),
        ([0, 0], [0.1, 0.9], {"recall"} | BETWEEN_CLASSES),
        ([0, 0], [0.1, 0.2], {"precision", "recall", "f1"} | BETWEEN_CLASSES),
        ([1, 1], [0.1, 0.9], {"specificity"} | BETWEEN_CLASSES),
        ([1, 1], [0.8, 0.9], {"specificity"} | BETWEEN_CLASSES),
        ([1], [0.1], {"specificity", "precision"} | BETWEEN_CLASSES),
    ],
)
def test_what_divides_by_zero_is_nan_without_a_warning(y_true, y_score, undefined):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = binary_metrics(y_true, y_score, 0.5)
        counts = confusion_counts(y_true, y_score, 0.5)
    assert {name for name, value in found.items() if math.isnan(value)} == undefined
    assert sum(counts.values()) == len(y_true)


def test_a_score_at_the_threshold_is_pneumonia_in_float64():
    assert predicted_labels([0.49, 0.5, 0.51], 0.5).tolist() == [0, 1, 1]
    just_below = np.array([0.1], dtype=np.float32)
    threshold = float(just_below[0]) + 1e-12  # rounds to the score in float32
    assert predicted_labels(just_below, threshold).tolist() == [0]


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_a_threshold_outside_the_range_of_scores_is_refused(threshold):
    with pytest.raises(SettingsError, match=r"\[0, 1\]"):
        binary_metrics([0, 1], [0.1, 0.9], threshold)


def test_plain_arrays_are_checked_like_predictions():
    with pytest.raises(PredictionsError, match="same shape"):
        binary_metrics([0, 1, 1], [0.1, 0.9], 0.5)
    with pytest.raises(PredictionsError, match="position 0"):
        confusion_counts([-1, 1], [0.1, 0.9], 0.5)
