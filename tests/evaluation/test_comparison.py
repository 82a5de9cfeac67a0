import json
from collections.abc import Callable

import numpy as np
import pytest

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.bootstrap import bootstrap_difference
from keras_pneumo.evaluation.comparison import LOWER_IS_BETTER, compare, compare_files
from keras_pneumo.evaluation.intervals import delong_test, mcnemar_test
from keras_pneumo.evaluation.metrics import METRICS, binary_metrics, predicted_labels
from keras_pneumo.evaluation.predictions import Predictions, write_csv

DRAWN = {"resamples": 200, "seed": 3}


def changed(found: Predictions, order: np.ndarray | None = None, **columns) -> Predictions:
    arrays = {
        name: np.asarray(columns.get(name, getattr(found, name)))
        for name in ("y_true", "y_score", "patient_id", "filename")
    }
    return Predictions(
        **{name: one if order is None else one[order] for name, one in arrays.items()}
    )


@pytest.fixture
def good(make_predictions: Callable[..., Predictions]) -> Predictions:
    return make_predictions(n_normal=60, n_pneumonia=90)


@pytest.fixture
def poor(good: Predictions) -> Predictions:
    noise = np.random.default_rng(7).uniform(0, 1, len(good))
    return changed(good, y_score=0.4 * good.y_score + 0.6 * noise)


def test_a_comparison_gathers_the_paired_answers(good, poor):
    found = compare(good, poor, 0.5, 0.4, **DRAWN)
    scores = good.y_true, good.y_score, poor.y_score
    assert (found.images, found.patients) == (150, 75)
    assert found.values[0] == binary_metrics(good.y_true, good.y_score, 0.5)
    assert found.values[1] == binary_metrics(good.y_true, poor.y_score, 0.4)
    assert found.delong == delong_test(*scores)
    called = predicted_labels(good.y_score, 0.5), predicted_labels(poor.y_score, 0.4)
    assert found.mcnemar == mcnemar_test(good.y_true, *called)
    expected = bootstrap_difference(*scores, 0.5, 0.4, good.patient_id, **DRAWN)
    assert list(found.differences) == list(METRICS)
    assert found.differences == expected
    for name, estimate in found.differences.items():
        assert estimate.value == pytest.approx(found.values[1][name] - found.values[0][name])


def test_images_are_matched_by_file_name(good, poor):
    order = np.random.default_rng(0).permutation(len(poor))
    shuffled = changed(poor, order)
    expected = compare(good, poor, 0.5, 0.5, **DRAWN)
    assert compare(good, shuffled, 0.5, 0.5, **DRAWN).to_dict() == expected.to_dict()


def test_exchanging_the_models_turns_every_difference_around(good, poor):
    there = compare(good, poor, 0.5, 0.5, **DRAWN)
    back = compare(poor, good, 0.5, 0.5, **DRAWN)
    assert back.values == there.values[::-1]
    assert back.mcnemar == there.mcnemar._replace(
        only_a_right=there.mcnemar.only_b_right, only_b_right=there.mcnemar.only_a_right
    )
    for name, one in there.differences.items():
        other = back.differences[name]
        assert (other.value, other.low, other.high) == pytest.approx(
            (-one.value, -one.high, -one.low), nan_ok=True
        )


def verdicts(text: str) -> dict[str, str]:
    rows = (line for line in text.splitlines() if line.partition(" ")[0] in METRICS)
    return {line.partition(" ")[0]: line.rpartition("  ")[2].strip() for line in rows}


def test_the_text_says_who_is_better_and_what_is_not_settled(good, poor):
    found = compare(good, poor, 0.5, 0.5, names=("the good one", "the poor one"), **DRAWN)
    told = verdicts(str(found))
    assert list(told) == list(METRICS)
    for name, estimate in found.differences.items():
        if estimate.low <= 0 <= estimate.high:
            assert told[name] == "not settled"
        elif (estimate.value > 0) != (name in LOWER_IS_BETTER):
            assert told[name] == "b is better"
        else:
            assert told[name] == "a is better"
    assert told["roc_auc"] == told["brier_score"] == "a is better"
    assert "a       the good one, at threshold 0.5\n" in str(found)
    assert "b       the poor one, at threshold 0.5\n" in str(found)
    assert "Images  150 of 75 patients" in str(found)
    assert "ROC AUC (DeLong): a is higher by" in str(found)
    assert max(map(len, str(found).splitlines())) <= 110


