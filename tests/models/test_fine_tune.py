import keras
import numpy as np
import pytest

from keras_pneumo import PneumoniaResNet50
from keras_pneumo.errors import SettingsError


@pytest.fixture(scope="module")
def model():
    """For all tests here: each says what trains before it trains."""
    return PneumoniaResNet50(weights=None, image_size=(32, 32))


def moved_in_one_step(model, images):
    """Names of the backbone's layers, and of the head's, whose weights a training step changes."""
    layers = [*model.backbone.layers, *(x for x in model.layers if x is not model.backbone)]
    before = {layer.name: layer.get_weights() for layer in layers}
    labels = np.arange(len(images)) % 2
    model.train_on_batch(images, labels)
    return {
        layer.name
        for layer in layers
        if any(
            not np.array_equal(old, new)
            for old, new in zip(before[layer.name], layer.get_weights(), strict=True)
        )
        # The counter of dropout's random numbers is no weight.
        and not isinstance(layer, keras.layers.Dropout)
    }


@pytest.mark.parametrize("n_layers", [0, 10, "conv5", "all"])
def test_exactly_the_named_weights_move_and_no_batch_norm(model, images, n_layers):
    summary = model.fine_tune(n_layers, learning_rate=1e-2, run_eagerly=True)
    layers = model.backbone.layers
    top = {0: [], 10: layers[-10:], "conv5": layers[143:], "all": layers}[n_layers]
    expected = {x.name for x in top if isinstance(x, keras.layers.Conv2D)} | {"logit"}
    assert moved_in_one_step(model, images) == expected
    assert set(summary.layers) == expected


def test_conv5_is_what_comes_after_conv4(untouched_model):
    layers = untouched_model.backbone.layers
    assert layers[142].name == untouched_model.stage_ends["conv4"]


def test_batch_norm_trains_when_asked_and_only_in_the_named_stage(model, images):
    model.fine_tune("conv5", learning_rate=1e-2, train_batch_norm=True, run_eagerly=True)
    is_batch_norm = lambda layer: isinstance(layer, keras.layers.BatchNormalization)  # noqa: E731
    moved = moved_in_one_step(model, images)
    expected = {layer.name for layer in model.backbone.layers[143:] if is_batch_norm(layer)}
    assert {name for name in moved if name.endswith("_bn")} == expected


def test_the_summary_counts_what_keras_counts(model):
    summary = model.fine_tune(10)
    weights = model.trainable_weights
    assert summary.parameters == sum(int(np.prod(weight.shape)) for weight in weights)
    assert summary.total_parameters == model.count_params()
    assert f"{summary.parameters:,}" in str(summary)


def test_fine_tuning_again_replaces_what_trained_before(model):
    model.fine_tune("all")
    assert model.fine_tune(0).layers == ("logit",)


def test_it_recompiles_with_its_learning_rate_and_passes_arguments_on(model):
    model.fine_tune(0, learning_rate=0.25, loss="mse")
    assert float(model.optimizer.learning_rate) == 0.25
    assert model.loss == "mse"
    assert model.compiled


@pytest.mark.parametrize("n_layers", [-1, 176, "conv6", 1.5])
def test_layers_out_of_range_are_refused(untouched_model, n_layers):
    with pytest.raises(SettingsError, match="`n_layers`"):
        untouched_model.fine_tune(n_layers)


def test_a_learning_rate_of_zero_is_refused(untouched_model):
    with pytest.raises(SettingsError, match="`learning_rate`"):
        untouched_model.fine_tune(0, learning_rate=0)
