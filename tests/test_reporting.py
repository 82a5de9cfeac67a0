import numpy as np
import pytest
from small_network import SmallClassifier

from keras_pneumo import audit, evaluate
from keras_pneumo.errors import SettingsError
from keras_pneumo.inference import splits_for


@pytest.fixture(scope="module")
def splits(finished_run, phantoms, prepared_dir):
    return splits_for(finished_run.model, phantoms, prepared_dir=prepared_dir)


def test_an_evaluation_repeats_that_of_the_training(finished_run, splits, phantoms):
    report = evaluate(
        finished_run.model,
        splits,
        ["validation", "test"],
        data_audit=audit(phantoms),
        prevalence=0.1,
        verbose=0,
    )
    for name, expected in finished_run.report.predictions.items():
        found = report.predictions[name]
        np.testing.assert_array_equal(found.filename, expected.filename)
        np.testing.assert_allclose(found.y_score, expected.y_score, atol=1e-5)
    numbers, of_training = report.metrics(), finished_run.report.metrics()
    for key in ("threshold", "temperature", "recipe", "data_audit"):
        assert numbers[key] == of_training[key]
    assert numbers["prevalence"] == 0.1
    assert set(numbers["pictures"]) | {"Training curves"} == set(of_training["pictures"])


def test_the_heat_maps_of_each_split_are_in_the_report(finished_run):
    for split in ("validation", "test"):
        png = finished_run.report.pictures[f"Most confident predictions: {split}"]
        assert png.startswith(b"\x89PNG")


def test_a_wrong_prevalence_is_said_before_anything_is_predicted(finished_run):
    with pytest.raises(SettingsError, match="prevalence"):
        evaluate(finished_run.model, None, prevalence=10)


def test_all_images_are_evaluated_by_themselves(finished_run, splits):
    with pytest.raises(SettingsError, match="by itself"):
        evaluate(finished_run.model, splits, ["all", "test"])


def test_a_threshold_without_an_origin_is_reported_as_fixed(splits):
    untouched = SmallClassifier()
    untouched.threshold = 0.25
    report = evaluate(untouched, splits, verbose=0)
    assert str(report.threshold) == "0.25 (fixed=0.25)"
    assert report.metrics()["recipe"] is None