def test_a_slight_difference_is_not_settled(good):
    slight = changed(good, y_score=good.y_score + np.where(good.y_score < 0.9, 0.001, 0))
    nudged = changed(slight, y_score=np.r_[0.6, slight.y_score[1:]])
    found = compare(good, nudged, 0.5, 0.5, **DRAWN)
    assert verdicts(found.to_text())["accuracy"] == "not settled"
    assert "not settled; b − a is" in found.to_text()


def test_a_model_does_not_differ_from_itself(good):
    found = compare(good, good, 0.5, 0.5, **DRAWN)
    assert set(verdicts(found.to_text()).values()) == {"no difference"}
    assert "no difference, p = 1.000" in found.to_text()
    assert "only a is right on 0 images, only b on 0, p = 1.000" in found.to_text()


def test_a_comparison_is_plain_json(good, poor):
    found = compare(good, poor, 0.5, 0.25, names=("x", "y"), **DRAWN).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["models"] == {
        "a": {"name": "x", "threshold": 0.5},
        "b": {"name": "y", "threshold": 0.25},
    }
    assert found["bootstrap"] == {"level": 0.95, "resamples": 200, "seed": 3, "unit": "patient"}
    assert list(found["metrics"]) == list(METRICS)
    assert list(found["metrics"]["recall"]) == ["a", "b", "difference", "low", "high", "reason"]


def test_one_class_is_compared_as_far_as_it_goes(good, poor):
    sick = np.flatnonzero(good.y_true == 1)
    found = compare(changed(good, sick), changed(poor, sick), 0.5, 0.5, **DRAWN)
    assert found.delong is None
    told = found.to_dict()
    assert told["delong"] is None
    assert told["metrics"]["recall"]["difference"] < 0
    assert told["metrics"]["roc_auc"]["difference"] is None
    assert "no image is NORMAL" in told["metrics"]["roc_auc"]["reason"]
    assert "undefined, as only one class is there" in found.to_text()


def test_different_images_are_refused_with_those_that_differ(good):
    renamed = np.array(good.filename, dtype="U30")
    renamed[:4] = ["new_1.jpeg", "new_2.jpeg", "new_3.jpeg", "new_4.jpeg"]
    with pytest.raises(
        PredictionsError,
        match=r"same images\. Only in a: 4 images \(image_0.*, …\); only in b: 4 images \(new_1",
    ):
        compare(good, changed(good, filename=renamed), 0.5, 0.5)
    fewer = changed(good, np.arange(149))
    with pytest.raises(PredictionsError, match=r"1 image \(image_149\.jpeg\); only in b: none"):
        compare(good, fewer, 0.5, 0.5)


@pytest.mark.parametrize(("column", "what"), [("y_true", "label"), ("patient_id", "patient")])
def test_images_that_differ_in_truth_are_refused(good, column, what):
    values = np.array(getattr(good, column))
    values[5] = values[-1]
    with pytest.raises(PredictionsError, match=rf"same {what} in a and in b.*1 image \(image_5\."):
        compare(good, changed(good, **{column: values}), 0.5, 0.5)


def test_an_image_that_is_there_twice_is_refused(good):
    twice = changed(good, np.r_[np.arange(150), 0])
    with pytest.raises(PredictionsError, match=r"More than once in b: 1 image \(image_0\.jpeg\)"):
        compare(good, twice, 0.5, 0.5)


def test_a_threshold_out_of_range_is_refused(good, poor):
    with pytest.raises(SettingsError, match=r"`threshold` must be in \[0, 1\]"):
        compare(good, poor, 0.5, 1.5)


@pytest.fixture
def files(good, poor, tmp_path):
    paths = []
    for name, found, threshold in (("a", good, 0.5), ("b", poor, 0.4)):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "predictions.csv")
        write_csv(paths[-1], {"test": found})
        report = {"threshold": {"value": threshold}}
        paths[-1].with_name("metrics.json").write_text(json.dumps(report))
    return paths


def test_files_are_compared_at_the_thresholds_of_their_reports(files, good, poor):
    found = compare_files(*files, seed=3)
    assert found.thresholds == (0.5, 0.4)
    assert found.names == tuple(map(str, files))
    assert found.differences == compare(good, poor, 0.5, 0.4, seed=3).differences
    assert compare_files(*files, thresholds=(0.1, 0.2)).thresholds == (0.1, 0.2)


def test_files_without_the_split_or_a_threshold_are_refused(files):
    with pytest.raises(PredictionsError, match=r"'validation'.*holds test"):
        compare_files(*files, split="validation")
    files[1].with_name("metrics.json").unlink()
    with pytest.raises(PredictionsError, match=r"b.metrics\.json.*Give both thresholds"):
        compare_files(*files)
