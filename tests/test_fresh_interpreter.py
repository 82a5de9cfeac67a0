"""What works in an interpreter that has imported nothing of it yet: one process for all of it."""

import json
import os
import re
import subprocess
import sys

import pytest

from keras_pneumo.models.resnet50 import PneumoniaResNet50

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fresh interpreter")]

SCRIPT = """
import json, sys

saved, phantoms, folder = sys.argv[1:]
said = {}

from keras_pneumo import PneumoniaClassifier
try:
    PneumoniaClassifier.from_pretrained(saved)
except Exception as error:
    said["family"] = str(error)

from keras_pneumo import PneumoniaResNet50
try:
    PneumoniaResNet50(weights="imagenet", image_size=(32, 32))
except Exception as error:
    said["imagenet"] = f"{type(error).__name__}: {error}"

import tensorflow_datasets as tfds
import keras_pneumo.data.builder
test = tfds.load(
    "chest_xray_pneumonia/kaggle_grouped",
    split="test",
    data_dir=folder,
    download_and_prepare_kwargs={
        "download_config": tfds.download.DownloadConfig(manual_dir=phantoms)
    },
)
said["builder"] = [len(test), *test.element_spec]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(phantoms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh")
    saved = PneumoniaResNet50(weights=None, image_size=(32, 32)).save_pretrained(folder / "model")
    # Which class is meant, its error shows, sooner than a loaded model would.
    description = json.loads((saved / "keras_pneumo.json").read_text())
    description["config"] = {"depth": 50}
    (saved / "keras_pneumo.json").write_text(json.dumps(description))
    # A proxy that nobody answers is a machine without a network, and an empty home has no cache.
    nobody = "http://127.0.0.1:9"
    offline = {"https_proxy": nobody, "HTTPS_PROXY": nobody, "KERAS_HOME": str(folder)}
    command = [sys.executable, "-c", SCRIPT, saved, phantoms, folder / "tfds"]
    done = subprocess.run(
        command, env={**os.environ, **offline}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_base_class_knows_the_family(said):
    assert "does not describe a PneumoniaResNet50" in said["family"]


def test_imagenet_without_a_network_says_what_to_do(said):
    assert re.match(r"WeightsError: .*downloads once.*\.weights\.h5", said["imagenet"])


def test_tfds_loads_the_builder_by_name(said):
    columns = ["aetiology", "filename", "image", "label", "patient_id"]
    assert said["builder"] == [30, *columns]
