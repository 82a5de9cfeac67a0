import numpy as np
import pytest

from keras_pneumo import PneumoniaResNet50

SIZE = (32, 32)


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(0).integers(0, 256, (6, *SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def untouched_model():
    """A model for tests that only read it."""
    return PneumoniaResNet50(weights=None, image_size=SIZE)


@pytest.fixture
def model():
    """A model of one's own, for tests that train or change it."""
    return PneumoniaResNet50(weights=None, image_size=SIZE)
