import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as skl

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation import replicates
from keras_pneumo.evaluation.metrics import METRICS, binary_metrics, undefined_reasons
from keras_pneumo.evaluation.replicates import replicate_metrics, row_blocks

# Label, score in twelfths, and two weights of each image: ties, scores of 0 and 1, weights of 0.
counted = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 12), st.integers(0, 3), st.integers(0, 3)),
    min_size=1,
    max_size=30,
)
thresholds = st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0])


def unpacked(images):
    y_true, twelfths, *weights = np.array(images).T
    return y_true, twelfths / 12, np.array(weights)


def one(replicated, row):
    return {name: values[row] for name, values in replicated.items()}


def by_scikit_learn(y_true, y_score, threshold, weight):
    called, weighted = (y_score >= threshold).astype(int), {"sample_weight": weight}
    found = {
        "accuracy": skl.accuracy_score(y_true, called, **weighted),
        "precision": skl.precision_score(y_true, called, zero_division=np.nan, **weighted),
        "recall": skl.recall_score(y_true, called, zero_division=np.nan, **weighted),
        "specificity": skl.recall_score(
            y_true, called, pos_label=0, zero_division=np.nan, **weighted
        ),
        "npv": skl.precision_score(y_true, called, pos_label=0, zero_division=np.nan, **weighted),
        "f1": skl.f1_score(y_true, called, zero_division=np.nan, **weighted),
        "f2": skl.fbeta_score(y_true, called, beta=2, zero_division=np.nan, **weighted),
        "brier_score": skl.brier_score_loss(y_true, y_score, pos_label=1, **weighted),
        "log_loss": skl.log_loss(y_true, y_score, labels=[0, 1], **weighted),
    }
    # The others only where scikit-learn defines them, and not by a number that means nothing.
    there = weight > 0
    undefined = undefined_reasons(y_true[there], y_score[there], threshold)
    comparing = {
        "balanced_accuracy": (skl.balanced_accuracy_score, called),
        "mcc": (skl.matthews_corrcoef, called),
        "roc_auc": (skl.roc_auc_score, y_score),
        "average_precision": (skl.average_precision_score, y_score),
    }
    for name, (score, given_scores) in comparing.items():
        found[name] = math.nan if name in undefined else score(y_true, given_scores, **weighted)
    ratios = ("positive_likelihood_ratio", "negative_likelihood_ratio")
    if not undefined:
        found |= zip(ratios, skl.class_likelihood_ratios(y_true, called, **weighted), strict=True)
    return found


@settings(max_examples=15, deadline=None)
@given(counted, thresholds, st.floats(0.25, 4))
def test_replicates_are_the_weighted_metrics_of_scikit_learn(images, threshold, factor):
    y_true, y_score, weights = unpacked([*images, (0, 5, 1, 2), (1, 5, 1, 1)])
    weights = weights * np.linspace(1, factor, len(y_true))
    replicated = replicate_metrics(y_true, y_score, threshold, weights)
    for row, weight in enumerate(weights):
        expected = by_scikit_learn(y_true, y_score, threshold, weight)
        found = {name: one(replicated, row)[name] for name in expected}
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


@settings(max_examples=15, deadline=None)
@given(counted, thresholds, st.sampled_from([None, 0.1]))
def test_an_image_with_weight_three_counts_as_three_images(images, threshold, prevalence):
    y_true, y_score, weights = unpacked(images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replicated = replicate_metrics(y_true, y_score, threshold, weights, prevalence=prevalence)
    for row, weight in enumerate(weights):
        drawn = np.repeat(np.arange(len(y_true)), weight)
        if len(drawn):
            expected = binary_metrics(y_true[drawn], y_score[drawn], threshold, prevalence)
            assert one(replicated, row) == pytest.approx(expected, abs=1e-12, nan_ok=True)
        else:
            assert all(map(math.isnan, one(replicated, row).values()))


def test_weights_of_one_give_the_metrics_as_they_are():
    rng = np.random.default_rng(0)
    for decimals in (1, 17):  # with and without ties
        y_true, y_score = rng.integers(0, 2, 500), rng.uniform(size=500).round(decimals)
        expected = binary_metrics(y_true, y_score, 0.4, prevalence=0.2)
        found = replicate_metrics(y_true, y_score, 0.4, np.ones((1, 500)), prevalence=0.2)
        assert list(found) == list(expected)
        assert one(found, 0) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.data(), counted, thresholds)
def test_the_order_of_the_images_changes_nothing(data, images, threshold):
    shuffled = data.draw(st.permutations(images))
    found, again = (
        replicate_metrics(y_true, y_score, threshold, weights)
        for y_true, y_score, weights in map(unpacked, (images, shuffled))
    )
    for name in METRICS:
        np.testing.assert_allclose(again[name], found[name], rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(counted, thresholds)
def test_only_the_proportions_of_the_weights_count(images, threshold):
    y_true, y_score, weights = unpacked(images)
    found = replicate_metrics(y_true, y_score, threshold, weights)
    doubled = replicate_metrics(y_true, y_score, threshold, 2 * weights)
    for name in METRICS:
        np.testing.assert_allclose(doubled[name], found[name], rtol=1e-9, atol=1e-12)


def test_only_the_named_metrics_are_computed():
    found = replicate_metrics([0, 1], [0.1, 0.9], 0.5, [[1, 1], [1, 0]], ["npv", "roc_auc"])
    assert list(found) == ["npv", "roc_auc"]
    np.testing.assert_array_equal(found["roc_auc"], [1, np.nan])
    assert replicate_metrics([0, 1], [0.1, 0.9], 0.5, [[1, 1]], []) == {}
    with pytest.raises(SettingsError, match="'auc'"):
        replicate_metrics([0, 1], [0.1, 0.9], 0.5, [[1, 1]], ["auc"])


def test_blocks_of_any_size_give_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    y_true, y_score = rng.integers(0, 2, 40), rng.integers(0, 9, 40) / 8
    weights = rng.integers(0, 3, (50, 40))
    found = replicate_metrics(y_true, y_score, 0.5, weights)
    for block in (1, 333):
        monkeypatch.setattr(replicates, "_BLOCK", block)
        again = replicate_metrics(y_true, y_score, 0.5, weights)
        for name in METRICS:
            np.testing.assert_allclose(again[name], found[name], rtol=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (7, 1), (5, 10**6), (3, 10**9)])
def test_blocks_cover_every_row_once(rows, columns):
    covered = [row for block in row_blocks(rows, columns) for row in range(rows)[block]]
    assert covered == list(range(rows))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1], r"\(b, 2\).*shape \(2,\)"),
        ([[1, 1, 1]], r"\(b, 2\).*shape \(1, 3\)"),
        ([[1, -1]], "not negative"),
        ([[1, math.nan]], "finite"),
        ([[1, math.inf]], "finite"),
    ],
)
def test_what_are_no_weights_is_refused(weights, message):
    with pytest.raises(PredictionsError, match=message):
        replicate_metrics([0, 1], [0.1, 0.9], 0.5, weights)
