import json
import math

import numpy as np
import pytest

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.bootstrap import bootstrap_metrics, patient_weights
from keras_pneumo.evaluation.operating_points import (
    RATES,
    TARGETS,
    operating_points,
    threshold_interval,
)
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.thresholds import choose_threshold

DRAWN = {"resamples": 200, "seed": 3}


def split_of(found: Predictions):
    return found.y_true, found.y_score


def test_each_target_is_chosen_on_one_split_and_measured_on_all(predictions):
    points = operating_points(predictions, **DRAWN)
    assert [point.policy for point in points] == list(TARGETS)
    for point in points:
        validation = predictions["validation"]
        chosen = choose_threshold(*split_of(validation), point.policy)
        assert (point.value, point.chosen_on, point.reason) == (chosen.value, "validation", None)
        assert list(point.splits) == ["validation", "test"]
        for name, rates in point.splits.items():
            found = predictions[name]
            assert rates == bootstrap_metrics(
                *split_of(found), chosen.value, found.patient_id, names=RATES, **DRAWN
            )
        target, number = point.policy.split("=")
        reached = point.splits["validation"]["recall" if target == "sensitivity" else target]
        assert reached.value >= float(number)


def test_the_interval_is_that_of_the_threshold_with_patients_drawn_anew(predictions):
    (point,) = operating_points(predictions, policies=["youden"], level=0.8, **DRAWN)
    found = predictions["validation"]
    expected = threshold_interval(*split_of(found), "youden", found.patient_id, level=0.8, **DRAWN)
    assert point.interval == expected
    assert 0 <= expected[0] < expected[1] <= 1


def test_a_target_out_of_reach_is_a_row_with_a_reason():
    certain = Predictions([0, 0, 1, 1], [0.1, 1.0, 0.7, 0.9], list("abcd"), list("1234"))
    points = operating_points({"test": certain}, "test", **DRAWN)
    reachable = [point.value is not None for point in points]
    assert reachable == [policy.startswith("sensitivity") for policy in TARGETS]
    assert "0.5: 1 of 2 NORMAL" in points[-1].reason
    assert points[-1].to_dict() == {
        "policy": "specificity=0.99",
        "value": None,
        "interval": None,
        "chosen_on": "test",
        "reason": points[-1].reason,
        "splits": {},
    }


def test_one_class_gives_rows_with_a_reason_too():
    normal = Predictions([0, 0], [0.1, 0.3], ["a", "b"], ["1", "2"])
    points = operating_points({"validation": normal}, **DRAWN)
    assert all("both classes" in point.reason for point in points)


def test_operating_points_are_plain_json_with_null_for_what_is_undefined(make_predictions):
    splits = {"validation": make_predictions(), "normal": make_predictions(n_pneumonia=0)}
    point = operating_points(splits, policies=["sensitivity=0.95"], **DRAWN)[0].to_dict()
    assert json.loads(json.dumps(point, allow_nan=False)) == point
    assert list(point) == ["policy", "value", "interval", "chosen_on", "reason", "splits"]
    assert point["splits"]["normal"]["recall"] == {"value": None, "low": None, "high": None}
    assert set(point["splits"]["validation"]) == set(RATES)


def test_the_split_to_choose_on_must_be_there(predictions):
    with pytest.raises(SettingsError, match=r"'validation', 'test'.*Received: 'train'"):
        operating_points(predictions, "train")
    with pytest.raises(PredictionsError, match="one split or more"):
        operating_points({})


@pytest.mark.parametrize("policy", ["youden", "sensitivity=0.9", "cost_ratio=3@prevalence=0.2"])
def test_an_interval_is_the_percentiles_of_choices_on_drawn_patients(predictions, policy):
    found = predictions["validation"]
    chosen = []
    for counts in patient_weights(found.patient_id, 100, seed=5).astype(int):
        drawn = np.repeat(np.arange(len(found)), counts)
        chosen.append(choose_threshold(found.y_true[drawn], found.y_score[drawn], policy).value)
    expected = np.quantile(chosen, [0.05, 0.95])
    given = {"level": 0.9, "resamples": 100, "seed": 5}
    interval = threshold_interval(*split_of(found), policy, found.patient_id, **given)
    assert interval == pytest.approx(tuple(expected), rel=0, abs=1e-15)


def test_without_groups_each_image_is_a_patient():
    y_true, y_score = np.tile([0, 1], 30), np.linspace(0, 1, 60) ** 2
    images = np.arange(60)
    apart = threshold_interval(y_true, y_score, "youden", **DRAWN)
    assert apart == threshold_interval(y_true, y_score, "youden", images, **DRAWN)
    assert apart != threshold_interval(y_true, y_score, "youden", images // 6, **DRAWN)


def test_the_threshold_of_more_patients_is_surer():
    def width(n: int) -> float:
        y_true = np.tile([0, 1], n)
        y_score = np.clip(np.random.default_rng(0).normal(0.4 + 0.2 * y_true, 0.1), 0, 1)
        low, high = threshold_interval(y_true, y_score, "sensitivity=0.9", **DRAWN)
        return high - low

    assert width(800) < width(50) / 2


def test_where_many_draws_allow_no_choice_there_is_no_interval():
    # A draw of 4 patients misses the only NORMAL one in (3 / 4)^4 = 32 % of all cases, ...
    y_true, y_score = [0, 1, 1, 1], [0.1, 0.3, 0.7, 0.9]
    assert np.isnan(threshold_interval(y_true, y_score, "youden", **DRAWN)).all()
    # ... one of 40 with 5 of them NORMAL in 0.5 %.
    y_true, y_score = [0] * 5 + [1] * 35, np.linspace(0.1, 0.9, 40)
    assert np.isfinite(threshold_interval(y_true, y_score, "youden", **DRAWN)).all()


def test_a_fixed_threshold_has_no_interval():
    assert all(map(math.isnan, threshold_interval([0, 1], [0.2, 0.8], "fixed=0.5", **DRAWN)))


def test_bad_input_is_refused():
    with pytest.raises(PredictionsError, match=r"`groups`.*\(3,\) for 2 images"):
        threshold_interval([0, 1], [0.2, 0.8], "youden", ["a", "b", "c"])
    with pytest.raises(PredictionsError, match=r"number in \[0, 1\]"):
        threshold_interval([0, 1], [0.2, math.nan], "youden")
    with pytest.raises(SettingsError, match="`level`"):
        threshold_interval([0, 1], [0.2, 0.8], "youden", level=95)
