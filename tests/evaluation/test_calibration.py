import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import log_loss

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.calibration import (
    fit_isotonic,
    fit_temperature,
    fit_temperature_to_logits,
    scale_temperature,
)

SEEDS = st.integers(0, 2**32 - 1)
TEMPERATURES = st.floats(0.25, 4)
few = settings(max_examples=30, deadline=None)


def drawn(seed, n=60, temperature=1.0):
    """Labels drawn from probabilities, and these probabilities made too extreme or too timid."""
    rng = np.random.default_rng(seed)
    logits = rng.uniform(-4, 4, n)
    return (rng.random(n) < expit(logits)).astype(int), expit(logits * temperature)


@pytest.mark.parametrize("seed", range(3))
def test_the_inverse_temperature_is_the_slope_of_a_logistic_regression(seed):
    y_true, y_score = drawn(seed, n=300, temperature=3)
    reference = sm.Logit(y_true, logit(y_score)).fit(disp=False)
    found = fit_temperature(y_true, y_score)
    assert found.value == pytest.approx(1 / reference.params[0], rel=1e-6)
    assert found.log_loss_after == pytest.approx(-reference.llf / 300, rel=1e-9)
    assert found.log_loss_before == pytest.approx(log_loss(y_true, y_score), rel=1e-9)
    assert found.reason is None


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_distorted_the_scores_is_found(temperature):
    y_true, y_score = drawn(0, n=20_000, temperature=temperature)
    assert fit_temperature(y_true, y_score).value == pytest.approx(temperature, rel=0.05)


@given(SEEDS, TEMPERATURES)
@few
def test_scores_that_were_scaled_get_a_temperature_scaled_back(seed, scale):
    y_true, y_score = drawn(seed)
    found = fit_temperature(y_true, y_score)
    again = fit_temperature(y_true, scale_temperature(y_score, 1 / scale))
    assert again.value == pytest.approx(found.value * scale, rel=1e-6)
    assert again.log_loss_after == pytest.approx(found.log_loss_after, rel=1e-9)


@given(SEEDS)
@few
def test_neither_the_order_of_the_images_nor_the_names_of_the_classes_matter(seed):
    y_true, y_score = drawn(seed)
    y_score[:2] = 0, 1
    found = fit_temperature(y_true, y_score)
    order = np.random.default_rng(seed).permutation(len(y_true))
    assert fit_temperature(y_true[order], y_score[order]).value == pytest.approx(found.value)
    assert fit_temperature(1 - y_true, 1 - y_score).value == pytest.approx(found.value, rel=1e-6)
    assert found.log_loss_after <= found.log_loss_before


@pytest.mark.parametrize(
    ("y_true", "y_score", "reason"),
    [
        ([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.9], "no image, or hardly any, is on the wrong side"),
        ([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0], "no image, or hardly any, is on the wrong side"),
        ([0, 1, 1], [0.4, 0.6, 0.4999], "no image, or hardly any, is on the wrong side"),
        ([0, 0, 1, 1], [0.9, 0.6, 0.3, 0.1], "hardly better than guessing"),
        ([0, 0, 1, 1], [0.5] * 4, "hardly better than guessing"),
        ([0, 0, 0], [0.2, 0.6, 0.7], "all images are NORMAL"),
        ([1, 1, 1], [0.2, 0.6, 0.7], "all images are PNEUMONIA"),
    ],
)
def test_without_a_finite_optimum_the_scores_stay_and_the_reason_is_given(y_true, y_score, reason):
    found = fit_temperature(y_true, y_score)
    assert found.value == 1
    assert found.log_loss_before == found.log_loss_after
    assert np.isfinite(found.log_loss_after)
    assert reason in found.reason


def test_classes_separated_away_from_one_half_still_have_an_optimum():
    found = fit_temperature([0, 0, 1, 1], [0.6, 0.6, 0.9, 0.9])
    assert found.reason is None
    assert found.log_loss_after < found.log_loss_before


def test_a_wrong_score_of_exactly_one_counts_as_the_float32_below_it():
    y_true, y_score = drawn(3)
    y_true[0], y_score[0] = 0, 1.0
    found = fit_temperature(y_true, y_score)
    y_score[0] = np.nextafter(np.float32(1), np.float32(0))
    assert found == fit_temperature(y_true, y_score)


