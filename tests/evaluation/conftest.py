from collections.abc import Callable

import pytest
from fake_reports import draw_predictions

from keras_pneumo.evaluation.predictions import Predictions


@pytest.fixture(scope="session")
def make_predictions() -> Callable[..., Predictions]:
    return draw_predictions


@pytest.fixture(scope="session")
def predictions() -> dict[str, Predictions]:
    """Two splits with no file and no patient in common."""
    return {
        "validation": draw_predictions(split="validation"),
        "test": draw_predictions(split="test", shift=1.0, seed=1),
    }
