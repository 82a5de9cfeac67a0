from typing import ClassVar

import keras
import numpy as np
import pytest

from keras_pneumo import PneumoniaClassifier


class TinyClassifier(PneumoniaClassifier):
    """A member of the family with one convolution: 32 x 48 pixels, maps of 4 x 6, 8 channels."""

    stage_ends: ClassVar[dict[str, str]] = {}

    def __init__(self):
        given = {"weights": None, "image_size": (32, 48), "resize": "stretch", "dtype": None}
        super().__init__(**given, dropout=0.2, name="tiny")

    @staticmethod
    def build_backbone(weights, input_shape):
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, keras.layers.Conv2D(8, 8, 8, activation="relu")(inputs))

    @staticmethod
    def preprocess(images):
        return keras.layers.Rescaling(1 / 255)(images)


@pytest.fixture(scope="session")
def tiny_classifier():
    """Only to be read."""
    keras.utils.set_random_seed(0)
    model = TinyClassifier()
    model.get_layer("logit").bias.assign([-0.3])
    model.temperature = 2.5
    model.threshold = 0.45
    return model


@pytest.fixture(scope="session")
def radiographs():
    """Images for ``tiny_classifier``, from bright to dark."""
    images = np.random.default_rng(1).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
    return images // np.array([1, 2, 4, 8], "uint8")[:, None, None, None]
