"""The model on the other backends of Keras, each in an interpreter of its own."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_pneumo import explain

pytestmark = pytest.mark.slow

CHECK = """
import sys
import keras, numpy as np, tensorflow as tf
from keras_pneumo import PneumoniaResNet50, explain, load_splits

saved, phantoms, prepared_dir, images_file, scores_file, folder = sys.argv[1:]
images = np.load(images_file)
labels = np.arange(len(images)) % 2

model = PneumoniaResNet50.from_pretrained(saved)
# Keras would take "auto" for True, and on torch that is minutes of torch.compile.
assert model.jit_compile is (keras.backend.backend() == "jax")
scores = model.predict(images, verbose=0)
np.save(scores_file, scores)

for head in ("linear", "hidden"):
    found = explain(keras.saving.load_model(f"{folder}/{head}.keras"), images)
    np.savez(f"{folder}/{head}.npz", **found._asdict())

features = model.extract_features(images)
batches = tf.data.Dataset.from_tensor_slices(images).batch(4)
scale = np.abs(features).max()
np.testing.assert_allclose(model.extract_features(batches) / scale, features / scale, atol=1e-5)

before = {v.path: keras.ops.convert_to_numpy(v) for v in model.variables}
model.fine_tune(10, learning_rate=1e-2)
history = model.fit(images, labels, epochs=1, verbose=0).history
assert np.isfinite(history["loss"][0])
trainable = {v.path for v in model.trainable_variables}
weights = {v.path for v in model.weights}
moved = {v.path for v in model.variables
         if v.path in weights and not np.array_equal(before[v.path], keras.ops.convert_to_numpy(v))}
assert trainable <= moved, trainable - moved
assert not any("_bn" in path for path in moved), moved

splits = load_splits(phantoms, (32, 32), 16, prepared_dir=prepared_dir)
model.fit(splits.train.take(1), class_weight=splits.class_weight, epochs=1, verbose=0)
assert np.isfinite(model.predict(splits.validation, verbose=0)).all()

model.save(f"{folder}/model.keras")
again = keras.saving.load_model(f"{folder}/model.keras")
expected = model.predict(images, verbose=0)
np.testing.assert_allclose(again.predict(images, verbose=0), expected, atol=1e-6)
model.save_pretrained(f"{folder}/pretrained")
plain = keras.saving.load_model(f"{folder}/pretrained")
np.testing.assert_allclose(plain.predict(images, verbose=0), expected, atol=1e-6)
"""


@pytest.fixture(scope="module")
def heads():
    """A head whose map needs no gradient, and one whose map does."""
    keras.utils.set_random_seed(0)
    models = {}
    for name, layers in (
        ("linear", [keras.layers.GlobalAveragePooling2D()]),
        ("hidden", [keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(5, "relu")]),
    ):
        maps = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 8, 8, activation="relu")]
        end = keras.layers.Dense(1, "sigmoid")
        models[name] = keras.Sequential([keras.Input((32, 32, 3)), *maps, *layers, end])
    return models


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_train_save_load_and_explain_on_another_backend(
    backend, untouched_model, heads, images, phantoms, prepared_dir, tmp_path
):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'keras-pneumo[backends]'")
    np.save(tmp_path / "images.npy", images)
    saved = untouched_model.save_pretrained(tmp_path / "saved")
    files = [tmp_path / "images.npy", tmp_path / "scores.npy", tmp_path]
    for name, model in heads.items():
        model.save(tmp_path / f"{name}.keras")
    arguments = [saved, phantoms, prepared_dir, *files]
    subprocess.run(
        [sys.executable, "-c", CHECK, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )
    scores = untouched_model.predict(images, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), scores, atol=1e-4)
    for name, model in heads.items():
        with np.load(tmp_path / f"{name}.npz") as maps:
            for part, expected in explain(model, images)._asdict().items():
                np.testing.assert_allclose(maps[part], expected, atol=1e-5)
