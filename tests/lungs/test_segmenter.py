import importlib.util
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_pneumo.errors import OutputError, SettingsError, WeightsError
from keras_pneumo.lungs.segmenter import DESCRIPTION_FILE, WEIGHTS_FILE, LungSegmenter


@pytest.fixture(scope="module")
def saved(small_segmenter, tmp_path_factory):
    return small_segmenter.save_to_preset(tmp_path_factory.mktemp("saved") / "lungs")


def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def probabilities(model, images):
    return model.probabilities(images, len(images))


def test_it_is_small_and_of_built_in_layers(small_segmenter):
    assert small_segmenter.count_params() <= 200_000
    assert {type(layer).__module__.split(".")[0] for layer in small_segmenter.layers} == {"keras"}


def test_it_gives_a_probability_for_each_pixel(small_segmenter, pictures):
    found = small_segmenter.predict(pictures, verbose=0)
    assert (found.shape, found.dtype) == ((5, 32, 32, 1), np.float32)
    assert 0 <= found.min() < found.max() <= 1
    np.testing.assert_allclose(small_segmenter.probabilities(pictures, 8), found[..., 0], atol=1e-5)


def test_brightness_and_contrast_change_nothing(small_segmenter, pictures):
    pale = 60 + 0.3 * pictures.astype("float32")
    np.testing.assert_allclose(
        probabilities(small_segmenter, pale), probabilities(small_segmenter, pictures), atol=2e-3
    )


def test_a_colour_counts_as_its_grey(small_segmenter, pictures):
    grey = pictures.astype("float32") @ np.float32([0.299, 0.587, 0.114])
    np.testing.assert_allclose(
        probabilities(small_segmenter, np.repeat(grey[..., None], 3, axis=-1)),
        probabilities(small_segmenter, pictures),
        atol=1e-4,
    )


@pytest.mark.parametrize("image_size", [(100, 112), (16, 16), 112])
def test_an_image_size_that_cannot_be_halved_is_refused(image_size):
    with pytest.raises(SettingsError, match="`image_size`"):
        LungSegmenter(image_size=image_size)


def test_a_saved_one_gives_nearly_the_same_in_float32(small_segmenter, saved, pictures):
    opened = LungSegmenter.from_preset(saved)
    expected = probabilities(small_segmenter, pictures)
    np.testing.assert_allclose(probabilities(opened, pictures), expected, atol=2e-3)
    assert {weight.dtype for weight in opened.weights} == {"float32"}
    assert sorted(path.name for path in saved.iterdir()) == [DESCRIPTION_FILE, WEIGHTS_FILE]
    with pytest.raises(OutputError, match="must not exist"):
        small_segmenter.save_to_preset(saved)


def test_keras_saves_and_loads_it_with_its_metadata(small_segmenter, pictures, tmp_path):
    model = LungSegmenter.from_config(small_segmenter.get_config())
    model.set_weights(small_segmenter.get_weights())
    model.metadata = {"masks": 7}
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.metadata == {"masks": 7}
    np.testing.assert_allclose(
        probabilities(again, pictures), probabilities(small_segmenter, pictures), atol=1e-6
    )


def test_a_damaged_weights_file_is_refused(saved, tmp_path):
    folder = copy(saved, tmp_path)
    (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:-100])
    with pytest.raises(WeightsError, match="missing, cut short or changed"):
        LungSegmenter.from_preset(folder)
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(WeightsError, match="missing, cut short or changed"):
        LungSegmenter.from_preset(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "Upgrade keras-pneumo"),
        ({"config": {"image_size": [33, 33]}}, "does not describe a LungSegmenter"),
        ({"config": {"depth": 9}}, "does not describe a LungSegmenter"),
        ({"sha256": {}}, "missing or wrong is 'lungs.weights.h5'"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(saved, tmp_path, change, message):
    folder = copy(saved, tmp_path)
    content = json.loads((folder / DESCRIPTION_FILE).read_text())
    (folder / DESCRIPTION_FILE).write_text(json.dumps({**content, **change}))
    with pytest.raises(WeightsError, match=message):
        LungSegmenter.from_preset(folder)


def test_what_is_no_segmenter_is_named_as_such(tmp_path):
    with pytest.raises(WeightsError, match=r"lungs\.json and lungs\.weights\.h5"):
        LungSegmenter.from_preset(tmp_path)
    (tmp_path / DESCRIPTION_FILE).write_text("{")
    with pytest.raises(WeightsError, match="not valid JSON"):
        LungSegmenter.from_preset(tmp_path)


BACKEND = """
import sys
import numpy as np
from keras_pneumo.lungs.segmenter import LungSegmenter

folder, pictures, found = sys.argv[1:]
np.save(found, LungSegmenter.from_preset(folder).probabilities(np.load(pictures), 8))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_opens_it_and_gives_the_same(backend, saved, pictures, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'keras-pneumo[backends]'")
    np.save(tmp_path / "pictures.npy", pictures)
    files = (saved, tmp_path / "pictures.npy", tmp_path / "found.npy")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run([sys.executable, "-c", BACKEND, *map(str, files)], env=environment, check=True)
    expected = probabilities(LungSegmenter.from_preset(saved), pictures)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-4)
