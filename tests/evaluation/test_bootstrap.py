import dataclasses
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation import replicates
from keras_pneumo.evaluation.bootstrap import (
    METHODS,
    bootstrap_difference,
    bootstrap_metrics,
    patient_weights,
)
from keras_pneumo.evaluation.intervals import delong_interval, wilson_interval
from keras_pneumo.evaluation.metrics import METRICS, binary_metrics
from keras_pneumo.evaluation.replicates import replicate_metrics


def scored(seed: int, n: int, separation: float = 1.5):
    rng = np.random.default_rng(seed)
    y_true = np.arange(n) % 3 % 2
    return y_true, 1 / (1 + np.exp(-rng.normal(separation * (2 * y_true - 1), 1.5)))


def patients(n: int, images_each: int):
    # Padded, so that their order by name is that of their numbers.
    return [f"person{i // images_each:04}" for i in range(n)]


def test_each_resample_draws_as_many_patients_as_there_are_with_all_their_images():
    groups = np.array(list("abbcccdddd"))
    weights = patient_weights(groups, resamples=500, seed=1)
    assert weights.shape == (500, 10)
    for patient in "abcd":
        of_patient = weights[:, groups == patient]
        assert (of_patient == of_patient[:, :1]).all()
    times = weights[:, [0, 1, 3, 6]]
    assert (times.sum(axis=1) == 4).all()
    # Multinomial: mean 1, variance 1 - 1/4.
    np.testing.assert_allclose(times.mean(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(times.var(axis=0), 0.75, atol=0.15)


def test_the_same_seed_draws_the_same_in_blocks_of_any_size(monkeypatch):
    groups = patients(30, 2)
    weights = patient_weights(groups, resamples=40, seed=3)
    assert not np.array_equal(weights, patient_weights(groups, resamples=40, seed=4))
    monkeypatch.setattr(replicates, "_BLOCK", 200)
    np.testing.assert_array_equal(patient_weights(groups, resamples=40, seed=3), weights)


def test_a_percentile_interval_is_that_of_the_replicates_on_the_patient_weights():
    y_true, y_score = scored(0, 90)
    groups = patients(90, 2)
    found = bootstrap_metrics(
        y_true, y_score, 0.5, groups, method="percentile", level=0.9, resamples=200, seed=5
    )
    weights = patient_weights(groups, resamples=200, seed=5)
    replicated = replicate_metrics(y_true, y_score, 0.5, weights)
    values = binary_metrics(y_true, y_score, 0.5)
    assert tuple(found) == METRICS
    for name, estimate in found.items():
        assert estimate.value == values[name]
        if estimate.method is not None:
            assert estimate.method == "percentile"
            ends = np.nanquantile(replicated[name], [0.05, 0.95])
            assert estimate[1:3] == pytest.approx(tuple(ends))
    assert found["roc_auc"].method == found["mcc"].method == "percentile"


def rank_auc(y_true, y_score, axis=-1):
    ranks = stats.rankdata(y_score, axis=axis)
    n_pneumonia = y_true.sum(axis=axis)
    above = (ranks * y_true).sum(axis=axis) - n_pneumonia * (n_pneumonia + 1) / 2
    return above / (n_pneumonia * (y_true.shape[axis] - n_pneumonia))


SCIPY = {
    "roc_auc": rank_auc,
    "brier_score": lambda y_true, y_score, axis=-1: ((y_true - y_score) ** 2).mean(axis=axis),
    "recall": lambda y_true, y_score, axis=-1: (
        ((y_score >= 0.5) & (y_true == 1)).sum(axis=axis) / y_true.sum(axis=axis)
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SCIPY)
def test_ungrouped_intervals_are_those_of_scipy(name, method):
    y_true, y_score = scored(1, 60)
    theirs = {"data": (y_true, y_score), "statistic": SCIPY[name], "paired": True}
    theirs["method"] = {"bca": "BCa", "percentile": "percentile"}[method]
    drawn = stats.bootstrap(**theirs, n_resamples=3000, random_state=0)
    found = bootstrap_metrics(y_true, y_score, 0.5, names=[name], method=method, resamples=3000)
    found = found[name]
    assert found.method == method
    # Within the Monte Carlo error of other resamples, and exactly on the same.
    low, high = drawn.confidence_interval
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.06 * (high - low))
    weights = patient_weights(patients(60, 1), resamples=3000)
    ours = replicate_metrics(y_true, y_score, 0.5, weights, [name])[name]
    same = dataclasses.replace(drawn, bootstrap_distribution=ours)
    low, high = stats.bootstrap(**theirs, n_resamples=0, bootstrap_result=same).confidence_interval
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6)


def test_the_interval_of_the_area_is_close_to_delong_on_independent_images():
    y_true, y_score = scored(2, 400)
    low, high = delong_interval(y_true, y_score)
    for method in METHODS:
        found = bootstrap_metrics(y_true, y_score, 0.5, names=["roc_auc"], method=method)
        assert found["roc_auc"][1:3] == pytest.approx((low, high), abs=0.12 * (high - low))


@pytest.mark.parametrize("method", METHODS)
def test_images_shown_twice_add_nothing_unless_the_patients_are_ignored(method):
    y_true, y_score = scored(3, 100)
    once = bootstrap_metrics(y_true, y_score, 0.5, method=method, resamples=1000)
    twice = np.repeat([y_true, y_score], 2, axis=1)
    grouped = bootstrap_metrics(*twice, 0.5, patients(200, 2), method=method, resamples=1000)
    ignored = bootstrap_metrics(*twice, 0.5, method=method, resamples=1000)
    for name in METRICS:
        assert grouped[name][:3] == pytest.approx(once[name][:3], nan_ok=True)
    for name in ("accuracy", "recall", "f1", "roc_auc", "average_precision", "brier_score"):
        narrower = (ignored[name].high - ignored[name].low) / (once[name].high - once[name].low)
        assert narrower == pytest.approx(math.sqrt(1 / 2), abs=0.08)


@settings(max_examples=15, deadline=None)
@given(st.data(), st.integers(0, 1000), st.sampled_from(METHODS))
def test_the_order_of_the_images_changes_no_estimate(data, seed, method):
    y_true, y_score = scored(seed, 24)
    groups = np.array(patients(24, 2))
    order = np.array(data.draw(st.permutations(range(24))))
    given_names = ["recall", "roc_auc", "adaptive_calibration_error"]
    found, shuffled = (
        bootstrap_metrics(*images, names=given_names, method=method, resamples=100)
        for images in (
            (y_true, y_score, 0.5, groups),
            (y_true[order], y_score[order], 0.5, groups[order]),
        )
    )
    for name in given_names:
        assert shuffled[name][:3] == pytest.approx(found[name][:3], nan_ok=True)
        assert shuffled[name][3:] == found[name][3:]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 4)), min_size=1),
    st.sampled_from(METHODS),
)
def test_every_nan_has_a_reason_and_every_reason_belongs_to_a_nan(images, method):
    y_true, eighths, groups = np.array(images).T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap_metrics(
            y_true, eighths / 8, 0.45, groups, method=method, resamples=50, prevalence=0.1
        )
    for estimate in found.values():
        assert (estimate.reason is None) == (estimate.method is not None)
        assert (estimate.reason is None) == (not np.isnan(estimate[:3]).any())
        assert math.isnan(estimate.low) == math.isnan(estimate.high)
        if estimate.reason is None:
            assert estimate.low <= estimate.high


