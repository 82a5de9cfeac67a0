import inspect
import re
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


def sections(value):
    """The sections of a Google-style docstring by their titles."""
    text = "Summary:\n" + inspect.getdoc(value)
    parts = re.split(r"^([A-Z][a-z]+):\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_begins_with_one_sentence(name):
    value = getattr(keras_pneumo, name)
    assert value.__name__ == name
    assert re.match(r".+[.]\n", sections(value)["Summary"])


# Nobody makes one: its members take the arguments.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "PneumoniaClassifier"])
def test_every_argument_is_explained_and_an_example_uses_the_name(name):
    value = getattr(keras_pneumo, name)
    found = sections(value)
    # A dataclass has its arguments as attributes.
    explained = re.findall(
        r"^    (\w+): ", found.get("Args", found.get("Attributes", "")), re.MULTILINE
    )
    assert explained == list(inspect.signature(value).parameters)
    assert re.search(rf"\b{name}\(", found["Examples"])
    assert inspect.isclass(value) or "Returns" in found


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
