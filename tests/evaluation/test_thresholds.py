import json
import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.metrics import confusion_counts
from keras_pneumo.evaluation.policies import POLICIES, ThresholdPolicy
from keras_pneumo.evaluation.thresholds import (
    Threshold,
    choose_in_resamples,
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


def cost(y_true, y_score, threshold, ratio: Fraction) -> Fraction:
    called = y_score >= threshold
    missed, false_alarms = (~called & (y_true == 1)).sum(), (called & (y_true == 0)).sum()
    return ratio * int(missed) + int(false_alarms)


def cost_at(y_true, y_score, threshold, ratio: Fraction, prevalence: Fraction) -> Fraction:
    missed = 1 - sensitivity(y_true, y_score, threshold)
    false_alarms = 1 - specificity(y_true, y_score, threshold)
    return ratio * prevalence * missed + (1 - prevalence) * false_alarms


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("ratio", ["0.1", "1", "5", "1000"])
def test_cost_ratio_is_the_cheapest_that_brute_force_finds(seed, ratio):
    data = scored(seed)
    chosen = choose_threshold(*data, f"cost_ratio={ratio}").value
    cheapest = min(cost(*data, one, Fraction(ratio)) for one in candidates(data[1]))
    assert cost(*data, chosen, Fraction(ratio)) == cheapest


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("ratio", "prevalence"), [("5", "0.1"), ("1", "0.5"), ("20", "0.003")])
def test_cost_at_a_prevalence_is_the_cheapest_that_brute_force_finds(seed, ratio, prevalence):
    data, numbers = scored(seed), (Fraction(ratio), Fraction(prevalence))
    chosen = choose_threshold(*data, f"cost_ratio={ratio}@prevalence={prevalence}").value
    cheapest = min(cost_at(*data, one, *numbers) for one in candidates(data[1]))
    assert cost_at(*data, chosen, *numbers) == cheapest


def test_the_prevalence_of_the_images_changes_nothing():
    y_true, y_score = np.tile([0, 1, 1, 1], 10), np.linspace(0, 1, 40) ** 2
    plain = choose_threshold(y_true, y_score, "cost_ratio=0.4")
    assert choose_threshold(y_true, y_score, "cost_ratio=0.4@prevalence=0.75").value == plain.value


def test_equal_costs_of_both_errors_at_equal_classes_are_the_index_of_youden():
    y_true, y_score = scored(0)
    youden = choose_threshold(y_true, y_score, "youden")
    assert choose_threshold(y_true, y_score, "cost_ratio=1@prevalence=0.5").value == youden.value


def test_the_dearer_a_miss_the_lower_the_threshold():
    y_true, y_score = scored(2)
    chosen = [
        choose_threshold(y_true, y_score, f"cost_ratio={ratio}{at}").value
        for at in ("", "@prevalence=0.1")
        for ratio in (0.01, 0.5, 1, 2, 5, 100)
    ]
    assert chosen[:6] == sorted(chosen[:6], reverse=True)
    assert chosen[6:] == sorted(chosen[6:], reverse=True)
    # A rarer disease makes false alarms the larger part.
    assert all(rare >= common for common, rare in zip(chosen[:6], chosen[6:], strict=True))


def test_a_score_of_one_is_always_called_pneumonia():
    # Calling nothing PNEUMONIA would be the cheapest, but no threshold in [0, 1] is above 1.
    chosen = choose_threshold([1, 0, 0, 0], [0.2, 0.5, 1.0, 1.0], "cost_ratio=0.1").value
    assert chosen == 0.75


def test_costs_that_tie_on_paper_are_decided_by_the_gap():
    # One miss and one false alarm, at 0.15, cost as much as six misses, at 0.575; in floats less.
    assert 0.2 * 1 + 1 < 0.2 * 6
    y_true = [1, 0, 1, 1, 1, 1, 1, 0, 1]
    y_score = [0.05, 0.1, 0.2, 0.21, 0.22, 0.23, 0.24, 0.25, 0.9]
    assert choose_threshold(y_true, y_score, "cost_ratio=0.2").value == pytest.approx(0.575)


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


@pytest.mark.parametrize(
    "policy", ["youden", "sensitivity=0.9", "specificity=0.5", "f_beta=2", "cost_ratio=5"]
)
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


CHOOSING = [policy for policy in POLICIES if not policy.startswith("fixed")]


@pytest.mark.parametrize("policy", CHOOSING)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_choice_in_a_resample_is_the_choice_on_its_images(policy, seed):
    y_true, y_score = scored(seed)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(y_true), np.full(len(y_true), 1 / len(y_true)), 40)
    found = choose_in_resamples(y_true, y_score, policy, weights)
    assert found.shape == (40,)
    for count, value in zip(weights, found, strict=True):
        drawn = np.repeat(np.arange(len(y_true)), count)
        try:
            expected = choose_threshold(y_true[drawn], y_score[drawn], policy).value
        except PredictionsError:
            expected = math.nan
        assert value == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(CHOOSING),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_neither_order_nor_doubled_images_change_a_choice(policy, images, random):
    y_true, y_score = np.array(images).T / [[1], [8]]
    shuffled = list(range(len(images)))
    random.shuffle(shuffled)
    ones = np.ones((1, len(images)))
    found = choose_in_resamples(y_true, y_score, policy, ones)
    again = choose_in_resamples(y_true[shuffled], y_score[shuffled], policy, 2 * ones)
    assert again == pytest.approx(found, rel=0, abs=0, nan_ok=True)


