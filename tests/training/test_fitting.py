from dataclasses import replace

import keras
import numpy as np
import pytest
from small_network import SmallClassifier

from keras_pneumo import PneumoniaResNet50, load_splits
from keras_pneumo.errors import SettingsError
from keras_pneumo.training.fitting import PHASES, Features, OnFeatures, OnImages, begin


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


def new_model(make=SmallClassifier):
    keras.utils.set_random_seed(0)
    return make()


def trained(splits, settings, root, make=SmallClassifier):
    """Weights and validation scores after 20 steps of phase 2."""
    model = new_model(make)
    features = Features(model, splits, settings, "phantoms", root)
    begin(model, "fine_tune", settings, splits)
    fitting = features.fitting("fine_tune")
    assert isinstance(fitting, OnFeatures if settings.cache else OnImages)
    steps = min(20, len(splits.train))  # of an epoch; those of a large collection are more
    options = {"class_weight": splits.class_weight, "shuffle": False, "verbose": 0}
    for epoch in range(-(-20 // steps)):
        fitting.fit(epoch, steps_per_epoch=steps, **options)
    scores = fitting.validation_scores(verbose=0)
    features.end(keep=False)
    return [*model.get_weights(), scores]


@pytest.mark.parametrize(
    "changes",
    [{}, {"schedule": "cosine", "weight_decay": 0.1, "label_smoothing": 0.2}],
    ids=["plain", "regularised"],
)
def test_on_features_it_trains_as_on_images(splits, settings, changes, tmp_path):
    settings = replace(settings, fine_tune_layers="high", **changes)
    on_features = trained(splits, settings, tmp_path)
    on_images = trained(splits, replace(settings, cache=False), tmp_path)
    for one, other in zip(on_features, on_images, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    before = new_model().get_weights()
    moved = [np.abs(a - b).max() for a, b in zip(on_images, before, strict=False)]
    assert max(moved) > 1e-3
    assert not list(tmp_path.iterdir())


def test_on_features_resnet50_trains_as_on_images(real_data, real_backbone, settings, tmp_path):
    settings = replace(settings, weights=str(real_backbone), image_size=(64, 64))
    splits = load_splits(
        real_data,
        settings.image_size,
        settings.batch_size,
        augmentation=settings.augmentation,
        prepared_dir=tmp_path / "prepared",
    )

    def make():
        return PneumoniaResNet50(weights=real_backbone, image_size=settings.image_size)

    results = [
        trained(splits, replace(settings, cache=cache), tmp_path / "cache", make)
        for cache in (True, False)
    ]
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_features_are_computed_once_and_not_read_where_anything_differs(splits, settings, tmp_path):
    model, settings = new_model(), replace(settings, fine_tune_layers="high")

    def files(settings, data="phantoms"):
        features = Features(model, splits, settings, data, tmp_path)
        begin(model, "head", settings, splits)
        features.fitting("head")
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}

    # Of both boundaries, validation and one view.
    assert len(files(settings)) == 4
    # Straight from the images, where there is no second phase.
    only_head = replace(settings, fine_tune_epochs=0)
    first = files(only_head)
    assert len(first) == 6
    assert files(replace(only_head, head_learning_rate=1e-2, dropout=0.5)) == first
    assert len(files(only_head, data="other phantoms")) == 8
    kernel, bias = model.backbone.get_layer("stem").get_weights()
    model.backbone.get_layer("stem").set_weights([2 * kernel, bias])
    found = files(only_head)
    assert len(found) == 10
    assert first.items() <= found.items()


def test_the_rate_rises_for_half_an_epoch_and_falls_to_a_hundredth(splits, settings):
    settings = replace(settings, fine_tune_epochs=10, schedule="cosine")
    model = new_model()
    begin(model, "fine_tune", settings, splits)
    # 68 images in batches of 16.
    rates = [float(model.optimizer._learning_rate(step)) for step in range(5 * 10 + 1)]
    assert rates[0] == 0
    assert np.argmax(rates) == 2
    assert rates[2] == pytest.approx(settings.fine_tune_learning_rate)
    assert (np.diff(rates[2:]) < 0).all()
    assert rates[-1] == pytest.approx(0.01 * settings.fine_tune_learning_rate)


def test_weights_decay_and_biases_do_not(splits, settings):
    settings = replace(settings, fine_tune_learning_rate=0.5, weight_decay=0.1)
    model = new_model()
    begin(model, "fine_tune", settings, splits)
    layer = model.backbone.get_layer("high_conv")
    layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
    variables = model.trainable_variables
    model.optimizer.apply([keras.ops.zeros_like(variable) for variable in variables], variables)
    kernel, bias = layer.get_weights()
    # One step without a gradient: 1 - rate * decay.
    np.testing.assert_allclose(kernel, 0.95, rtol=1e-5)
    np.testing.assert_array_equal(bias, 1)


def test_labels_are_smoothed_in_both_phases(splits, settings):
    model = new_model()
    for phase in PHASES:
        begin(model, phase, replace(settings, label_smoothing=0.1), splits)
        # The least loss of a label 1 is where the score is 0.95.
        losses = [float(model.loss([[1.0]], [[score]])) for score in (0.9, 0.95, 0.99)]
        assert np.argmin(losses) == 1


def test_a_precision_that_is_none_is_refused_at_once(splits, settings, tmp_path):
    with pytest.raises(SettingsError, match="float16"):
        Features(new_model(), splits, replace(settings, precision="float16"), "x", tmp_path)
