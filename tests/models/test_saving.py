import hashlib
import json

import keras
import numpy as np
import pytest

from keras_pneumo import PneumoniaClassifier, PneumoniaResNet50
from keras_pneumo.errors import OutputError, WeightsError


@pytest.fixture(scope="module")
def saved(untouched_model, tmp_path_factory):
    untouched_model.threshold = 0.375
    untouched_model.temperature = 0.5
    untouched_model.metadata = {"data": {"name": "phantoms"}, "best_epoch": 3}
    return untouched_model.save_pretrained(tmp_path_factory.mktemp("saved") / "model")


def same_predictions(one, other, images):
    np.testing.assert_allclose(
        one.predict(images, verbose=0), other.predict(images, verbose=0), atol=1e-6
    )


def test_the_folder_is_an_unzipped_keras_model_and_a_description(saved):
    assert {path.name for path in saved.iterdir()} == {
        "config.json",
        "metadata.json",
        "model.weights.h5",
        "keras_pneumo.json",
    }
    description = json.loads((saved / "keras_pneumo.json").read_text())
    assert description["schema_version"] == 1
    assert description["labels"] == ["NORMAL", "PNEUMONIA"]
    assert description["image_size"] == [32, 32]
    assert description["threshold"] == 0.375


@pytest.mark.parametrize("cls", [PneumoniaResNet50, PneumoniaClassifier])
def test_from_pretrained_gives_the_same_model_back(cls, saved, untouched_model, images):
    model = cls.from_pretrained(saved)
    assert type(model) is PneumoniaResNet50
    assert model.threshold == 0.375
    assert model.temperature == 0.5
    assert model.metadata == {"data": {"name": "phantoms"}, "best_epoch": 3}
    same_predictions(model, untouched_model, images)


def test_a_keras_file_keeps_what_trains_and_the_optimizer(model, images, tmp_path):
    summary = model.fine_tune(10, learning_rate=1e-3, run_eagerly=True)
    model.train_on_batch(images, np.arange(len(images)) % 2)
    model.threshold = 0.25
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is PneumoniaResNet50
    assert loaded.threshold == 0.25
    assert int(loaded.optimizer.iterations) == 1
    assert len(loaded.trainable_variables) == len(model.trainable_variables)
    assert loaded.fine_tune(10) == summary
    same_predictions(loaded, model, images)


def test_a_mixed_precision_model_comes_back_as_one(images, tmp_path):
    model = PneumoniaResNet50(weights=None, image_size=(32, 32), dtype="mixed_bfloat16")
    model.save_pretrained(tmp_path / "model")
    loaded = PneumoniaResNet50.from_pretrained(tmp_path / "model")
    assert loaded.backbone.dtype_policy.name == "mixed_bfloat16"
    same_predictions(loaded, model, images)


def test_metadata_must_be_json_and_is_not_changed_through_the_back_door(untouched_model):
    with pytest.raises(TypeError):
        untouched_model.metadata = {"array": np.zeros(2)}
    untouched_model.metadata["new"] = 1
    assert "new" not in untouched_model.metadata


def test_an_occupied_folder_is_overwritten_only_if_told_and_only_if_it_is_a_model(
    saved, untouched_model, tmp_path
):
    with pytest.raises(OutputError, match="contents"):
        untouched_model.save_pretrained(saved)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match="something else"):
        untouched_model.save_pretrained(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def copied(saved, target):
    target.mkdir()
    for file in saved.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "keras_pneumo.json").unlink(), "A saved model is a folder"),
        (lambda folder: (folder / "keras_pneumo.json").write_text("{"), "not valid JSON"),
        (lambda folder: rewrite(folder, schema_version=2), "schema version 1"),
        (lambda folder: rewrite(folder, **{"class": "PneumoniaVGG"}), "holds a PneumoniaVGG"),
        (lambda folder: rewrite(folder, sha256={}), "not whole"),
        (lambda folder: rewrite(folder, threshold="half"), "not whole"),
        (lambda folder: rewrite(folder, config={"depth": 50}), "does not describe"),
        (lambda folder: (folder / "model.weights.h5").unlink(), "model.weights.h5 is missing"),
        (lambda folder: truncate(folder / "model.weights.h5"), "not the file that was saved"),
        (lambda folder: (folder / "config.json").write_text("{}"), "not the file that was saved"),
        (lambda folder: vouch_for(folder, b"no weights"), "does not hold the weights"),
    ],
    ids=[
        "no description",
        "bad JSON",
        "newer schema",
        "other class",
        "no hashes",
        "no threshold",
        "other config",
        "no weights",
        "truncated",
        "tampered",
        "other weights",
    ],
)
def test_a_spoilt_folder_is_refused_with_its_reason(saved, tmp_path, spoil, message):
    folder = copied(saved, tmp_path / "model")
    spoil(folder)
    with pytest.raises(WeightsError, match=message):
        PneumoniaResNet50.from_pretrained(folder)


def rewrite(folder, **changes):
    path = folder / "keras_pneumo.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def vouch_for(folder, weights):
    (folder / "model.weights.h5").write_bytes(weights)
    hashes = json.loads((folder / "keras_pneumo.json").read_text())["sha256"]
    new_hash = hashlib.sha256(weights).hexdigest()
    rewrite(folder, sha256={**hashes, "model.weights.h5": new_hash})


def truncate(path):
    path.write_bytes(path.read_bytes()[:100_000])


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(WeightsError, match="nowhere"):
        PneumoniaResNet50.from_pretrained(tmp_path / "nowhere")
