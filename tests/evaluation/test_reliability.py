import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.reliability import (
    adaptive_calibration_error,
    expected_calibration_error,
    quantile_bins,
    reliability,
    uniform_bins,
)

# Labels and scores in sevenths: ties, 0 and 1 among them.
images = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 7)), min_size=1, max_size=40)


def scored(seed: int, n: int = 200):
    rng = np.random.default_rng(seed)
    y_score = rng.beta(0.6, 0.4, n)
    return rng.binomial(1, y_score**1.5), y_score


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("bins", [4, 10])
def test_points_are_those_of_scikit_learn(bins, strategy):
    # 200 different scores, a multiple of the bins: both ways to cut quantiles agree.
    y_true, y_score = scored(1)
    found = reliability(y_true, y_score, bins, strategy)
    observed, mean_score = calibration_curve(y_true, y_score, n_bins=bins, strategy=strategy)
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.mean_score, mean_score)
    assert found.images.sum() == 200
    if strategy == "quantile":
        assert set(found.images) == {200 // bins}


def test_errors_of_a_small_example_are_those_computed_by_hand():
    y_true, y_score = [0, 1, 0, 1, 1], [0.1, 0.3, 0.6, 0.7, 1.0]
    # Halves at 0.5: 1/2 against 0.2 in two images, 2/3 against 2.3/3 in three.
    assert expected_calibration_error(y_true, y_score, 2) == pytest.approx((0.6 + 0.3) / 5)
    # The middle of the third image is just at the half, so it is in the upper bin.
    assert adaptive_calibration_error(y_true, y_score, 2) == pytest.approx((0.6 + 0.3) / 5)
    # Each score in a bin of its own.
    each = [abs(a - b) for a, b in zip(y_true, y_score, strict=True)]
    assert adaptive_calibration_error(y_true, y_score, 5) == pytest.approx(np.mean(each))


@settings(max_examples=50, deadline=None)
@given(images, st.integers(1, 20))
def test_bins_of_equal_mass_follow_their_definition(images, bins):
    y_true, y_score = np.array([(label, score / 7) for label, score in images]).T
    groups: dict[int, list[int]] = {}
    for i, score in enumerate(y_score):
        middle = (y_score < score).sum() + (y_score == score).sum() / 2
        groups.setdefault(min(math.floor(bins * middle / len(images)), bins - 1), []).append(i)
    found = reliability(y_true, y_score, bins, "quantile")
    assert found.images.tolist() == [len(groups[one]) for one in sorted(groups)]
    error = sum(abs((y_true[one] - y_score[one]).sum()) for one in groups.values()) / len(images)
    assert adaptive_calibration_error(y_true, y_score, bins) == pytest.approx(error, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(images, st.integers(1, 20))
def test_every_image_is_in_one_bin_of_each_strategy(images, bins):
    y_true, y_score = np.array([(label, score / 7) for label, score in images]).T
    for strategy in ("uniform", "quantile"):
        found = reliability(y_true, y_score, bins, strategy)
        assert found.images.min() >= 1
        assert len(found.images) <= bins
        assert (np.diff(found.mean_score) > 0).all()
        assert found.images @ found.mean_score == pytest.approx(y_score.sum())
        assert found.images @ found.observed == pytest.approx(y_true.sum())


def test_scores_on_a_border_are_in_the_upper_bin_and_one_in_the_last():
    assert uniform_bins(np.array([0, 0.2, 0.25, 0.5, 0.99, 1]), 4).tolist() == [0, 0, 1, 2, 3, 3]


def test_bins_of_many_rows_are_those_of_each_row():
    weight = np.random.default_rng(0).integers(0, 4, (20, 9)).astype(float)
    weight[3] = 0
    found = quantile_bins(weight, 5)
    np.testing.assert_array_equal(found, [quantile_bins(row, 5) for row in weight])
    assert found[3].tolist() == [0] * 9


def test_a_calibrated_model_has_an_error_near_0_and_an_overconfident_one_has_not():
    rng = np.random.default_rng(0)
    y_score = rng.uniform(size=20_000)
    y_true = rng.binomial(1, y_score)
    overconfident = np.clip(2 * y_score - 0.5, 0, 1)
    for error in (expected_calibration_error, adaptive_calibration_error):
        assert error(y_true, y_score) < 0.02
        # |2 p - 1/2 - p| is p from the ends to 1/4 and |p - 1/2| between: 1/8 on average.
        assert error(y_true, overconfident) == pytest.approx(1 / 8, abs=0.01)


def test_equal_scores_are_one_bin_whatever_the_strategy():
    assert expected_calibration_error([0, 0, 0, 1], [0.5] * 4) == 0.25
    assert adaptive_calibration_error([0, 0, 0, 1], [0.5] * 4) == 0.25
    assert reliability([0, 1], [1.0, 1.0], strategy="quantile").images.tolist() == [2]


def test_what_cannot_be_binned_is_refused():
    with pytest.raises(SettingsError, match=r"1 or more.*Received: 0"):
        reliability([0, 1], [0.1, 0.9], bins=0)
    with pytest.raises(SettingsError, match="1 or more"):
        adaptive_calibration_error([0, 1], [0.1, 0.9], bins=-1)
    with pytest.raises(SettingsError, match=r"'uniform', 'quantile'.*Received: 'equal'"):
        reliability([0, 1], [0.1, 0.9], strategy="equal")
    with pytest.raises(PredictionsError, match="position 1"):
        reliability([0, 1], [0.1, math.nan])
