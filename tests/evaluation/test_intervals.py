import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.intervals import (
    delong_interval,
    delong_test,
    mcnemar_test,
    wilson_interval,
)

# Albumin, total protein, K-G score and outcome of 43 patients with ovarian cancer: the example of
# DeLong, DeLong & Clarke-Pearson (1988), printed with its results in the SAS/STAT User's Guide,
# The LOGISTIC Procedure, "Comparing Receiver Operating Characteristic Curves".
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""


@pytest.fixture
def ovarian() -> dict[str, np.ndarray]:
    albumin, protein, score, outcome = np.array(OVARIAN.split(), float).reshape(43, 4).T
    # Only the order counts; the K-G score points the other way.
    return {
        "outcome": outcome,
        "albumin": albumin / 10,
        "protein": protein / 10,
        "kg": (10 - score) / 10,
    }


@pytest.mark.parametrize(
    ("marker", "area", "low", "high"),
    [
        ("albumin", 0.7366, 0.5549, 0.9182),
        ("kg", 0.7258, 0.5243, 0.9273),
        ("protein", 0.6478, 0.4518, 0.8439),
    ],
)
def test_delong_intervals_are_those_published_for_ovarian_cancer(ovarian, marker, area, low, high):
    found = delong_interval(ovarian["outcome"], ovarian[marker])
    assert sum(found) / 2 == pytest.approx(area, abs=5e-5)
    assert found == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("marker", "difference", "low", "high", "p_value"),
    [
        ("albumin", 0.0108, -0.1761, 0.1976, 0.9102),
        ("protein", -0.0780, -0.2830, 0.1271, 0.4561),
    ],
)
def test_delong_tests_are_those_published_for_ovarian_cancer(
    ovarian, marker, difference, low, high, p_value
):
    found = delong_test(ovarian["outcome"], ovarian["kg"], ovarian[marker])
    assert found[2:] == pytest.approx((difference, low, high, p_value), abs=5e-5)


def delong_by_definition(y_true, *scores):
    """The areas and their covariance matrix, from every pair of images."""
    wins = []
    for score in map(np.asarray, scores):
        positive, negative = score[y_true == 1][:, None], score[y_true == 0][None, :]
        wins.append((positive > negative) + 0.5 * (positive == negative))
    pairs = np.array(wins)
    of_positives, of_negatives = np.cov(pairs.mean(axis=2)), np.cov(pairs.mean(axis=1))
    covariance = of_positives / pairs.shape[1] + of_negatives / pairs.shape[2]
    return pairs.mean(axis=(1, 2)), np.atleast_2d(covariance)


def scored(seed: int):
    """Labels and two correlated scores; odd seeds have many ties."""
    rng = np.random.default_rng(seed)
    y_true = np.r_[0, 0, 1, 1, rng.integers(0, 2, int(rng.integers(5, 60)))]
    common = rng.normal(0.4 + 0.2 * y_true, 0.15)
    both = [np.clip(common + rng.normal(0, 0.1, len(y_true)), 0, 1) for _ in "ab"]
    return y_true, *(np.round(one, 1) if seed % 2 else one for one in both)


@pytest.mark.parametrize("seed", range(10))
def test_delong_by_ranks_is_delong_by_definition(seed):
    y_true, a, b = scored(seed)
    areas, covariance = delong_by_definition(y_true, a, b)
    quantile = stats.norm.ppf(0.95)

    half = quantile * math.sqrt(covariance[0, 0])
    expected = max(areas[0] - half, 0), min(areas[0] + half, 1)
    assert delong_interval(y_true, a, level=0.9) == pytest.approx(expected)

    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = delong_test(y_true, a, b, level=0.9)
    assert found[:2] == pytest.approx((roc_auc_score(y_true, a), roc_auc_score(y_true, b)))
    difference = areas[1] - areas[0]
    assert found.difference == pytest.approx(difference)
    assert found[3:5] == pytest.approx(
        (difference - quantile * error, difference + quantile * error)
    )
    assert found.p_value == pytest.approx(2 * stats.norm.cdf(-abs(difference / error)))


def test_about_95_of_100_delong_intervals_contain_the_true_area():
    rng = np.random.default_rng(0)
    y_true = np.repeat([0, 1], [60, 40])
    truth = stats.norm.cdf(1 / math.sqrt(2))  # two normal distributions, one deviation apart
    contained = 0
    for _ in range(400):
        low, high = delong_interval(y_true, stats.norm.cdf(rng.normal(y_true, 1.0)))
        contained += low <= truth <= high
    assert 0.92 < contained / 400 < 0.98


