import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from keras_pneumo.cli import main
from keras_pneumo.errors import (
    DataError,
    ImageError,
    LayoutError,
    OutputError,
    SettingsError,
    TrainingError,
)
from keras_pneumo.lungs.segment import segment_lungs
from keras_pneumo.lungs.segmenter import LungSegmenter
from keras_pneumo.lungs.training import VariedPairs, divide, train_segmenter

SETTINGS = {"image_size": (32, 32), "batch_size": 8, "verbose": 0}


@pytest.fixture(scope="module")
def trained(chests, tmp_path_factory):
    """A training of one epoch; only to be read."""
    output = tmp_path_factory.mktemp("trained") / "lungs"
    # For so few steps, tracing a graph would take most of the time.
    tf.config.run_functions_eagerly(True)
    try:
        model = train_segmenter(chests / "images", chests / "masks", output, epochs=1, **SETTINGS)
    finally:
        tf.config.run_functions_eagerly(False)
    return output, model


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (7, 64, 64), dtype=np.uint8)
    masks = np.zeros((7, 32, 32), bool)
    masks[:, 8:24, 8:24] = True
    return lambda seed: VariedPairs(list(pictures), list(masks), 3, seed)


@pytest.mark.slow
def test_it_learns_to_find_the_lungs_of_patients_held_out(chests, tmp_path):
    output = tmp_path / "lungs"
    model = train_segmenter(chests / "images", chests / "masks", output, epochs=80, **SETTINGS)
    held_out = model.metadata["held_out"]
    assert held_out["dice_mean"] > 0.85
    assert held_out["dice_inverted"] > 0.75
    assert held_out["edge_median"] < 0.05
    assert all(found.plausible for found in segment_lungs(chests / "images" / "test", model))
    # That of the best epoch; half precision, and specks that are left out, make the difference.
    best = max(model.metadata["epochs"]["val_dice"])
    assert held_out["dice_mean"] == pytest.approx(best, abs=0.02)


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_it(chests, tmp_path):
    settings = {**SETTINGS, "epochs": 2, "learning_rate": 1e38}
    with pytest.raises(TrainingError, match="lower `learning_rate`"):
        train_segmenter(chests / "images", chests / "masks", tmp_path / "lungs", **settings)
    assert not any(tmp_path.iterdir())


def test_it_says_what_it_was_trained_on_and_how(trained):
    _, model = trained
    about = model.metadata
    assert set(about) == {"data", "recipe", "versions", "epochs", "held_out"}
    assert about["data"]["train"]["images"] + about["data"]["held_out"]["images"] == 26
    assert about["held_out"]["images"] == about["data"]["held_out"]["images"]
    assert about["recipe"] == {
        "image_size": [32, 32],
        "epochs": 1,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "seed": 0,
    }
    assert {"keras", "numpy", "tensorflow"} < set(about["versions"])
    assert len(about["epochs"]["val_dice"]) == 1


def test_what_is_saved_is_what_was_measured(trained):
    output, model = trained
    assert sorted(path.name for path in output.iterdir()) == ["lungs.json", "lungs.weights.h5"]
    assert sorted(path.name for path in output.parent.iterdir()) == ["lungs"]
    opened = LungSegmenter.from_preset(output)
    assert opened.metadata == model.metadata
    for weight, again in zip(model.get_weights(), opened.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, again)


def test_train_is_divided_by_patient_and_test_is_left_alone(chests, tmp_path):
    shutil.copytree(chests, tmp_path / "more")
    images, masks = tmp_path / "more" / "images", tmp_path / "more" / "masks"
    for folder in (images, masks):
        first = folder / "train" / "NORMAL" / "IM-0003-0001.png"
        for number in (2, 3):
            shutil.copy(first, first.with_name(f"IM-0003-000{number}.png"))
    for seed in range(5):
        train, held_out, mask_of = divide(images, masks, (32, 32), seed)
        assert {record.split for record in (*train, *held_out)} == {"train", "validation"}
        names = [record.filename for record in (*train, *held_out)]
        assert all(name.startswith("train/") for name in names)
        assert set(names) == set(mask_of)
        patients = {record.patient_id for record in train}
        assert patients.isdisjoint(record.patient_id for record in held_out)


def test_without_train_nothing_is_divided(chests, tmp_path):
    shutil.copytree(chests / "images" / "test", tmp_path / "test")
    with pytest.raises(LayoutError, match="Missing: train/"):
        divide(tmp_path, chests / "masks", (32, 32), 0)


def test_a_folder_of_class_folders_is_divided_whole(chests):
    folder = chests / "images" / "train"
    train, held_out, _ = divide(folder, chests / "masks", (32, 32), 0)
    assert len(train) + len(held_out) == 26


def test_a_batch_depends_on_seed_epoch_and_number_alone(pairs):
    first, again, other = pairs(0), pairs(0), pairs(1)
    assert len(first) == 2
    images, masks = first[1]
    assert (images.shape, images.dtype) == ((3, 32, 32, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((3, 32, 32, 1), np.float32)
    assert set(np.unique(masks)) == {0, 1}
    np.testing.assert_array_equal(again[1][0], images)
    assert not np.array_equal(other[1][0], images)
    first.on_epoch_end()
    assert not np.array_equal(first[1][0], images)


def test_an_interrupted_training_leaves_nothing(chests, tmp_path):
    images = shutil.copytree(chests / "images", tmp_path / "images")
    (images / "train" / "NORMAL" / "IM-0003-0001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    # Its mask cannot be compared with it, so give it another way.
    _, _, masks = divide(chests / "images", chests / "masks", (32, 32), 0)
    names = list(masks)
    packed = np.packbits(np.stack([masks[name] for name in names]).reshape(len(names), -1), axis=1)
    np.savez(tmp_path / "masks.npz", files=names, mask=packed)
    with pytest.raises(ImageError, match="cannot be decoded"):
        train_segmenter(images, tmp_path / "masks.npz", tmp_path / "lungs", **SETTINGS)
    assert {path.name for path in tmp_path.iterdir()} == {"images", "masks.npz"}


def test_an_output_with_contents_is_refused_before_the_work(trained, chests):
    output, _ = trained
    with pytest.raises(OutputError, match="must not exist"):
        train_segmenter(chests / "images", "nowhere", output)


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0}])
def test_a_setting_out_of_range_is_refused(chests, tmp_path, setting):
    with pytest.raises(SettingsError, match="at least 1"):
        train_segmenter(chests / "images", chests / "masks", tmp_path / "lungs", **setting)


def test_fewer_images_than_a_batch_are_refused(chests, tmp_path):
    with pytest.raises(DataError, match="A batch of 64 needs"):
        train_segmenter(chests / "images", chests / "masks", tmp_path / "lungs", batch_size=64)


def test_the_command_evaluates_it_on_a_split(trained, chests):
    output, model = trained
    arguments = ["lungs", "evaluate", chests / "images", chests / "masks", "--model", output]
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert result.output.startswith("2 images\nDice: mean 0.")
    split = ["--split", "validation"]
    result = CliRunner().invoke(main, [*map(str, arguments), *split])
    assert "Missing: val/" in result.output
    assert json.loads((output / "lungs.json").read_text())["metadata"] == model.metadata
