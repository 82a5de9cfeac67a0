import numpy as np
import pytest

from keras_pneumo import PneumoniaResNet50
from keras_pneumo.models.cut import cut
from keras_pneumo.models.precision import choose_precision, in_precision


@pytest.fixture(scope="module")
def model():
    return PneumoniaResNet50(weights=None, image_size=(32, 32))


@pytest.mark.parametrize(
    ("n_layers", "boundary"),
    [
        (0, "features"),
        (12, "conv5_block2_out"),  # begins inside a block, of which the shortcut goes around
        ("conv2", "pool1_pool"),
    ],
)
def test_both_parts_together_are_the_model_and_share_its_weights(model, images, n_layers, boundary):
    model.fine_tune(n_layers)
    parts = cut(model)
    assert parts.boundary == boundary
    in_parts = parts.tail.predict_on_batch(parts.prefix.predict_on_batch(images))
    np.testing.assert_allclose(in_parts, model.predict_on_batch(images), atol=1e-6)
    trained = [id(variable) for variable in model.trainable_variables]
    assert [id(variable) for variable in parts.tail.trainable_variables] == trained
    assert not parts.prefix.trainable_variables


def test_the_pooled_features_are_reached_from_any_boundary(model, images):
    model.fine_tune("conv5")
    parts = cut(model)
    pooled = parts.to_features.predict_on_batch(parts.prefix.predict_on_batch(images))
    np.testing.assert_allclose(pooled, model.extract_features(images), atol=1e-5)


def test_where_all_trains_there_is_nothing_to_cut(model):
    model.fine_tune("all")
    assert cut(model) is None


def test_a_trained_tail_is_the_trained_model(images):
    model = PneumoniaResNet50(weights=None, image_size=(32, 32))
    model.fine_tune(0, learning_rate=0.1)
    parts = cut(model)
    features, labels = parts.prefix.predict_on_batch(images), np.arange(len(images)) % 2
    parts.tail.compile(optimizer=model.optimizer, loss=model.loss)
    before = model.predict_on_batch(images)
    parts.tail.train_on_batch(features, labels)
    after = model.predict_on_batch(images)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, parts.tail.predict_on_batch(features), atol=1e-6)
    assert int(model.optimizer.iterations) == 1


def test_a_prefix_in_bfloat16_is_the_same_to_its_precision(model, images):
    model.fine_tune("conv5")
    prefix = cut(model).prefix
    copy = in_precision(prefix, "bfloat16")
    expected, found = prefix.predict_on_batch(images), copy.predict_on_batch(images)
    assert found.dtype == np.float32
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert 0 < error < 0.05
    assert in_precision(prefix, "float32") is prefix


def test_a_precision_that_is_none_is_refused():
    from keras_pneumo.errors import SettingsError

    with pytest.raises(SettingsError, match="'float16'"):
        choose_precision("float16")