SCORES = st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]), min_size=12, max_size=12)
LABELS = np.tile([0, 1, 1], 4)


@settings(max_examples=50, deadline=None)
@given(SCORES, SCORES)
def test_delong_follows_the_symmetries_of_the_area(a, b):
    a, b = np.array(a), np.array(b)
    found, exchanged = delong_test(LABELS, a, b), delong_test(LABELS, b, a)
    assert exchanged.difference == -found.difference
    assert (exchanged.low, exchanged.high) == pytest.approx((-found.high, -found.low), nan_ok=True)
    assert exchanged.p_value == pytest.approx(found.p_value, nan_ok=True)
    # Only the order of the scores counts.
    assert delong_test(LABELS, a**2, np.sqrt(b)) == pytest.approx(found, nan_ok=True)
    low, high = delong_interval(LABELS, a)
    mirrored = delong_interval(1 - LABELS, a)
    assert mirrored == pytest.approx((1 - high, 1 - low), nan_ok=True)


def test_perfect_separation_has_no_delong_interval():
    y_true, perfect = [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]
    assert np.isnan(delong_interval(y_true, perfect)).all()
    assert np.isnan(delong_interval([1, 1, 0, 0], perfect)).all()


def test_a_single_image_of_a_class_has_no_delong_interval():
    assert np.isnan(delong_interval([0, 1, 1], [0.5, 0.2, 0.8])).all()


def test_models_of_the_same_order_do_not_differ():
    y_true, a, _ = scored(2)
    found = delong_test(y_true, a, a / 2)
    assert (found.difference, found.p_value) == (0, 1)
    assert np.isnan([found.low, found.high]).all()


def test_a_difference_without_a_variance_has_no_p_value():
    found = delong_test([0, 0, 1, 1], [0.8, 0.9, 0.1, 0.2], [0.1, 0.2, 0.8, 0.9])
    assert found.difference == 1
    assert np.isnan([found.low, found.high, found.p_value]).all()


def test_one_class_has_no_area():
    with pytest.raises(PredictionsError, match=r"both classes.*2 images, all PNEUMONIA"):
        delong_interval([1, 1], [0.2, 0.4])
    with pytest.raises(PredictionsError, match="all NORMAL"):
        delong_test([0, 0], [0.2, 0.4], [0.1, 0.3])


@pytest.mark.parametrize(
    ("successes", "total"), [(0, 1), (0, 12), (1, 12), (7, 12), (12, 12), (380, 390)]
)
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_agrees_with_statsmodels(successes, total, level):
    expected = proportion_confint(successes, total, alpha=1 - level, method="wilson")
    assert wilson_interval(successes, total, level) == pytest.approx(expected, abs=1e-12)


def test_no_cases_have_no_wilson_interval():
    assert np.isnan(wilson_interval(0, 0)).all()


@pytest.mark.parametrize(("successes", "total"), [(-1, 5), (6, 5)])
def test_counts_that_are_no_share_are_refused(successes, total):
    with pytest.raises(SettingsError, match=rf"Received: {successes} of {total}"):
        wilson_interval(successes, total)


@pytest.mark.parametrize("level", [0, 1, 95, math.nan])
def test_a_level_that_is_none_is_refused(level):
    y_true, a, b = scored(0)
    for call in (
        lambda: wilson_interval(1, 2, level),
        lambda: delong_interval(y_true, a, level),
        lambda: delong_test(y_true, a, b, level),
    ):
        with pytest.raises(SettingsError, match=r"`level` must be in \(0, 1\)"):
            call()


@pytest.mark.parametrize("seed", range(6))
def test_mcnemar_agrees_with_statsmodels(seed):
    rng = np.random.default_rng(seed)
    y_true, a, b = rng.integers(0, 2, (3, 40))
    right_a, right_b = y_true == a, y_true == b
    table = [
        [(right_a & right_b).sum(), (right_a & ~right_b).sum()],
        [(~right_a & right_b).sum(), (~right_a & ~right_b).sum()],
    ]
    found = mcnemar_test(y_true, a, b)
    assert (found.only_a_right, found.only_b_right) == (table[0][1], table[1][0])
    assert found.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert mcnemar_test(1 - y_true, 1 - a, 1 - b) == found


def test_models_that_err_on_the_same_images_do_not_differ():
    assert mcnemar_test([0, 1], [1, 1], np.array([True, True])) == (0, 0, 1.0)


def test_scores_are_not_taken_for_calls():
    with pytest.raises(PredictionsError, match=r"`called_b`.*0\.3 at position 1.*predicted_labels"):
        mcnemar_test([0, 1], [0, 1], [0.0, 0.3])