def test_resamples_without_a_possible_choice_are_nan():
    y_true, y_score = [0, 0, 1], [0.2, 1.0, 0.6]
    weights = [[1, 1, 1], [1, 1, 0], [0, 0, 3], [2, 0, 1], [0, 0, 0]]
    found = choose_in_resamples(y_true, y_score, "specificity=0.9", weights)
    assert found == pytest.approx([math.nan, math.nan, math.nan, 0.4, math.nan], nan_ok=True)


def test_what_cannot_be_chosen_again_is_refused():
    with pytest.raises(SettingsError, match=r"choose again.*'fixed=0\.5'"):
        choose_in_resamples([0, 1], [0.2, 0.6], "fixed=0.5", [[1, 1]])
    with pytest.raises(PredictionsError, match=r"\(b, n\), n = 2.*\(1, 3\)"):
        choose_in_resamples([0, 1], [0.2, 0.6], "youden", [[1, 1, 1]])


@pytest.mark.parametrize("text", POLICIES)
def test_a_policy_prints_as_it_is_read(text):
    policy = ThresholdPolicy.parse(text)
    assert str(policy) == text
    assert ThresholdPolicy.parse(str(policy)) == policy
    assert policy.in_words()


def test_a_policy_text_is_brought_into_one_form():
    assert str(ThresholdPolicy.parse(" specificity = 0.90 ")) == "specificity=0.9"
    spaced = " cost_ratio = 5.0 @ prevalence = 0.10 "
    assert str(ThresholdPolicy.parse(spaced)) == "cost_ratio=5@prevalence=0.1"
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
        "cost_ratio",
        "cost_ratio=0",
        "cost_ratio=1001",
        "cost_ratio=5@prevalence=0",
        "cost_ratio=5@prevalence=1",
        "cost_ratio=5@prevalence=nan",
        "cost_ratio=5@prevalence=10%",
        "cost_ratio=5@prevalence",
        "cost_ratio=5@",
        "cost_ratio=5@share=0.1",
        "cost_ratio@prevalence=0.1",
        "youden@prevalence=0.1",
        "fixed=0.5@prevalence=0.1",
        "fixed=1.5",
        "fixed=high",
    ],
)
def test_what_is_no_policy_is_refused_with_examples(text):
    with pytest.raises(SettingsError, match=r"'youden', 'sensitivity=0.95'.*Received: '"):
        choose_threshold([0, 1], [0.2, 0.6], text)


@pytest.mark.parametrize("interval", [None, (1 / 3, 0.7), (0.5, 0.5)])
def test_a_threshold_survives_json(interval):
    chosen = choose_threshold([0, 0, 1, 1], [0.1, 1 / 3, 0.7, 0.9])
    threshold = replace(chosen, interval=interval)
    assert Threshold.from_dict(json.loads(json.dumps(threshold.to_dict()))) == threshold


def test_a_threshold_from_before_there_were_intervals_is_read():
    given = {"value": 0.5, "policy": "youden", "chosen_on": "validation"}
    assert Threshold.from_dict(given) == Threshold(0.5, "youden", "validation")


def test_an_interval_that_is_not_known_is_none():
    threshold = Threshold(0.5, "youden", "validation", (math.nan, math.nan))
    assert threshold.interval is None
    assert threshold == Threshold(0.5, "youden", "validation")


@pytest.mark.parametrize("interval", [(0.4, 0.2), (-0.1, 0.2), (0.4, 1.1), (0.4, math.nan)])
def test_what_is_no_interval_is_refused(interval):
    with pytest.raises(SettingsError, match="two scores in"):
        Threshold(0.3, "youden", "validation", interval)


def test_a_threshold_says_its_interval():
    threshold = Threshold(0.25, "youden", "validation", (0.1, 0.99996))
    told = "95 % interval 0.1 to 0.99996"
    assert str(threshold) == f"0.25 (youden, chosen on validation, {told})"
    assert f"at least 0.25 ({told}). " in threshold.in_words()
    assert "interval" not in replace(threshold, interval=None).in_words()


@pytest.mark.parametrize(
    "given",
    [
        {"value": 0.5, "policy": "youden"},
        {"value": 1.5, "policy": "youden", "chosen_on": "validation"},
        {"value": math.nan, "policy": "youden", "chosen_on": "validation"},
        {"value": 0.5, "policy": "magic", "chosen_on": "validation"},
        {"value": 0.5, "policy": "youden", "chosen_on": "validation", "unit": "patient"},
        {"value": 0.5, "policy": "youden", "chosen_on": "validation", "interval": [0.9, 0.1]},
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
