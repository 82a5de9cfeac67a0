from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_pneumo import PneumoniaResNet50, load_splits
from keras_pneumo.errors import SettingsError
from keras_pneumo.training.fitting import Features, OnFeatures, OnImages


@pytest.fixture(scope="module")
def settings(small_settings):
    # One view and exact numbers, so that features and images are the same.
    return replace(small_settings, augmentation="none", precision="float32")


@pytest.fixture(scope="module")
def splits(phantoms, prepared_dir, settings):
    return load_splits(
        phantoms,
        settings.image_size,
        settings.batch_size,
        augmentation=settings.augmentation,
        prepared_dir=prepared_dir,
    )


def new_model():
    keras.utils.set_random_seed(0)
    return PneumoniaResNet50(weights=None, image_size=(32, 32))


def trained(splits, settings, root):
    """A model after 20 steps of both phases, without what it was trained on."""
    model = new_model()
    features = Features(model, splits, settings, "phantoms", root)
    epochs = -(-20 // len(splits.train))
    for phase, layers in (("head", 0), ("fine_tune", settings.fine_tune_layers)):
        model.fine_tune(layers, learning_rate=1e-3)
        fitting = features.fitting(phase)
        assert isinstance(fitting, OnFeatures if settings.cache else OnImages)
        for epoch in range(epochs):
            fitting.fit(epoch, class_weight=splits.class_weight, shuffle=False, verbose=0)
    features.delete()
    return model.get_weights()


def test_on_features_it_trains_as_on_images(splits, settings, tmp_path):
    on_features = trained(splits, settings, tmp_path)
    on_images = trained(splits, replace(settings, cache=False), tmp_path)
    for one, other in zip(on_features, on_images, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert not list(tmp_path.iterdir())


def test_features_are_computed_once_and_not_read_where_anything_differs(splits, settings, tmp_path):
    model = new_model()

    def files(settings, data="phantoms"):
        features = Features(model, splits, settings, data, tmp_path)
        model.fine_tune(0)
        features.fitting("head")
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}

    first = files(settings)
    # Two boundaries, validation and one view of each.
    assert len(first) == 4
    assert files(replace(settings, head_learning_rate=1e-2, dropout=0.5)) == first
    assert len(files(settings, data="other phantoms")) == 8
    model.backbone.get_layer("conv1_conv").set_weights(
        [2 * weight for weight in model.backbone.get_layer("conv1_conv").get_weights()]
    )
    assert len(files(settings)) == 12


def test_the_head_sees_what_the_model_makes_of_the_validation_split(splits, settings, tmp_path):
    model = new_model()
    features = Features(model, splits, settings, "phantoms", tmp_path)
    model.fine_tune(0)
    scores = features.fitting("head").validation_scores(verbose=0)
    expected = OnImages(model, splits).validation_scores(verbose=0)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_without_a_second_phase_the_images_go_straight_to_the_head(splits, settings, tmp_path):
    model = new_model()
    only_head = replace(settings, fine_tune_epochs=0)
    features = Features(model, splits, only_head, "phantoms", tmp_path)
    model.fine_tune(0)
    features.fitting("head")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_precision_that_is_none_is_refused_at_once(splits, settings, tmp_path):
    with pytest.raises(SettingsError, match="float16"):
        Features(new_model(), splits, replace(settings, precision="float16"), "x", tmp_path)
