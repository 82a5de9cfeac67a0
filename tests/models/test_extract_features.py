import tracemalloc
from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_pneumo.data.image_files import image_files
from keras_pneumo.errors import ImageError, LayoutError, SettingsError
from keras_pneumo.models.classifier import PneumoniaClassifier


class CountsCalls(keras.layers.Layer):
    """Hands on what it gets; called as a layer once for each compilation."""

    calls = 0

    def call(self, inputs):
        type(self).calls += 1
        return inputs


class TinyClassifier(PneumoniaClassifier):
    stage_ends: ClassVar[dict[str, str]] = {}

    def __init__(self, image_size=(32, 48)):
        given = {"weights": None, "image_size": image_size, "resize": "stretch", "dtype": None}
        super().__init__(**given, dropout=0.2, name="tiny")

    @staticmethod
    def build_backbone(weights, input_shape):
        inputs = keras.Input(input_shape)
        maps = keras.layers.Conv2D(8, 8, 8, activation="relu")(inputs)
        return keras.Model(inputs, keras.layers.BatchNormalization()(maps))

    @staticmethod
    def preprocess(images):
        return CountsCalls()(keras.layers.Rescaling(1 / 255)(images))


@pytest.fixture(scope="module")
def tiny():
    keras.utils.set_random_seed(0)
    return TinyClassifier()


@pytest.fixture(scope="module")
def radiographs():
    return np.random.default_rng(0).integers(0, 256, (11, 32, 48, 3), dtype=np.uint8)


@pytest.fixture
def folder(radiographs, tmp_path):
    """The images as files, in an order of names that is theirs, amid what is no image."""
    names = ["a/2.png", "a/b/1.PNG", "a-b/3.png", "c.png", *(f"d/{n}.png" for n in range(7))]
    for name, pixels in zip(names, radiographs, strict=True):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    for name in (
        ".hidden.png",
        "._2.png",
        "Thumbs.db",
        "notes.txt",
        "__MACOSX/2.png",
        ".git/2.png",
    ):
        path = tmp_path / "images" / "a" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no image")
    return tmp_path / "images"


def expected_features(model, images):
    return keras.Model(model.input, model.get_layer("features").output).predict(images, verbose=0)


@pytest.mark.parametrize("batch_size", [None, 1, 4, 11, 100])
def test_features_and_probabilities_are_those_of_predict(tiny, radiographs, batch_size):
    found = tiny.extract_features(radiographs, batch_size)
    np.testing.assert_allclose(found, expected_features(tiny, radiographs), rtol=1e-5, atol=1e-7)
    probabilities = tiny.probabilities(radiographs, len(radiographs))
    np.testing.assert_allclose(
        probabilities, tiny.predict(radiographs, verbose=0)[:, 0], rtol=1e-5, atol=1e-7
    )


def test_a_folder_is_gone_through_in_sorted_order(tiny, radiographs, folder):
    expected = expected_features(tiny, radiographs)
    files = [path for path in sorted(folder.rglob("*.[pP][nN][gG]")) if path in image_files(folder)]
    assert len(files) == len(radiographs)
    for paths in (folder, str(folder), [folder], files, iter(files), (str(path) for path in files)):
        np.testing.assert_allclose(tiny.extract_features(paths, 4), expected, rtol=1e-5, atol=1e-7)
    both = tiny.extract_features([files[3], folder / "a"])
    np.testing.assert_allclose(both, expected[[3, 0, 1]], rtol=1e-5, atol=1e-7)


def test_features_follow_the_weights(radiographs):
    model = TinyClassifier()
    before = model.extract_features(radiographs)
    kernel, bias = model.backbone.layers[1].get_weights()
    model.backbone.layers[1].set_weights([kernel, bias + 1])
    assert (model.extract_features(radiographs) > before).any()
    np.testing.assert_allclose(
        model.extract_features(radiographs), expected_features(model, radiographs), rtol=1e-5
    )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others are not compiled here")
def test_no_other_number_of_images_is_compiled_for(tiny, radiographs, folder):
    tiny.extract_features(radiographs)
    calls = CountsCalls.calls
    for n in (1, 3, 11):
        tiny.extract_features(radiographs[:n], batch_size=4)
        tiny.extract_features(tf.data.Dataset.from_tensor_slices(radiographs).batch(n))
    tiny.extract_features(folder)
    assert CountsCalls.calls == calls


def test_an_unreadable_file_is_named(tiny, folder):
    (folder / "b.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"b\.png"):
        tiny.extract_features(folder)


@pytest.mark.parametrize(
    ("data", "batch_size", "message"),
    [
        (iter(()), None, "at least one"),
        ([b"a.png"], None, "paths of files and folders.*Received a bytes"),
        (tf.data.Dataset.from_tensors(np.zeros((32, 48, 3))), None, r"shape \(32, 48, 3\)"),
        (np.zeros((1, 32, 48, 3)), 0, "`batch_size` must be at least 1"),
    ],
    ids=["no path", "bytes", "no batches", "batch size"],
)
def test_other_inputs_are_refused(tiny, data, batch_size, message):
    with pytest.raises(SettingsError, match=message):
        tiny.extract_features(data, batch_size)


def test_a_folder_without_images_is_refused_before_any_is_read(tiny, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(LayoutError, match=r"at least one image \(\.jpeg, \.jpg, \.png\)"):
        tiny.extract_features(["missing.png", tmp_path])


def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    for number in range(100):
        Image.new("L", (32, 32), number % 256).save(tmp_path / f"{number}.png")
    model = TinyClassifier((96, 96))
    model.extract_features(tmp_path)  # what is made once
    peaks = []
    tracemalloc.start()
    try:
        for folders in ([tmp_path], [tmp_path] * 10):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            assert len(model.extract_features(folders)) == 100 * len(folders)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    # Kept until the end, the pixels of ten times as many files would need ten times as much.
    assert peaks[1] < 2 * peaks[0]
