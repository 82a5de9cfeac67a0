import warnings

import keras
import numpy as np
import pytest
from small_network import SmallClassifier

from keras_pneumo import PneumoniaResNet50
from keras_pneumo.errors import WeightsError


def weights_up_to(model, stage, path):
    end = model.backbone.get_layer(model.stage_ends[stage]).output
    keras.Model(model.backbone.input, end).save_weights(path)
    return path


def test_a_whole_backbone_is_loaded_without_a_warning(untouched_model, tmp_path):
    path = weights_up_to(untouched_model, "conv5", tmp_path / "whole.weights.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = PneumoniaResNet50(weights=path, image_size=(32, 32))
    for old, new in zip(untouched_model.backbone.weights, loaded.backbone.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_prefix_is_loaded_and_the_rest_named_in_one_warning(untouched_model, tmp_path):
    path = weights_up_to(untouched_model, "conv2", tmp_path / "prefix.weights.h5")
    with pytest.warns(UserWarning, match="covers") as caught:
        loaded = PneumoniaResNet50(weights=path, image_size=(32, 32))
    (warning,) = (w for w in caught if "covers" in str(w.message))
    assert "conv3, conv4, conv5" in str(warning.message)
    assert warning.filename == __file__
    old, new = (
        {layer.name: layer.get_weights() for layer in model.backbone.layers}
        for model in (untouched_model, loaded)
    )
    np.testing.assert_array_equal(old["conv2_block3_3_conv"][0], new["conv2_block3_3_conv"][0])
    assert not np.array_equal(old["conv3_block1_1_conv"][0], new["conv3_block1_1_conv"][0])


def test_weights_of_another_model_are_refused_with_what_was_expected(tmp_path):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(WeightsError, match=r"conv5: 318.*Found 2 arrays"):
        PneumoniaResNet50(weights=tmp_path / "other.weights.h5", image_size=(32, 32))


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_as_many_arrays_of_other_shapes_are_refused(tmp_path):
    # The small backbone has 14 arrays, as seven dense layers have.
    other = keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(2) for _ in range(7))])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(WeightsError, match=r"as many arrays.*up to 'high', but they do not fit"):
        SmallClassifier(weights=tmp_path / "other.weights.h5")


@pytest.mark.parametrize("name", ["missing.weights.h5", "file.h5", "."])
def test_what_is_no_weights_file_is_refused(tmp_path, name):
    (tmp_path / "file.h5").write_bytes(b"")
    with pytest.raises(WeightsError, match="`weights` must be"):
        PneumoniaResNet50(weights=tmp_path / name, image_size=(32, 32))


def test_a_broken_file_is_refused(tmp_path):
    (tmp_path / "broken.weights.h5").write_bytes(b"no HDF5")
    with pytest.raises(WeightsError, match="no readable HDF5"):
        PneumoniaResNet50(weights=tmp_path / "broken.weights.h5", image_size=(32, 32))


def test_the_imagenet_prefix_is_the_published_one(real_backbone):
    with pytest.warns(UserWarning, match="conv5"):
        model = PneumoniaResNet50(weights=real_backbone, image_size=(64, 64))
    # A fact of the released weights: filters of the first layer see differences, not brightness.
    kernel = model.backbone.get_layer("conv1_conv").get_weights()[0]
    assert np.abs(kernel.sum((0, 1, 2))).mean() < np.abs(kernel).sum((0, 1, 2)).mean() / 4
