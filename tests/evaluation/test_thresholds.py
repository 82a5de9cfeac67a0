import json
import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.metrics import confusion_counts
from keras_pneumo.evaluation.thresholds import (
    POLICIES,
    Threshold,
    ThresholdPolicy,
    choose_threshold,
)


def scored(seed: int):
    """Random labels and scores; odd seeds have many ties, and scores of exactly 0 and 1."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 60))
    y_true = np.r_[0, 1, rng.integers(0, 2, n)]
    y_score = np.clip(rng.normal(0.3 + 0.4 * y_true, 0.25), 0, 1)
    return y_true, np.round(y_score, 1) if seed % 2 else np.float64(y_score.astype(np.float32))


def candidates(y_score):
    """Every threshold that can matter, found in the most naive way."""
    distinct = sorted({0.0, 1.0, *map(float, y_score)})
    return [0.0, *((a + b) / 2 for a, b in pairwise(distinct)), 1.0]


def sensitivity(y_true, y_score, threshold) -> Fraction:
    called = y_score[y_true == 1] >= threshold
    return Fraction(int(called.sum()), len(called))


def specificity(y_true, y_score, threshold) -> Fraction:
    called = y_score[y_true == 0] >= threshold
    return Fraction(int((~called).sum()), len(called))


def f_beta(y_true, y_score, threshold, beta) -> Fraction:
    found, n_called = (y_score[y_true == 1] >= threshold).sum(), (y_score >= threshold).sum()
    return Fraction(int((1 + beta**2) * found), int(beta**2 * y_true.sum() + n_called))


@pytest.mark.parametrize("seed", range(12))
def test_youden_is_the_best_that_brute_force_finds(seed):
    data = scored(seed)

    def index(threshold):
        return sensitivity(*data, threshold) + specificity(*data, threshold) - 1

    chosen = choose_threshold(*data).value
    assert 0 <= chosen <= 1
    assert index(chosen) == max(map(index, candidates(data[1])))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("beta", [1, 2])
def test_f_beta_is_the_best_that_brute_force_finds(seed, beta):
    data = scored(seed)
    chosen = choose_threshold(*data, f"f_beta={beta}").value
    best = max(f_beta(*data, threshold, beta) for threshold in candidates(data[1]))
    assert f_beta(*data, chosen, beta) == best


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("target", ["0.5", "0.8", "0.95", "1"])
def test_target_sensitivity_is_reached_by_no_higher_threshold(seed, target):
    data = scored(seed)
    chosen = choose_threshold(*data, f"sensitivity={target}").value
    assert sensitivity(*data, chosen) >= Fraction(target)
    n_called = (data[1] >= chosen).sum()
    for higher in (one for one in candidates(data[1]) if (data[1] >= one).sum() < n_called):
        assert sensitivity(*data, higher) < Fraction(target)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("target", ["0.5", "0.8", "0.9"])
def test_target_specificity_is_reached_by_no_lower_threshold(seed, target):
    data = scored(seed)
    chosen = choose_threshold(*data, f"specificity={target}").value
    assert specificity(*data, chosen) >= Fraction(target)
    n_called = (data[1] >= chosen).sum()
    for lower in (one for one in candidates(data[1]) if (data[1] >= one).sum() > n_called):
        assert specificity(*data, lower) < Fraction(target)


@pytest.mark.parametrize("policy", ["youden", "sensitivity=0.9", "specificity=0.5", "f_beta=2"])
@pytest.mark.parametrize("seed", range(0, 12, 2))
def test_a_threshold_lies_in_the_middle_of_a_gap_or_at_an_end(policy, seed):
    y_true, y_score = scored(seed)
    distinct = np.unique(y_score.astype(np.float64))
    chosen = choose_threshold(y_true, y_score, policy).value
    middles = (distinct[1:] + distinct[:-1]) / 2
    assert chosen in (0, 1) or np.isclose(middles, chosen, rtol=0, atol=1e-15).any()


def test_targets_in_decimals_are_met_exactly():
    # 19 of 20 is 0.95 on paper; neither is a binary fraction.
    y_true = [0] * 20 + [1] * 20
    y_score = [i / 100 for i in range(19)] + [0.95] + [0.05] + [0.8] * 19
    chosen = choose_threshold(y_true, y_score, "sensitivity=0.95").value
    assert chosen == pytest.approx((0.18 + 0.8) / 2)
    chosen = choose_threshold(y_true, y_score, "specificity=0.95").value
    assert chosen == pytest.approx((0.18 + 0.8) / 2)


def test_among_equally_good_gaps_the_widest_wins_and_then_the_lowest():
    # Youden's index is 0.5 in the gaps 0.2-0.3 and 0.4-0.8.
    assert choose_threshold([0, 1, 0, 1], [0.2, 0.3, 0.4, 0.8]).value == pytest.approx(0.6)
    assert choose_threshold([0, 1, 0, 1], [0.125, 0.375, 0.5, 0.75]).value == 0.25


def test_neighbouring_floats_are_still_told_apart():
    low = np.nextafter(0.7, 0)
    for pair in ([low, 0.7], [0.0, 5e-324], [np.nextafter(1, 0), 1.0]):
        chosen = choose_threshold([0, 1], pair).value
        assert confusion_counts([0, 1], pair, chosen) == {"tn": 1, "fp": 0, "fn": 0, "tp": 1}


def test_one_class_is_refused_except_for_a_fixed_threshold():
    with pytest.raises(PredictionsError, match=r"both classes.*test, all NORMAL.*fixed="):
        choose_threshold([0, 0], [0.1, 0.9], chosen_on="test")
    fixed = choose_threshold([0, 0], [0.1, 0.9], "fixed=0.3")
    assert fixed == Threshold(0.3, "fixed=0.3", "none")


def test_an_unreachable_specificity_is_refused_with_the_highest_possible():
    with pytest.raises(PredictionsError, match=r"reached is 0\.5: 1 of 2 NORMAL"):
        choose_threshold([0, 0, 1], [0.2, 1.0, 1.0], "specificity=0.9")


@pytest.mark.parametrize("text", POLICIES)
def test_a_policy_prints_as_it_is_read(text):
    policy = ThresholdPolicy.parse(text)
    assert str(policy) == text
    assert ThresholdPolicy.parse(str(policy)) == policy
    assert policy.in_words()


def test_a_policy_text_is_brought_into_one_form():
    assert str(ThresholdPolicy.parse(" specificity = 0.90 ")) == "specificity=0.9"
    chosen = choose_threshold([0, 1], [0.2, 0.6], "sensitivity=1.0", chosen_on="fold 3")
    assert (chosen.policy, chosen.chosen_on) == ("sensitivity=1", "fold 3")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "best",
        "youden=1",
        "sensitivity",
        "sensitivity=",
        "sensitivity=95",
        "specificity=0",
        "specificity=nan",
        "f_beta=-1",
        "f_beta=inf",
        "fixed=1.5",
        "fixed=high",
    ],
)
def test_what_is_no_policy_is_refused_with_examples(text):
    with pytest.raises(SettingsError, match=r"'youden', 'sensitivity=0.95'.*Received: '"):
        choose_threshold([0, 1], [0.2, 0.6], text)


def test_a_threshold_survives_json():
    threshold = choose_threshold([0, 0, 1, 1], [0.1, 1 / 3, 0.7, 0.9])
    assert Threshold.from_dict(json.loads(json.dumps(threshold.to_dict()))) == threshold


@pytest.mark.parametrize(
    "given",
    [
        {"value": 0.5, "policy": "youden"},
        {"value": 1.5, "policy": "youden", "chosen_on": "validation"},
        {"value": math.nan, "policy": "youden", "chosen_on": "validation"},
        {"value": 0.5, "policy": "magic", "chosen_on": "validation"},
    ],
)
def test_what_is_no_threshold_is_refused(given):
    with pytest.raises(SettingsError, match="Received"):
        Threshold.from_dict(given)


def test_a_threshold_is_never_shown_as_zero_or_one_by_rounding():
    for value in (1e-9, 0.99996, np.nextafter(1, 0)):
        assert 0 < float(Threshold(value, "youden", "validation").rounded()) < 1
    assert Threshold(1.0, "fixed=1", "none").rounded() == "1"
    assert str(Threshold(0.25, "youden", "validation")) == "0.25 (youden, chosen on validation)"
    assert str(Threshold(0.25, "fixed=0.25", "none")) == "0.25 (fixed=0.25)"
