"""The whole way with a real model: published by one, loaded by others, in other processes."""

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from keras_pneumo import PneumoniaResNet50, open_model
from keras_pneumo.errors import SettingsError, WeightsError
from keras_pneumo.models.classifier import PneumoniaClassifier

NAME = "ada/pneumonia"
SIZE = (32, 32)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    model = PneumoniaResNet50(weights=None, image_size=SIZE)
    model.threshold = 0.375
    model.temperature = 0.5
    return model


@pytest.fixture
def published(hub, model):
    model.push_to_hub(NAME, token="hf_ada")
    return hub


def test_what_is_loaded_predicts_the_same(published, model, images, tmp_path):
    expected = model.predict(images, verbose=0)
    loaded = PneumoniaResNet50.from_pretrained(NAME, cache_dir=tmp_path)
    assert type(loaded) is PneumoniaResNet50
    assert loaded.threshold == 0.375
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-6)


@pytest.mark.slow
def test_plain_keras_loads_it_from_hub_or_folder_where_keras_pneumo_is_not_installed(
    published, model, images, hub_environment, tmp_path
):
    # An environment that sees every package of this one but keras_pneumo, which is installed
    # editable: of the folder that a .pth file names, the .pth files are not read.
    venv.create(tmp_path / "env", symlinks=True, with_pip=False)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(str(Path(pytest.__file__).parents[1]))
    script = """
import importlib.util, sys
assert importlib.util.find_spec("keras_pneumo") is None
import keras, numpy as np
images, scores = np.load("images.npy"), []
for name in ("hf://ada/pneumonia", "saved"):
    model = keras.saving.load_model(name)
    assert type(model).__module__.startswith("keras."), type(model)
    scores.append(model(images))
np.save("scores.npy", scores)
"""
    model.save_pretrained(tmp_path / "saved")
    np.save(tmp_path / "images.npy", images)
    subprocess.run(
        [tmp_path / "env" / "bin" / "python", "-c", script],
        env=hub_environment,
        cwd=tmp_path,
        check=True,
    )
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), [expected, expected], atol=1e-6)


def test_two_processes_load_into_one_cache_at_once(published, hub_environment, tmp_path):
    script = f"""
from keras_pneumo.pretrained.description import Description
from keras_pneumo.pretrained.resolve import find_model
print(Description.read(find_model({NAME!r}, cache_dir={str(tmp_path)!r})).threshold)
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script], env=hub_environment, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    assert [float(process.communicate()[0]) for process in processes] == [0.375, 0.375]
    downloads = [one for one in published.requests if one.method == "GET" and "cdn" in one.path]
    assert len(downloads) <= 2


def test_a_model_on_the_hub_is_opened_like_one_in_a_folder(published, model, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert open_model(f"hf://{NAME}").threshold == model.threshold


def test_no_name_is_the_preset_of_the_class_and_the_base_has_none(hub):
    with pytest.raises(WeightsError, match=r"'pneumonia_resnet50'.*this version brings none"):
        PneumoniaResNet50.from_pretrained()
    with pytest.raises(SettingsError, match="has no preset"):
        PneumoniaClassifier.from_pretrained()
    assert not hub.requests
