from collections.abc import Callable

import numpy as np
import pytest

from keras_pneumo.evaluation.predictions import Predictions


@pytest.fixture(scope="session")
def make_predictions() -> Callable[..., Predictions]:
    def make(
        n_normal: int = 12, n_pneumonia: int = 18, shift: float = 0.0, seed: int = 0
    ) -> Predictions:
        rng = np.random.default_rng(seed)
        n = n_normal + n_pneumonia
        y_true = np.repeat([0, 1], [n_normal, n_pneumonia])
        y_score = 1 / (1 + np.exp(-rng.normal(3 * y_true - 1.5 + shift, 1.5)))
        # Two images a patient.
        patients = [f"person{i // 2}" for i in range(n)]
        return Predictions(y_true, y_score, patients, [f"image_{i}.jpeg" for i in range(n)])

    return make


@pytest.fixture(scope="session")
def predictions(make_predictions: Callable[..., Predictions]) -> dict[str, Predictions]:
    return {"validation": make_predictions(), "test": make_predictions(shift=1.0, seed=1)}
