import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as skl

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.metrics import (
    METRICS,
    PREDICTIVE_VALUES,
    binary_metrics,
    confusion_counts,
    predicted_labels,
    predictive_values,
    require_metrics,
    undefined_reasons,
)

# Labels and scores in twelfths: ties, 0 and 1 among them. The thresholds fall between.
images = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=1, max_size=30)
thresholds = st.integers(0, 11).map(lambda half: (2 * half + 1) / 24)


def test_metrics_of_a_small_example_are_those_computed_by_hand():
    # At 0.5: NORMAL 0.1, 0.3 right, 0.6 wrong; PNEUMONIA 0.5, 0.8, 0.9 right, 0.2, 0.4 wrong.
    y_true = [0, 0, 0, 1, 1, 1, 1, 1]
    y_score = [0.1, 0.3, 0.6, 0.5, 0.8, 0.9, 0.2, 0.4]
    assert confusion_counts(y_true, y_score, 0.5) == {"tn": 2, "fp": 1, "fn": 2, "tp": 3}
    found = binary_metrics(y_true, y_score, 0.5)
    assert tuple(found) == METRICS
    assert found == pytest.approx(
        {
            "accuracy": 5 / 8,
            "precision": 3 / 4,
            "recall": 3 / 5,
            "specificity": 2 / 3,
            "npv": 2 / 4,
            "f1": 2 * 3 / (2 * 3 + 1 + 2),
            "f2": 5 * 3 / (5 * 3 + 1 + 4 * 2),
            "balanced_accuracy": (3 / 5 + 2 / 3) / 2,
            "mcc": (3 * 2 - 1 * 2) / math.sqrt(5 * 3 * 4 * 4),
            "positive_likelihood_ratio": (3 / 5) / (1 / 3),
            "negative_likelihood_ratio": (2 / 5) / (2 / 3),
            # Of the 15 pairs these are in the wrong order: 0.6 > 0.5, 0.2, 0.4 and 0.3 > 0.2.
            "roc_auc": 11 / 15,
            # From the top: 0.9, 0.8, (0.6), 0.5, 0.4, (0.3), 0.2.
            "average_precision": (1 / 1 + 2 / 2 + 3 / 4 + 4 / 5 + 5 / 7) / 5,
            "brier_score": (0.01 + 0.09 + 0.36 + 0.25 + 0.04 + 0.01 + 0.64 + 0.36) / 8,
            "log_loss": -math.log(0.9 * 0.7 * 0.4 * 0.5 * 0.8 * 0.9 * 0.2 * 0.4) / 8,
            # Each score has a bin of its own.
            "expected_calibration_error": (0.1 + 0.3 + 0.6 + 0.5 + 0.2 + 0.1 + 0.8 + 0.6) / 8,
            "adaptive_calibration_error": (0.1 + 0.3 + 0.6 + 0.5 + 0.2 + 0.1 + 0.8 + 0.6) / 8,
        }
    )
    assert all(type(value) is float for value in found.values())


def test_metrics_of_a_liver_scan_are_those_published():
    # 344 patients in D. G. Altman and J. M. Bland, Diagnostic tests 1 and 2, BMJ 308 (1994) 1552
    # and 309 (1994) 102, who also carry them over to a prevalence of 0.25.
    y_true, y_score = np.repeat([[1, 0, 1, 0], [1, 1, 0, 0]], [231, 32, 27, 54], axis=1)
    found = binary_metrics(y_true, y_score, 0.5, prevalence=0.25)
    published = {
        "recall": 0.90,
        "specificity": 0.63,
        "precision": 0.88,
        "npv": 0.67,
        "ppv_at_prevalence": 0.45,
        "npv_at_prevalence": 0.95,
    }
    assert {name: found[name] for name in published} == pytest.approx(published, abs=0.0051)


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
    assert found["brier_score"] == pytest.approx(np.mean((y_true - y_score) ** 2))
    assert found["log_loss"] == pytest.approx(skl.log_loss(y_true, y_score))
    if threshold > 0:
        ratios = skl.class_likelihood_ratios(y_true, called)
        assert found["positive_likelihood_ratio"] == pytest.approx(ratios[0])
        assert found["negative_likelihood_ratio"] == pytest.approx(ratios[1])
        assert found["mcc"] == pytest.approx(np.corrcoef(y_true, called)[0, 1])


