import subprocess
import sys

import pytest

import keras_pneumo

NAMES = [
    "EvaluationReport",
    "PneumoniaClassifier",
    "PneumoniaResNet50",
    "TrainSettings",
    "audit",
    "evaluate",
    "explain",
    "load_splits",
    "measure_shortcuts",
    "open_model",
    "predict_files",
    "train",
    "write_phantom_collection",
]


def test_the_public_names_are_these():
    assert keras_pneumo.__all__ == NAMES
    assert set(NAMES) <= set(dir(keras_pneumo))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_explained(name):
    value = getattr(keras_pneumo, name)
    assert value.__doc__
    assert value.__name__ == name


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="PneumoniaVGG"):
        keras_pneumo.PneumoniaVGG  # noqa: B018


@pytest.mark.parametrize("statement", ["import keras_pneumo", "import keras_pneumo.cli"])
def test_importing_pulls_neither_keras_nor_tensorflow(statement):
    script = (
        f"{statement}; import sys; print({{'keras', 'tensorflow', 'numpy'}} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()"
