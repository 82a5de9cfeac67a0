import gc
import os
import runpy
import shutil
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from filelock import FileLock
from servers.hub import HubServer

# Looking for cycles among TensorFlow's many objects takes a sixth of the time.
gc.set_threshold(100_000, 20, 20)

# `make test-fast` promises it, and a test that breaks the promise fails.
if os.environ.get("NO_TENSORFLOW"):
    sys.modules["tensorflow"] = sys.modules["keras"] = None

# TensorFlow's notes about its own build would hide the tests' output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# As the command does, so that what it trains and what a test computes agree to the last digits.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# huggingface_hub reads its environment when it is imported: the server has its port before.
_hub_server = HubServer()
_hub_home = tempfile.TemporaryDirectory(prefix="huggingface-")
for _variable in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
    del os.environ[_variable]
os.environ |= {
    "HF_ENDPOINT": _hub_server.url,
    "HF_HOME": _hub_home.name,
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",  # the server knows the older way to send files, which all clients do
    "NO_PROXY": "127.0.0.1,localhost",
}

# Trainings of tests leave nothing in the user's folder.
_features = tempfile.TemporaryDirectory(prefix="features-")
os.environ["KERAS_PNEUMO_CACHE"] = _features.name


# Files that take minutes begin first, so that no worker waits long for the other at the end.
_LONG = ("test_train.py", "test_cli.py", "test_docs.py", "test_examples.py")


def pytest_collection_modifyitems(items):
    items.sort(
        key=lambda item: _LONG.index(name) if (name := item.path.name) in _LONG else len(_LONG)
    )


EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def hub():
    """A Hub of one's own at ``HF_ENDPOINT``: no repositories, an empty cache, two users."""
    shutil.rmtree(Path(_hub_home.name) / "hub", ignore_errors=True)
    _hub_server.reset()
    _hub_server.add_user("ada", "hf_ada")
    _hub_server.add_user("eve", "hf_eve")
    with _hub_server:
        yield _hub_server


@pytest.fixture
def hub_environment(hub):
    """The environment for processes that shall meet the test's Hub."""
    return dict(os.environ)


def _from_environment(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: give it {what} to run this test")
    return Path(value)


@pytest.fixture(scope="session")
def real_data() -> Path:
    return _from_environment("KERAS_PNEUMO_DATA", "the folder of the Kaggle collection")


@pytest.fixture(scope="session")
def real_backbone() -> Path:
    return _from_environment("KERAS_PNEUMO_BACKBONE", "a .weights.h5 of ResNet-50 or a prefix")


SETTINGS = {
    "model": "small",
    "weights": None,
    "image_size": (32, 32),
    "batch_size": 16,
    "head_epochs": 2,
    "head_learning_rate": 0.1,
    "fine_tune_layers": "high",
    "fine_tune_epochs": 2,
    "fine_tune_learning_rate": 0.03,
}


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder of all workers of this run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def phantoms(shared):
    """A collection of 60 + 16 + 30 synthetic radiographs in the Kaggle layout."""
    from keras_pneumo import write_phantom_collection

    folder = shared / "phantoms"
    with FileLock(shared / "phantoms.lock"):
        if not folder.exists():
            write_phantom_collection(folder, n_images=60, image_size=(64, 64))
    return folder


@pytest.fixture(scope="session")
def prepared_dir(tmp_path_factory):
    """Where TFDS keeps what it prepares, shared by the tests of a worker."""
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(scope="session")
def small_settings():
    """Of a training of seconds, of a network that nothing but its size tells from the others."""
    import small_network  # noqa: F401, so that the settings can name it

    from keras_pneumo import TrainSettings

    return TrainSettings(**SETTINGS)


@pytest.fixture(scope="session")
def finished_run(phantoms, prepared_dir, small_settings, shared):
    """A whole training of the small network on phantoms, both phases; only to be read."""
    return _trained_once(shared / "finished", phantoms, small_settings, prepared_dir)


@pytest.fixture(scope="session")
def quickstart_run(phantoms, prepared_dir, small_settings, shared):
    """What ``examples/quickstart.py`` makes with ResNet-50, and what it prints; only to be read."""
    settings = replace(
        small_settings,
        model="resnet50",
        head_epochs=1,
        head_learning_rate=1e-3,
        fine_tune_layers=10,
        fine_tune_epochs=1,
        fine_tune_learning_rate=1e-4,
    )
    output, printed = shared / "quickstart", shared / "quickstart.txt"
    with FileLock(f"{output}.lock"), pytest.MonkeyPatch.context() as patch:
        if not printed.exists():
            # The example leaves TFDS its own folder, which is the user's.
            patch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(prepared_dir))
            example = runpy.run_path(str(EXAMPLES / "quickstart.py"))
            with redirect_stdout(StringIO()) as text:
                example["main"](str(phantoms), str(output), settings)
            printed.write_text(text.getvalue())
    return _trained_once(output, phantoms, settings, prepared_dir)


def _trained_once(output, data_dir, settings, prepared_dir):
    from keras_pneumo import train

    # The first worker trains, the others are given the run that is finished.
    with FileLock(f"{output}.lock"):
        return train(data_dir, output, settings, resume=True, prepared_dir=prepared_dir, verbose=0)
