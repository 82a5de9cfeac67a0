"""Augmentation policies: how training images are varied, and why that is right for radiographs."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_pneumo.errors import SettingsError

Augmentation = Callable[[Any], Any]
Layer = Callable[..., Any]  # called as a Keras layer is: layer(images, training=True)


def standard(seed: int) -> list[Layer]:
    """Layers of Keras that vary an image as radiographs vary.

    Angles and shifts are those of a child who does not hold still, and are filled with black, as
    outside the collimated field. Brightness and contrast stand for exposure and for the
    post-processing of another machine.

    Args:
        seed: The same seed draws the same variations.

    Returns:
        Layers for float batches ``(batch, height, width, channels)`` in [0, 255]; safe inside
        ``tf.data``.
    """
    black = {"fill_mode": "constant", "fill_value": 0.0}
    full_range = (0, 255)
    return [
        # Pneumonia is found on either side. The mirrored heart is wrong anatomy, but no sign of it.
        keras.layers.RandomFlip("horizontal", seed=seed),
        # Up to 7 degrees: a tilted child. More is not seen in practice.
        keras.layers.RandomRotation(0.02, **black, seed=seed + 1),
        # Up to 5 %: centring. The lungs must stay in the picture.
        keras.layers.RandomTranslation(0.05, 0.05, **black, seed=seed + 2),
        # Up to 10 %: distance, age, and how tightly the field was collimated.
        keras.layers.RandomZoom(0.1, **black, seed=seed + 3),
        # Exposure and display window differ between machines and say nothing of the disease.
        keras.layers.RandomBrightness(0.1, value_range=full_range, seed=seed + 4),
        keras.layers.RandomContrast(0.2, value_range=full_range, seed=seed + 5),
    ]


def keras_cv(seed: int) -> list[Layer]:
    """RandAugment and a cut-out of keras-cv, the stronger policy (extra ``keras-pneumo[cv]``).

    Cubuk et al., "RandAugment", 2019, arXiv:1909.13719; DeVries and Taylor, "Cutout", 2017,
    arXiv:1708.04552. Colour operations among them act on three equal channels.

    Args:
        seed: The same seed draws the same variations inside ``tf.data``. Outside of it TensorFlow
            counts the calls of the whole process, so that only the first one repeats.

    Returns:
        Layers for float batches ``(batch, height, width, channels)`` in [0, 255].

    Raises:
        SettingsError: keras-cv is not installed.
    """
    try:
        from keras_cv import core, layers
    except ImportError as error:
        raise SettingsError(
            "The augmentation 'keras_cv' needs keras-cv, which is not installed. "
            "Run: pip install 'keras-pneumo[cv]'."
        ) from error
    # Two operations per image, weak ones: strong ones wash out faint opacities. Some, solarisation
    # above all, are seen on no radiograph, which is why this is not the default.
    rand_augment = layers.RandAugment(
        value_range=(0, 255), augmentations_per_image=2, magnitude=0.2, seed=seed + 1
    )
    # keras-cv 0.9 does not hand its seed on to all that draws a magnitude.
    for operation in rand_augment.layers:
        for sampler in vars(operation).values():
            if isinstance(sampler, core.FactorSampler):
                sampler.seed = seed + 1

    def one_by_one(images: Any, training: bool) -> Any:
        # Images that are varied in parallel would draw their random numbers in any order.
        return tf.map_fn(
            lambda image: rand_augment(image, training=training), images, parallel_iterations=1
        )

    return [
        keras.layers.RandomFlip("horizontal", seed=seed),
        one_by_one,
        # Up to a fifth of each side is hidden, so that no single region decides.
        layers.RandomCutout(height_factor=(0.0, 0.2), width_factor=(0.0, 0.2), seed=seed + 2),
    ]


POLICIES: dict[str, Callable[[int], list[Layer]]] = {
    "none": lambda _seed: [],
    "standard": standard,
    "keras_cv": keras_cv,
}


def augmentation(policy: str, seed: int) -> Augmentation:
    """Build a function that varies a batch of training images.

    Args:
        policy: ``"none"``, ``"standard"`` or ``"keras_cv"``.
        seed: The same seed draws the same variations.

    Returns:
        A function from a batch in [0, 255] to a float32 batch in [0, 255].

    Raises:
        SettingsError: There is no such policy, or its extra is not installed.

    Examples:
        >>> import numpy as np
        >>> vary = augmentation("standard", seed=0)
        >>> vary(np.full((2, 32, 32, 3), 128, "uint8")).shape
        TensorShape([2, 32, 32, 3])
    """
    if policy not in POLICIES:
        raise SettingsError(
            f"`augmentation` must be one of {', '.join(map(repr, POLICIES))}. Received: {policy!r}."
        )
    layers = POLICIES[policy](seed)

    def vary(images: Any) -> Any:
        # TensorFlow's, since the pipeline is its own whatever backend Keras runs on.
        images = tf.cast(images, "float32")
        for layer in layers:
            images = layer(images, training=True)
        return tf.clip_by_value(images, 0.0, 255.0)

    return vary
