import numpy as np
import pytest

from keras_pneumo import EvaluationReport
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.thresholds import Threshold
from keras_pneumo.pretrained.description import Description

THRESHOLD = Threshold(0.4, "youden", "validation")


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


def predictions(images, seed):
    rng = np.random.default_rng(seed)
    label = np.arange(images) % 2
    score = np.clip(0.35 + 0.3 * label + rng.normal(0, 0.15, images), 0, 1)
    names = [f"secret/radiograph-{seed}-{i}.jpeg" for i in range(images)]
    return Predictions(label, score, [f"child-{seed}-{i // 2}" for i in range(images)], names)


@pytest.fixture(scope="session")
def report():
    return EvaluationReport(
        model="PneumoniaResNet50 of first",
        threshold=THRESHOLD,
        predictions={"validation": predictions(30, 1), "test": predictions(40, 2)},
        data="phantoms (kaggle_grouped)",
        resamples=50,
    )
