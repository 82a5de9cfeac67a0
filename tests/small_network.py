"""A small architecture, for tests of what does not depend on the network."""

from pathlib import Path
from typing import ClassVar

import keras

from keras_pneumo.models.architectures import ARCHITECTURES
from keras_pneumo.models.classifier import PneumoniaClassifier


@keras.saving.register_keras_serializable(package="keras_pneumo_tests")
class SmallClassifier(PneumoniaClassifier):
    """A stem and two stages of one residual block with normalisation: 1,500 weights."""

    stage_ends: ClassVar[dict[str, str]] = {"low": "low_out", "high": "high_out"}

    def __init__(
        self,
        weights=None,
        image_size=(32, 32),
        resize="stretch",
        dropout=0.2,
        dtype=None,
        name="small",
    ):
        super().__init__(
            weights=weights,
            image_size=image_size,
            resize=resize,
            dropout=dropout,
            dtype=dtype,
            name=name,
        )

    @staticmethod
    def build_backbone(weights, input_shape):
        images = x = keras.Input(input_shape)
        x = keras.layers.Conv2D(8, 3, strides=4, name="stem")(x)
        for stage in ("low", "high"):
            y = keras.layers.Conv2D(8, 3, padding="same", name=f"{stage}_conv")(x)
            y = keras.layers.BatchNormalization(name=f"{stage}_bn")(y)
            x = keras.layers.Add(name=f"{stage}_add")([x, y])
            x = keras.layers.ReLU(name=f"{stage}_out")(x)
        return keras.Model(images, x)

    @staticmethod
    def preprocess(images):
        return keras.layers.Rescaling(1 / 255)(images)


# From now on, settings can name it.
ARCHITECTURES["small"] = f"{__name__}:{SmallClassifier.__name__}"

# For the first line of a script, so that its process knows the architecture too.
IMPORT = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import small_network"