NONE_PNEUMONIA, NONE_NORMAL = "no image is PNEUMONIA", "no image is NORMAL"
NONE_CALLED_PNEUMONIA, NONE_CALLED_NORMAL = (
    "no image is called PNEUMONIA",
    "no image is called NORMAL",
)
BETWEEN_CLASSES = (
    "balanced_accuracy",
    "mcc",
    "positive_likelihood_ratio",
    "negative_likelihood_ratio",
    "roc_auc",
    "average_precision",
    *PREDICTIVE_VALUES,
)


def between_classes(reason):
    return dict.fromkeys(BETWEEN_CLASSES, reason)


@pytest.mark.parametrize(
    ("y_true", "y_score", "undefined"),
    [
        ([0, 0, 1, 1], [0.1, 0.9, 0.1, 0.9], {}),
        (
            [0, 1],
            [0.1, 0.2],
            {
                **dict.fromkeys(["precision", "mcc", "ppv_at_prevalence"], NONE_CALLED_PNEUMONIA),
                "positive_likelihood_ratio": "no NORMAL image is called PNEUMONIA",
            },
        ),
        (
            [0, 1],
            [0.8, 0.9],
            {
                **dict.fromkeys(["npv", "mcc", "npv_at_prevalence"], NONE_CALLED_NORMAL),
                "negative_likelihood_ratio": "no NORMAL image is called NORMAL",
            },
        ),
        (
            [0, 1],
            [0.1, 0.9],
            {"positive_likelihood_ratio": "no NORMAL image is called PNEUMONIA"},
        ),
        (
            [0, 1],
            [0.9, 0.1],
            {"negative_likelihood_ratio": "no NORMAL image is called NORMAL"},
        ),
        ([0, 0], [0.1, 0.9], {"recall": NONE_PNEUMONIA} | between_classes(NONE_PNEUMONIA)),
        (
            [0, 0],
            [0.1, 0.2],
            {
                "precision": NONE_CALLED_PNEUMONIA,
                "recall": NONE_PNEUMONIA,
                "f1": "no image is PNEUMONIA or called PNEUMONIA",
                "f2": "no image is PNEUMONIA or called PNEUMONIA",
            }
            | between_classes(NONE_PNEUMONIA),
        ),
        ([1, 1], [0.1, 0.9], {"specificity": NONE_NORMAL} | between_classes(NONE_NORMAL)),
        (
            [1, 1],
            [0.8, 0.9],
            {"specificity": NONE_NORMAL, "npv": NONE_CALLED_NORMAL} | between_classes(NONE_NORMAL),
        ),
        (
            [1],
            [0.1],
            {"specificity": NONE_NORMAL, "precision": NONE_CALLED_PNEUMONIA}
            | between_classes(NONE_NORMAL),
        ),
    ],
)
def test_what_divides_by_zero_is_nan_with_a_reason_and_without_a_warning(
    y_true, y_score, undefined
):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = binary_metrics(y_true, y_score, 0.5, prevalence=0.1)
        reasons = undefined_reasons(y_true, y_score, 0.5, prevalence=0.1)
        counts = confusion_counts(y_true, y_score, 0.5)
    assert {name for name, value in found.items() if math.isnan(value)} == set(undefined)
    assert reasons == undefined
    assert sum(counts.values()) == len(y_true)


