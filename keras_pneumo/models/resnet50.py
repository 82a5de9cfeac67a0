"""PneumoniaResNet50: ResNet-50 with one output, the probability of pneumonia."""

from pathlib import Path
from typing import Any, ClassVar

import keras

from keras_pneumo.models.classifier import PneumoniaClassifier


@keras.saving.register_keras_serializable(package="keras_pneumo")
class PneumoniaResNet50(PneumoniaClassifier):
    """ResNet-50 that outputs the probability of PNEUMONIA for a chest X-ray.

    A functional ``keras.Model`` over ``keras.applications.ResNet50``: 'caffe' preprocessing inside
    the graph, the backbone (frozen until ``fine_tune``), global average pooling, dropout, one
    logit, its division by a temperature, sigmoid. Input: float32 or uint8
    ``(batch, height, width, 3)``, RGB in [0, 255]. Output: float32 ``(batch, 1)`` in [0, 1].

    Args:
        weights: ``"imagenet"`` (downloaded once by Keras), ``None`` (random), or the path of a
            ``.weights.h5`` of the backbone or of a prefix of it that ends with a stage. What the
            file does not cover keeps its initialisation and is named in one warning.
        image_size: ``(height, width)`` in pixels, both at least 32.
        resize: How files are brought to ``image_size``: ``"stretch"`` or ``"pad"``.
        dropout: Fraction of the pooled features dropped in training, in [0, 1).
        dtype: Dtype policy of the backbone, such as ``"mixed_bfloat16"``; by default the global
            policy. Preprocessing and head stay in float32.
        name: Name of the model.

    Raises:
        SettingsError: An argument is out of range.
        WeightsError: The weights cannot be had or do not fit.

    Examples:
        >>> import numpy as np
        >>> model = PneumoniaResNet50(weights=None, image_size=(32, 32))
        >>> model.predict(np.zeros((2, 32, 32, 3), "uint8"), verbose=0).shape
        (2, 1)

    References:
        He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385.
    """

    stage_ends: ClassVar[dict[str, str]] = {
        "conv1": "pool1_pool",
        "conv2": "conv2_block3_out",
        "conv3": "conv3_block4_out",
        "conv4": "conv4_block6_out",
        "conv5": "conv5_block3_out",
    }
    preset: ClassVar[str | None] = "pneumonia_resnet50"

    def __init__(
        self,
        weights: str | Path | None = "imagenet",
        image_size: tuple[int, int] = (224, 224),
        resize: str = "stretch",
        dropout: float = 0.2,
        dtype: Any = None,
        name: str = "pneumonia_resnet50",
    ) -> None:
        super().__init__(
            weights=weights,
            image_size=image_size,
            resize=resize,
            dropout=dropout,
            dtype=dtype,
            name=name,
        )

    @staticmethod
    def build_backbone(weights: str | None, input_shape: tuple[int, int, int]) -> keras.Model:
        """Build ``keras.applications.ResNet50`` without its top."""
        return keras.applications.ResNet50(
            include_top=False, weights=weights, input_shape=input_shape
        )

    @staticmethod
    def preprocess(images: Any) -> Any:
        """Apply 'caffe' preprocessing: RGB to BGR, minus the ImageNet mean of each channel.

        One fixed 1 x 1 convolution does both, so that the saved graph holds built-in layers only.
        The means are those of ``keras.applications.resnet50.preprocess_input``.
        """
        return keras.layers.Conv2D(
            filters=3,
            kernel_size=1,
            kernel_initializer=keras.initializers.Constant([[[[0, 0, 1], [0, 1, 0], [1, 0, 0]]]]),
            bias_initializer=keras.initializers.Constant([-103.939, -116.779, -123.68]),
            trainable=False,
            dtype="float32",
            name="caffe_preprocessing",
        )(images)