def test_scores_below_what_float32_tells_from_one_count_like_their_mirror_images():
    y_true, y_score = drawn(4)
    y_score[0] = 1e-30
    found = fit_temperature(y_true, y_score)
    y_score[0] = 2.0**-24
    assert found == fit_temperature(y_true, y_score)


@given(st.lists(st.floats(-7, 7), min_size=1, max_size=20), st.floats(0.5, 4))
@few
def test_scaling_divides_logits_keeps_the_order_and_has_an_inverse(logits, temperature):
    scores = expit(logits)
    scaled = scale_temperature(scores, temperature)
    np.testing.assert_allclose(logit(scaled), np.array(logits) / temperature, atol=1e-6)
    assert (np.diff(scaled[np.argsort(scores)]) >= 0).all()
    np.testing.assert_allclose(scale_temperature(scaled, 1 / temperature), scores, rtol=1e-6)


def test_scaling_leaves_zero_one_half_and_one():
    np.testing.assert_array_equal(scale_temperature([0, 0.5, 1], 3), [0, 0.5, 1])


@pytest.mark.parametrize("temperature", [0, -1, np.inf, np.nan])
def test_a_temperature_is_a_finite_number_above_zero(temperature):
    with pytest.raises(SettingsError, match="finite number above 0"):
        scale_temperature([0.5], temperature)


@pytest.mark.parametrize("scores", [[], [[0.5]], 0.5, [np.nan], [1.5], ["high"]])
@pytest.mark.parametrize(
    "scale", [lambda scores: scale_temperature(scores, 2), fit_isotonic([0, 1], [0.2, 0.8])]
)
def test_what_is_no_score_is_refused(scale, scores):
    with pytest.raises(PredictionsError, match="`y_score`"):
        scale(scores)


@given(SEEDS)
@few
def test_isotonic_calibration_is_the_min_max_of_block_means(seed):
    # The closed form of Barlow et al., Statistical Inference under Order Restrictions (1972).
    y_true, y_score = drawn(seed, n=12)
    order = np.argsort(y_score)
    y = y_true[order]
    expected = [
        max(min(y[a : b + 1].mean() for b in range(i, len(y))) for a in range(i + 1))
        for i in range(len(y))
    ]
    np.testing.assert_allclose(fit_isotonic(y_true, y_score)(y_score[order]), expected, atol=1e-12)


def test_isotonic_calibration_is_perfect_on_what_it_was_fitted_on():
    y_true, y_score = drawn(1, n=200, temperature=3)
    calibrated = fit_isotonic(y_true, y_score)(y_score)
    assert calibrated.dtype == np.float64
    for value in np.unique(calibrated):
        assert y_true[calibrated == value].mean() == pytest.approx(value)


def test_isotonic_calibration_beyond_the_known_scores_keeps_their_ends():
    calibrated = fit_isotonic([1, 0, 1, 1], [0.3, 0.4, 0.5, 0.6])
    np.testing.assert_allclose(calibrated([0.0, 0.35, 1.0]), [0.5, 0.5, 1.0])


@pytest.mark.parametrize("label", [0, 1])
def test_isotonic_calibration_on_one_class_says_that_class(label):
    np.testing.assert_array_equal(fit_isotonic([label] * 2, [0.2, 0.8])([0.1, 0.9]), [label] * 2)


def test_logits_that_scores_would_round_away_are_fitted_as_they_are():
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 2, 400)
    logits = rng.normal(2 * y_true - 1, 2)
    expected = fit_temperature(y_true, expit(logits)).value
    found = fit_temperature_to_logits(y_true, 8 * logits)
    assert found.value == pytest.approx(8 * expected, rel=1e-6)
    assert found.log_loss_after == pytest.approx(
        log_loss(y_true, expit(logits / expected)), rel=1e-6
    )


def test_a_logit_that_is_not_finite_is_refused():
    with pytest.raises(PredictionsError, match=r"finite number. Received: inf \(1 such"):
        fit_temperature_to_logits([0, 1], [-1.0, np.inf])