@settings(max_examples=20, deadline=None)
@given(images, thresholds, st.sampled_from([None, 0.03, 0.5]))
def test_every_nan_has_a_reason_and_every_reason_belongs_to_a_nan(images, threshold, prevalence):
    y_true, y_score = np.array(images).T / [[1], [12]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = binary_metrics(y_true, y_score, threshold, prevalence)
        reasons = undefined_reasons(y_true, y_score, threshold, prevalence)
    assert tuple(found) == METRICS + (() if prevalence is None else PREDICTIVE_VALUES)
    assert {name for name, value in found.items() if math.isnan(value)} == set(reasons)
    assert all(reasons.values())
    assert not any(math.isinf(value) for value in found.values())
    assert all(type(value) is float for value in found.values())


@settings(max_examples=20, deadline=None)
@given(images, thresholds)
def test_swapping_the_labels_swaps_what_belongs_to_one_class(images, threshold):
    y_true, y_score = np.array(images).T / [[1], [12]]
    found = binary_metrics(y_true, y_score, threshold, prevalence=0.2)
    swapped = binary_metrics(1 - y_true, 1 - y_score, 1 - threshold, prevalence=0.8)
    same = {"accuracy", "balanced_accuracy", "mcc", "roc_auc", "brier_score", "log_loss"}
    pairs = {name: name for name in same} | {
        "recall": "specificity",
        "precision": "npv",
        "ppv_at_prevalence": "npv_at_prevalence",
    }
    for one, other in pairs.items():
        assert swapped[one] == pytest.approx(found[other], nan_ok=True)
        assert swapped[other] == pytest.approx(found[one], nan_ok=True)
    if swapped["positive_likelihood_ratio"] > 0:
        inverse = 1 / swapped["positive_likelihood_ratio"]
        assert found["negative_likelihood_ratio"] == pytest.approx(inverse)


@settings(max_examples=20, deadline=None)
@given(images, thresholds)
def test_a_strictly_monotone_transform_changes_no_metric_of_ranks(images, threshold):
    y_true, y_score = np.array(images).T / [[1], [12]]
    found = binary_metrics(y_true, y_score, threshold)
    bent = binary_metrics(y_true, y_score**3 / 2, threshold**3 / 2)
    np.testing.assert_equal(
        [bent[name] for name in METRICS[:13]], [found[name] for name in METRICS[:13]]
    )


@settings(max_examples=20, deadline=None)
@given(st.data(), images, thresholds)
def test_neither_the_order_nor_doubling_every_image_changes_a_metric(data, images, threshold):
    shuffled = data.draw(st.permutations(images))
    found = binary_metrics(*(np.array(images).T / [[1], [12]]), threshold)
    for other in (shuffled, images * 2):
        again = binary_metrics(*(np.array(other).T / [[1], [12]]), threshold)
        assert again == pytest.approx(found, abs=1e-12, nan_ok=True)


@settings(max_examples=10, deadline=None)
@given(images, thresholds)
def test_at_the_prevalence_of_the_images_the_predictive_values_are_theirs(images, threshold):
    y_true, y_score = np.array([(0, 3), (1, 9), *images]).T / [[1], [12]]
    found = binary_metrics(y_true, y_score, threshold, prevalence=float(y_true.mean()))
    assert found["ppv_at_prevalence"] == pytest.approx(found["precision"], nan_ok=True)
    assert found["npv_at_prevalence"] == pytest.approx(found["npv"], nan_ok=True)


def test_certain_errors_keep_the_log_loss_finite():
    found = binary_metrics([0, 1], [1.0, 0.0], 0.5)
    assert found["log_loss"] == skl.log_loss([0, 1], [1.0, 0.0]) == pytest.approx(36.04, abs=0.01)


def test_predictive_values_without_any_call_are_nan():
    positive, negative = predictive_values(recall=0.0, specificity=1.0, prevalence=0.1)
    assert math.isnan(positive)
    assert negative == pytest.approx(0.9)
    positive, negative = predictive_values(recall=1.0, specificity=0.0, prevalence=0.1)
    assert positive == pytest.approx(0.1)
    assert math.isnan(negative)
    assert all(map(math.isnan, predictive_values(math.nan, 0.5, 0.1)))


@pytest.mark.parametrize("prevalence", [0, 1, -0.1, math.nan, 10])
def test_a_prevalence_that_is_no_share_is_refused(prevalence):
    for compute in (binary_metrics, undefined_reasons):
        with pytest.raises(SettingsError, match=r"\(0, 1\).*Received"):
            compute([0, 1], [0.1, 0.9], 0.5, prevalence)
    with pytest.raises(SettingsError, match=r"\(0, 1\).*Received"):
        predictive_values(0.9, 0.9, prevalence)


def test_names_of_metrics_are_checked():
    assert require_metrics(None, None) == METRICS
    assert require_metrics(["npv", "f1", "npv"], None) == ("npv", "f1")
    assert require_metrics(None, 0.1) == METRICS + PREDICTIVE_VALUES
    with pytest.raises(SettingsError, match=r"accuracy, precision.*Received: 'sensitivity'"):
        require_metrics(["recall", "sensitivity"], None)
    with pytest.raises(SettingsError, match="need a `prevalence`"):
        require_metrics(["ppv_at_prevalence"], None)


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


def test_only_the_metrics_asked_for_are_computed():
    given = [0, 0, 1, 1], [0.1, 0.7, 0.6, 0.9], 0.5
    everything = binary_metrics(*given, prevalence=0.1)
    names = ("npv_at_prevalence", "roc_auc")
    found = binary_metrics(*given, prevalence=0.1, names=names)
    assert found == {name: everything[name] for name in names}
    with pytest.raises(SettingsError, match="'auc'"):
        binary_metrics(*given, names=["auc"])
