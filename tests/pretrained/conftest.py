import numpy as np
import pytest
from fake_reports import THRESHOLD, make_report

from keras_pneumo.pretrained.description import Description


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory):
    """What a saved model looks like from outside, with files that are no model at all."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"class_name": "Functional"}')
    (folder / "metadata.json").write_text("{}")
    weights = np.random.default_rng(0).bytes(100_000)
    (folder / "model.weights.h5").write_bytes(weights)
    Description(
        class_name="PneumoniaResNet50",
        config={"image_size": [32, 32]},
        image_size=(32, 32),
        threshold=THRESHOLD.value,
        metadata={"data": {"name": "phantoms", "config": "kaggle_grouped"}},
    ).write(folder)
    return folder


@pytest.fixture(scope="session")
def report():
    return make_report()