def test_a_perfect_share_gets_the_interval_of_wilson_for_its_patients():
    # 6 patients have a PNEUMONIA image, 4 a NORMAL one; two of them have both.
    y_true = [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    groups = list("abcdefefghh")
    y_score = np.where(y_true, 0.9, 0.1)
    found = bootstrap_metrics(y_true, y_score, 0.5, groups, resamples=200)
    for name, n_patients in {
        "accuracy": 8,
        "precision": 6,
        "recall": 6,
        "specificity": 4,
        "npv": 4,
    }.items():
        expected = (1.0, *wilson_interval(n_patients, n_patients), "wilson", None)
        assert found[name] == expected
    for name in ("f1", "mcc", "roc_auc", "average_precision", "brier_score", "log_loss"):
        assert math.isnan(found[name].low)
        assert found[name].reason == "all resamples give the same value"
    none_found = bootstrap_metrics(y_true, 1 - y_score, 0.5, groups, resamples=200)["recall"]
    assert none_found == (0.0, *wilson_interval(0, 6), "wilson", None)


def test_one_patient_is_one_case():
    found = bootstrap_metrics([0, 0, 1, 1], [0.1, 0.7, 0.6, 0.9], 0.5, ["a"] * 4)
    assert found["recall"] == (1.0, *wilson_interval(1, 1), "wilson", None)
    assert found["accuracy"].low < 0.75 < found["accuracy"].high
    assert found["roc_auc"].reason == "all resamples give the same value"


def test_a_metric_that_is_often_undefined_has_no_interval():
    y_true, y_score = [0] + [1] * 29, [0.1] + [0.6, 0.9, 0.2] * 9 + [0.7, 0.8]
    found = bootstrap_metrics(y_true, y_score, 0.5)
    # The only NORMAL image is missing from (1 - 1/30)^30 = 36 % of the resamples.
    for name in ("specificity", "roc_auc", "mcc"):
        assert found[name][3] is None
        assert 33 < float(found[name].reason.split()[2]) < 39
    assert found["recall"].method == "bca"
    undefined = bootstrap_metrics([1, 1, 1], [0.1, 0.6, 0.9], 0.5)["specificity"]
    assert undefined.reason == "no image is NORMAL"
    assert math.isnan(undefined.value)


def test_up_to_one_resample_in_twenty_may_be_undefined():
    y_true, y_score = [0] * 4 + [1] * 40, [0.6, 0.3, 0.2, 0.1] + [0.4, 0.7] * 20
    drawn = replicate_metrics(y_true, y_score, 0.5, patient_weights(range(44)), ["specificity"])
    assert 0 < np.isnan(drawn["specificity"]).mean() < 0.05
    assert bootstrap_metrics(y_true, y_score, 0.5)["specificity"].method == "bca"


def test_the_error_of_a_calibrated_model_has_no_interval_since_resampling_adds_to_it():
    rng = np.random.default_rng(0)
    y_score = rng.uniform(size=200)
    y_true = rng.binomial(1, y_score)
    for method in METHODS:
        found = bootstrap_metrics(y_true, y_score, 0.5, method=method, resamples=300)
        assert found["expected_calibration_error"].reason.startswith("biased: ")
        assert found["brier_score"].method == method


def test_bca_is_percentile_where_its_correction_has_no_end():
    # One error in 40: so skewed that a level this high leaves the formula without a solution.
    y_true, y_score = np.array([0, 1] * 20), np.array([0.9, 0.9] + [0.1, 0.9] * 19)
    found = bootstrap_metrics(y_true, y_score, 0.5, names=["accuracy"], level=1 - 1e-12)
    assert found["accuracy"].method == "percentile"
    assert bootstrap_metrics(y_true, y_score, 0.5)["accuracy"].method == "bca"


def test_bca_is_percentile_where_the_metric_needs_those_left_out(monkeypatch):
    monkeypatch.setattr("keras_pneumo.evaluation.bootstrap._LEFT_OUT_AT_MOST", 2)
    y_true, y_score = np.array([0, 1] * 20), np.linspace(0.3, 0.9, 40)
    found = bootstrap_metrics(y_true, y_score, 0.5, names=["specificity", "accuracy"])
    assert found["specificity"].method == "percentile"
    assert found["accuracy"].method == "bca"


def test_bca_leaves_out_patients_by_the_several_when_they_are_many(monkeypatch):
    y_true, y_score = scored(6, 300)
    each = bootstrap_metrics(y_true, y_score, 0.5, names=["brier_score"])["brier_score"]
    monkeypatch.setattr("keras_pneumo.evaluation.bootstrap._LEFT_OUT_AT_MOST", 150)
    pairs = bootstrap_metrics(y_true, y_score, 0.5, names=["brier_score"])["brier_score"]
    assert pairs != each
    assert pairs[1:3] == pytest.approx(each[1:3], abs=0.05 * (each.high - each.low))


def test_estimates_repeat_exactly_with_the_same_seed():
    y_true, y_score = scored(4, 60)
    one, same, other = (
        bootstrap_metrics(y_true, y_score, 0.5, resamples=100, names=["f1"], seed=seed)
        for seed in (0, 0, 1)
    )
    assert one == same != other


def test_a_difference_is_taken_on_the_same_resamples():
    y_true, y_score = scored(5, 120)
    better = np.clip(y_score + 0.1 * (2 * y_true - 1), 0, 1)
    groups = patients(120, 2)
    found = bootstrap_difference(y_true, y_score, better, 0.5, 0.4, groups, resamples=300)
    weights = patient_weights(groups, resamples=300)
    a = replicate_metrics(y_true, y_score, 0.5, weights)
    b = replicate_metrics(y_true, better, 0.4, weights)
    values_a, values_b = binary_metrics(y_true, y_score, 0.5), binary_metrics(y_true, better, 0.4)
    assert tuple(found) == METRICS
    for name, estimate in found.items():
        assert estimate.value == values_b[name] - values_a[name]
        if estimate.reason is None:
            ends = np.nanquantile(b[name] - a[name], [0.025, 0.975])
            assert estimate[1:3] == pytest.approx(tuple(ends))
            assert estimate.method == "percentile"
    alone = bootstrap_metrics(y_true, y_score, 0.5, groups, resamples=300)["roc_auc"]
    assert found["roc_auc"].low > 0
    assert found["roc_auc"].high - found["roc_auc"].low < alone.high - alone.low


def test_swapping_the_models_turns_the_difference_round():
    y_true, y_score = scored(7, 60)
    other = np.clip(y_score**2 + 0.1 * (np.arange(60) % 5 == 0), 0, 1)
    there = bootstrap_difference(y_true, y_score, other, 0.5, 0.3, resamples=200)
    back = bootstrap_difference(y_true, other, y_score, 0.3, 0.5, resamples=200)
    for name in METRICS:
        turned = tuple(-np.array([back[name].value, back[name].high, back[name].low]))
        assert there[name][:3] == pytest.approx(turned, nan_ok=True)


def test_a_model_does_not_differ_from_itself_and_undefined_differences_say_whose():
    y_true, y_score = scored(8, 30)
    for estimate in bootstrap_difference(y_true, y_score, y_score, 0.5, 0.5).values():
        assert estimate.value == 0
        assert estimate.method is None
        assert estimate.reason == "all resamples give the same value"
    found = bootstrap_difference(y_true, y_score, y_score / 4, 0.5, 0.5, names=["precision"])
    assert math.isnan(found["precision"].value)
    assert found["precision"].reason == "b: no image is called PNEUMONIA"


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"groups": ["a"] * 3}, PredictionsError, r"shape \(4,\).*shape \(3,\)"),
        ({"groups": [["a", "b"], ["c", "d"]]}, PredictionsError, r"shape \(2, 2\)"),
        ({"groups": ["a", None, "b", None]}, PredictionsError, "None at position 1 .2 such"),
        ({"groups": [1.0, 2.0, 3.0, math.nan]}, PredictionsError, "nan at position 3"),
        ({"level": 0}, SettingsError, r"\(0, 1\).*Received: 0\."),
        ({"level": 95}, SettingsError, r"\(0, 1\).*Received: 95\."),
        ({"level": math.nan}, SettingsError, r"\(0, 1\)"),
        ({"resamples": 19}, SettingsError, "20 or more.*Received: 19"),
        ({"names": ["auc"]}, SettingsError, "Received: 'auc'"),
    ],
)
def test_wrong_arguments_are_refused(wrong, error, message):
    y_true, y_score = [0, 0, 1, 1], [0.1, 0.7, 0.6, 0.9]
    with pytest.raises(error, match=message):
        bootstrap_metrics(y_true, y_score, 0.5, **wrong)
    with pytest.raises(error, match=message):
        bootstrap_difference(y_true, y_score, y_score, 0.5, 0.5, **wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "basic"}, r"'bca', 'percentile'.*Received: 'basic'"),
        ({"prevalence": 1.0}, r"`prevalence`.*Received: 1\.0"),
        ({"names": ["npv_at_prevalence"]}, "need a `prevalence`"),
    ],
)
def test_wrong_settings_of_metrics_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        bootstrap_metrics([0, 1], [0.1, 0.9], 0.5, **wrong)


def test_no_patients_cannot_be_drawn():
    with pytest.raises(PredictionsError, match="shape"):
        patient_weights([])
    with pytest.raises(SettingsError, match="20 or more"):
        patient_weights(["a", "b"], resamples=1)
