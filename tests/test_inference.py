from itertools import cycle, islice

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from keras_pneumo import PneumoniaClassifier, load_splits, open_model, predict_files
from keras_pneumo.errors import LayoutError, SettingsError, WeightsError
from keras_pneumo.evaluation.calibration import fit_temperature
from keras_pneumo.inference import calibrate, predict_split, splits_for


@pytest.fixture(scope="module")
def splits(finished_run, phantoms, prepared_dir):
    return splits_for(finished_run.model, phantoms, prepared_dir=prepared_dir)


def test_a_model_is_opened_from_its_run_its_folder_or_a_keras_file(finished_run, tmp_path):
    finished_run.model.save(tmp_path / "model.keras")
    for path in (
        finished_run.directory,
        str(finished_run.directory / "model"),
        tmp_path / "model.keras",
    ):
        model = open_model(path)
        assert type(model) is type(finished_run.model)
        assert model.threshold == finished_run.model.threshold


def test_what_is_no_model_of_ours_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="A saved model is a folder"):
        open_model(tmp_path)
    with pytest.raises(WeightsError, match="cannot be opened"):
        open_model(tmp_path / "missing.keras")
    keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(WeightsError, match="It holds a Sequential"):
        open_model(tmp_path / "other.keras")


def test_calibration_leaves_nothing_to_gain_and_is_recorded(finished_run, splits):
    model = PneumoniaClassifier.from_pretrained(finished_run.directory / "model")
    # A head that knows its training images by heart is too sure of itself.
    features = model.extract_features(splits.batches("train"))
    head = LogisticRegression(max_iter=1000).fit(features, splits.examples("train").label)
    model.get_layer("logit").set_weights([head.coef_.T, head.intercept_])
    before = predict_split(model, splits, "test", verbose=0)
    found = calibrate(model, splits, "sensitivity=0.9", split="test", verbose=0)
    assert model.temperature > 1
    again = predict_split(model, splits, "test", verbose=0)
    np.testing.assert_allclose(found.y_score, again.y_score, atol=1e-6)
    assert roc_auc_score(found.y_true, found.y_score) >= roc_auc_score(
        before.y_true, before.y_score
    )
    assert fit_temperature(again.y_true, again.y_score).value == pytest.approx(1, abs=1e-2)
    recorded = model.metadata
    assert recorded["calibration"]["temperature"] == model.temperature
    assert recorded["calibration"]["log_loss_after"] < recorded["calibration"]["log_loss_before"]
    assert recorded["threshold"]["value"] == model.threshold
    low, high = recorded["threshold"]["interval"]
    assert low <= model.threshold <= high
    assert np.mean(found.y_score[found.y_true == 1] >= model.threshold) >= 0.9


def test_a_model_sees_the_splits_it_was_trained_with(finished_run, phantoms, prepared_dir):
    model = PneumoniaClassifier.from_pretrained(finished_run.directory / "model")
    settings = {**model.metadata["settings"], "split_seed": 5}
    model.metadata = {**model.metadata, "settings": settings}
    expected = load_splits(phantoms, (32, 32), split_seed=5, prepared_dir=prepared_dir)
    found = splits_for(model, phantoms, prepared_dir=prepared_dir)
    np.testing.assert_array_equal(
        found.examples("validation").filename, expected.examples("validation").filename
    )


def test_one_unreadable_file_stops_nothing(finished_run, phantoms, tmp_path):
    (tmp_path / "empty.jpeg").touch()
    files = sorted((phantoms / "test" / "NORMAL").iterdir())[:3]
    paths = [files[0], tmp_path / "empty.jpeg", files[1], tmp_path / "missing.jpeg", files[2]]
    found = list(predict_files(finished_run.model, paths, batch_size=2))
    assert [one.file for one in found] == [str(path) for path in paths]
    assert [one.error is None for one in found] == [True, False, True, False, True]
    assert "0 bytes" in found[1].error
    assert "missing.jpeg" in found[3].error
    for one in found[::2]:
        expected = "PNEUMONIA" if one.probability >= finished_run.model.threshold else "NORMAL"
        assert one.label == expected


def test_a_folder_is_predicted_in_sorted_order(finished_run, phantoms, tmp_path):
    files = sorted((phantoms / "test").rglob("*.jpeg"))
    folder, bad = phantoms / "test", tmp_path / "bad.jpeg"
    bad.write_bytes(b"no image")
    expected = list(predict_files(finished_run.model, files))
    assert [one.file for one in expected] == list(map(str, files))
    for paths in (folder, str(folder), iter(files)):
        assert list(predict_files(finished_run.model, paths)) == expected
    unreadable, *found = predict_files(finished_run.model, [bad, folder])
    assert "cannot be decoded" in unreadable.error
    np.testing.assert_allclose(
        [one.probability for one in found], [one.probability for one in expected], atol=1e-5
    )


def test_what_has_no_end_is_predicted_as_it_comes(finished_run, phantoms):
    files = sorted((phantoms / "test" / "NORMAL").iterdir())[:3]
    taken = []
    endless = (taken.append(file) or file for file in cycle(files))
    found = list(islice(predict_files(finished_run.model, endless), 30))
    assert [one.file for one in found] == [str(file) for file in taken[:30]]
    assert len(taken) < 200


@pytest.mark.parametrize(
    ("paths", "batch_size", "error"),
    [([], 0, SettingsError), ([None], None, SettingsError), ("{empty}", None, LayoutError)],
)
def test_what_cannot_be_predicted_is_refused_at_once(
    finished_run, tmp_path, paths, batch_size, error
):
    with pytest.raises(error):
        predict_files(finished_run.model, tmp_path if paths == "{empty}" else paths, batch_size)


def test_the_base_class_opens_whatever_was_saved(finished_run):
    model = PneumoniaClassifier.from_pretrained(finished_run.directory / "model")
    assert type(model) is type(finished_run.model)
