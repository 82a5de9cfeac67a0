import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.special import expit

from keras_pneumo.errors import SettingsError
from keras_pneumo.inspection.gradcam import explain, explainer

SIZE = (24, 40)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, *SIZE, 3), dtype=np.uint8)


def seeded(*, head, seed=0, top="activation"):
    """A small convolutional model: 24 x 40 pixels, maps of 6 x 10 with 5 channels."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((*SIZE, 3))
    maps = layers.Conv2D(5, 4, 4, activation="tanh", name="maps")(layers.Rescaling(1 / 255)(inputs))
    outputs = head(maps)
    if top == "activation":
        outputs = layers.Activation("sigmoid")(layers.Dense(1, name="logit")(outputs))
    else:
        outputs = layers.Dense(1, activation="sigmoid", name="logit")(outputs)
    model = keras.Model(inputs, outputs)
    model.get_layer("logit").bias.assign([0.4])
    return model


def average(maps):
    return layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(maps))


def maximum(maps):
    return layers.GlobalMaxPooling2D()(maps)


def hidden(maps):
    return layers.Dense(7, activation="relu", name="hidden")(average(maps))


def both(maps):
    return layers.Concatenate()([average(maps), maximum(maps)])


def normalised(maps):
    return layers.BatchNormalization()(average(maps))


def values_of(model, name, images):
    return keras.Model(model.inputs, model.get_layer(name).output).predict(images, verbose=0)


def gradcam_of_tape(model, maps, logit_of, images):
    both = keras.Model(model.inputs, [maps, logit_of])
    with tf.GradientTape() as tape:
        values, logits = both(tf.cast(images, tf.float32))
        tape.watch(values)
        logits = keras.Model(maps, logit_of)(values)
    alpha = tf.reduce_mean(tape.gradient(logits, values), axis=(1, 2))
    return tf.einsum("nhwk,nk->nhw", values, alpha).numpy()


def test_contributions_sum_to_the_logit_less_the_bias(tiny_classifier, radiographs):
    found = explain(tiny_classifier, radiographs)
    # The temperature divides the logit and has no part in the explanation.
    logits = found.contribution.sum(axis=(1, 2)) - 0.3
    expected = tiny_classifier.predict(radiographs, verbose=0)[:, 0]
    np.testing.assert_allclose(expit(logits / 2.5), expected, atol=1e-5)
    np.testing.assert_allclose(found.probability, expected, atol=1e-6)
    assert np.ptp(expected) > 0.005
    assert found.contribution.shape == (4, 4, 6)
    assert {part.dtype for part in found} == {np.dtype("float32")}


def test_without_a_gradient_the_maps_are_those_of_gradcam(tiny_classifier, radiographs):
    maps, logit_of = (
        tiny_classifier.get_layer("features").input,
        tiny_classifier.get_layer("logit").output,
    )
    expected = gradcam_of_tape(tiny_classifier, maps, logit_of, radiographs)
    found = explain(tiny_classifier, radiographs).contribution
    np.testing.assert_allclose(
        found / np.abs(expected).max(), expected / np.abs(expected).max(), atol=1e-5
    )


def test_a_model_opened_by_keras_alone_has_the_same_maps(tiny_classifier, radiographs, tmp_path):
    config = tiny_classifier.plain().get_config()
    expected = explain(tiny_classifier, radiographs)
    assert tiny_classifier.plain().get_config() == config
    plain = keras.saving.load_model(tiny_classifier.save_pretrained(tmp_path / "saved"))
    for found, wanted in zip(explain(plain, radiographs), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("top", ["activation", "dense"])
def test_a_maximum_gives_each_map_its_weight_by_its_area(images, top):
    model = seeded(head=maximum, top=top)
    values = values_of(model, "maps", images)
    weights = model.get_layer("logit").get_weights()[0][:, 0]
    np.testing.assert_allclose(
        explain(model, images).contribution, values @ weights / 60, atol=1e-6
    )


@pytest.mark.parametrize("top", ["activation", "dense"])
def test_a_hidden_layer_passes_on_what_its_active_units_say(images, top):
    model = seeded(head=hidden, top=top)
    values, active = values_of(model, "maps", images), values_of(model, "hidden", images) > 0
    inner, outer = model.get_layer("hidden").kernel.numpy(), model.get_layer("logit").kernel.numpy()
    alpha = (active * outer[:, 0]) @ inner.T / 60
    expected = np.einsum("nhwk,nk->nhw", values, alpha)
    np.testing.assert_allclose(explain(model, images).contribution, expected, atol=1e-6)


@pytest.mark.parametrize("head", [average, maximum, hidden, both, normalised])
def test_every_head_agrees_with_the_gradient_of_tensorflow(images, head):
    model = seeded(head=head)
    logit_of = model.get_layer("logit").output
    expected = gradcam_of_tape(model, model.get_layer("maps").output, logit_of, images)
    np.testing.assert_allclose(explain(model, images).contribution, expected, atol=1e-6)


@pytest.mark.parametrize("head", [average, hidden])
def test_neither_the_batch_size_nor_the_dtype_of_the_images_matters(images, head):
    model = seeded(head=head)
    expected = explain(model, images)
    for found, wanted in zip(explain(model, images.astype(float), 2), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_an_explainer_can_be_called_again(tiny_classifier, radiographs):
    again = explainer(tiny_classifier)
    for images in (radiographs[:1], radiographs[1:]):
        for found, wanted in zip(again(images), explain(tiny_classifier, images), strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-6)


def brightness_model(sign=1.0):
    """Bright pixels speak for PNEUMONIA (or against it), the dark ones for nothing."""
    inputs = keras.Input((*SIZE, 3))
    maps = layers.Conv2D(1, 4, 4, kernel_initializer="ones")(inputs)
    features = layers.GlobalAveragePooling2D()(maps)
    unit = layers.Dense(
        1, activation="sigmoid", kernel_initializer=keras.initializers.Constant(sign)
    )
    return keras.Model(inputs, unit(features))


@pytest.mark.parametrize("row", [slice(0, 4), slice(-4, None)], ids=["top", "bottom"])
@pytest.mark.parametrize("column", [slice(0, 4), slice(-4, None)], ids=["left", "right"])
def test_evidence_in_one_corner_lights_up_that_corner_alone(row, column):
    image = np.zeros((1, *SIZE, 3), "uint8")
    image[0, row, column] = 255
    expected = np.zeros(SIZE, bool)
    expected[row, column] = True
    heatmap = explain(brightness_model(), image).heatmap[0]
    assert heatmap.shape == SIZE
    corner = heatmap[row, column]
    outermost = corner[0 if row.start == 0 else -1, 0 if column.start == 0 else -1]
    assert outermost == corner.max() == 1
    # Interpolation reaches half a position further and no more.
    assert (heatmap[expected] > 0).all()
    assert (heatmap > 0).sum() == 6 * 6


def test_a_mirrored_image_has_the_mirrored_map(images):
    expected = explain(brightness_model(), images).heatmap
    for axis in (1, 2):
        mirrored = explain(brightness_model(), np.flip(images, axis)).heatmap
        np.testing.assert_allclose(mirrored, np.flip(expected, axis), atol=1e-6)


def test_each_map_reaches_one_and_is_zero_where_nothing_speaks_for_pneumonia(images):
    for_it, against_it = (explain(brightness_model(sign), images) for sign in (1, -1))
    np.testing.assert_array_equal(for_it.heatmap.max(axis=(1, 2)), 1)
    assert (against_it.contribution < 0).all()
    assert not against_it.heatmap.any()
    flat = explain(brightness_model(), np.full_like(images, 7))
    np.testing.assert_allclose(flat.heatmap, 1, atol=1e-6)


def as_nested(model):
    """The same layers, those up to the pooling two models deep and not the first of all."""
    pooled = model.layers[-3].output
    backbone = keras.Sequential([keras.Input((*SIZE, 3)), keras.Model(model.inputs, pooled)])
    inputs = keras.Input((*SIZE, 3))
    features = backbone(layers.Rescaling(1.0)(inputs))
    return keras.Model(inputs, model.layers[-1](model.layers[-2](features)))


def as_sequential(model):
    return keras.Sequential([keras.Input((*SIZE, 3)), *model.layers[1:]])


def as_sequential_of_sequentials(model):
    backbone = keras.Sequential([keras.Input((*SIZE, 3)), *model.layers[1:4]])
    return keras.Sequential([keras.Input((*SIZE, 3)), backbone, keras.Sequential(model.layers[4:])])


def with_a_nested_head(model):
    maps = model.get_layer("maps").output
    return keras.Model(model.inputs, keras.Sequential(model.layers[3:])(maps))


@pytest.mark.parametrize("head", [average, hidden])
@pytest.mark.parametrize(
    "wrap", [as_nested, as_sequential, as_sequential_of_sequentials, with_a_nested_head]
)
def test_a_model_made_of_models_has_the_maps_of_its_layers(images, head, wrap):
    expected = explain(seeded(head=head), images)
    wrapped = wrap(seeded(head=head))
    # A model that was compiled with what cannot be saved can be explained too.
    wrapped.compile(loss=lambda y_true, y_score: y_score)
    config = json.dumps(wrapped.get_config(), default=str)
    for found, wanted in zip(explain(wrapped, images), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert json.dumps(wrapped.get_config(), default=str) == config


def refused(outputs):
    inputs = keras.Input((*SIZE, 3))
    return keras.Model(inputs, outputs(inputs))


def sigmoid(tensor):
    return layers.Dense(1, activation="sigmoid", name="top")(tensor)


class Subclassed(keras.Model):
    def call(self, tensor):
        return tf.reduce_mean(tensor, axis=(1, 2))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (lambda x: sigmoid(layers.Flatten()(x)), "Found: no such layer"),
        (lambda x: sigmoid(Subclassed()(x)), "Found: no such layer"),
        (
            lambda x: sigmoid(
                layers.Add()([average(layers.Conv2D(4, 3)(x)), maximum(layers.Conv2D(4, 5)(x))])
            ),
            r"Found: Conv2D 'conv2d\w*', whose shape is \(None, 2\d, 3\d, 4\) and Conv2D",
        ),
        (lambda x: layers.Dense(1, name="top")(average(x)), "It ends in Dense 'top'"),
        (lambda x: layers.Dense(2, activation="sigmoid")(average(x)), r"\(None, 2\)\]"),
        (lambda x: [sigmoid(average(x)), average(x)], r"1 inputs and 2 outputs"),
    ],
)
def test_a_model_that_cannot_be_explained_is_refused(images, outputs, message):
    with pytest.raises(SettingsError, match=message):
        explain(refused(outputs), images)


@pytest.mark.parametrize(
    ("shape", "batch_size", "message"),
    [
        (SIZE, 32, r"\(24, 40\)"),
        ((1, 40, 24, 3), 32, r"must be an array \(n, 24, 40, 3\)"),
        ((0, *SIZE, 3), 32, "n > 0"),
        ((1, *SIZE, 3), 0, "`batch_size` must be at least 1"),
    ],
)
def test_images_that_do_not_fit_are_refused(shape, batch_size, message):
    with pytest.raises(SettingsError, match=message):
        explain(brightness_model(), np.zeros(shape), batch_size)
