import keras
import numpy as np
import pytest

from keras_pneumo import PneumoniaResNet50
from keras_pneumo.errors import ImageError, SettingsError


def test_it_is_a_functional_keras_model_with_one_probability(untouched_model, images):
    assert isinstance(untouched_model, keras.Model)
    assert untouched_model.output_shape == (None, 1)
    scores = untouched_model.predict(images, verbose=0)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()


def test_preprocessing_is_that_of_keras_applications(untouched_model, images):
    inputs = images.astype("float32")
    expected = keras.applications.resnet50.preprocess_input(inputs.copy())
    found = untouched_model.get_layer("caffe_preprocessing")(inputs)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=1e-4)


def test_features_are_the_pooled_output_of_keras_applications(untouched_model, images):
    reference = keras.applications.ResNet50(
        include_top=False, weights=None, pooling="avg", input_shape=(32, 32, 3)
    )
    reference.set_weights(untouched_model.backbone.get_weights())
    expected = reference.predict(
        keras.applications.resnet50.preprocess_input(images.astype("float32")), verbose=0
    )
    features = untouched_model.extract_features(images)
    assert features.dtype == np.float32
    assert features.shape == (len(images), 2048)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


def test_features_do_not_depend_on_the_batch_size_or_the_kind_of_input(
    untouched_model, images, tmp_path
):
    import tensorflow as tf

    features = untouched_model.extract_features(images)
    scale = np.abs(features).max()
    labels = np.zeros(len(images))
    pipeline = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    paths = [tmp_path / f"{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(tf.io.encode_png(image).numpy())
    for others in (
        untouched_model.extract_features(images, batch_size=4),
        untouched_model.extract_features(pipeline),
        untouched_model.extract_features(paths, batch_size=4),
        untouched_model.extract_features([str(path) for path in paths]),
        np.concatenate([untouched_model.extract_features(path) for path in paths]),
    ):
        np.testing.assert_allclose(others / scale, features / scale, atol=1e-5)
    np.testing.assert_array_equal(untouched_model.extract_features(images), features)


def test_a_file_that_is_missing_is_named(untouched_model, tmp_path):
    with pytest.raises(ImageError, match=r"missing\.png"):
        untouched_model.extract_features(tmp_path / "missing.png")


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((2, 16, 16, 3)),
        np.zeros((32, 32, 3)),
        np.zeros((2, 32, 32, 1)),
        np.zeros((0, 32, 32, 3)),
        [],
        [np.zeros((32, 32, 3))],
    ],
    ids=["size", "no batch", "gray", "none", "empty list", "list of arrays"],
)
def test_other_inputs_are_refused(untouched_model, data):
    with pytest.raises(SettingsError, match="Images must be"):
        untouched_model.extract_features(data)


@pytest.mark.parametrize(
    "arguments",
    [
        {"image_size": (16, 16)},
        {"image_size": 224},
        {"image_size": (224, 224, 3)},
        {"resize": "crop"},
        {"dropout": 1.0},
        {"dropout": -0.1},
    ],
)
def test_bad_arguments_are_refused_before_anything_is_built(arguments):
    (name,) = arguments
    with pytest.raises(SettingsError, match=f"`{name}`"):
        PneumoniaResNet50(weights=None, **arguments)


def test_every_argument_is_in_the_config(untouched_model):
    import inspect

    arguments = set(inspect.signature(PneumoniaResNet50).parameters)
    assert arguments <= set(untouched_model.get_config())


def test_mixed_precision_keeps_head_and_output_in_float32(images):
    model = PneumoniaResNet50(weights=None, image_size=(32, 32), dtype="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    assert model.backbone.dtype_policy.name == "mixed_bfloat16"
    assert model.backbone.layers[2].compute_dtype == "bfloat16"
    assert model.predict(images[:2], verbose=0).dtype == np.float32
    assert model.extract_features(images[:2]).dtype == np.float32


def test_it_compiles_with_xla(model, images):
    model.compile("adam", "binary_crossentropy", jit_compile=True)
    assert np.isfinite(model.predict(images[:2], verbose=0)).all()
