"""Augmentation policies: how training images are varied, and why that is right for radiographs."""

import math
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
        # Both ends are given: of one number, Keras makes 0 the lower end, and contrast only rises.
        keras.layers.RandomContrast((0.2, 0.2), value_range=full_range, seed=seed + 5),
    ]


def framing(seed: int) -> list[Layer]:
    """Vary how a picture is framed and how sharp it is, so that neither tells the classes.

    In the Kaggle collection, NORMAL training images show neck and belly and are sharp, while
    PNEUMONIA images are cropped to the lungs and less sharp. The official test images are all
    cropped. A model that reads the frame is nearly perfect on held-out training images and calls
    many NORMAL test images PNEUMONIA. This policy is for trainings of many layers: a frozen
    backbone sees few variations.

    The crop is that of Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842.

    Args:
        seed: The same seed draws the same variations.

    Returns:
        Layers for float batches ``(batch, height, width, channels)`` in [0, 255]; safe inside
        ``tf.data``. They may leave values outside that range.

    Examples:
        >>> images = tf.fill((2, 32, 32, 3), 128.0)
        >>> for layer in framing(seed=0):
        ...     images = layer(images, training=True)
        >>> images.shape
        TensorShape([2, 32, 32, 3])
    """
    random = tf.random.Generator.from_seed(seed)

    def per_image(images: Any, low: float, high: float) -> Any:
        return random.uniform((tf.shape(images)[0], 1, 1, 1), low, high)

    def crop(images: Any, training: bool) -> Any:
        return _cropped(images, random)

    def blur(images: Any, training: bool) -> Any:
        n = tf.shape(images)[0]
        # Half the images stay as they are. The others get down to a quarter of their sharpness.
        is_sharp = random.uniform((n,)) < 0.5
        return _reduced(images, tf.where(is_sharp, 1.0, random.uniform((n,), 0.25, 1.0)))

    def gamma(images: Any, training: bool) -> Any:
        exponent = tf.exp(per_image(images, math.log(0.55), math.log(1.8)))
        return 255.0 * tf.pow(tf.clip_by_value(images / 255.0, 0.0, 1.0), exponent)

    def noise(images: Any, training: bool) -> Any:
        # The same in all channels, since a radiograph is grey.
        grain = random.normal(tf.concat([tf.shape(images)[:3], [1]], 0))
        return images + 255.0 * per_image(images, 0.0, 0.06) * grain

    return [
        crop,
        # Pneumonia is found on either side.
        keras.layers.RandomFlip("horizontal", seed=seed + 1),
        blur,
        # Exposure and display window, which also make the blackest black of a class.
        gamma,
        keras.layers.RandomContrast((0.5, 0.5), value_range=(0, 255), seed=seed + 2),
        keras.layers.RandomBrightness(0.2, value_range=(0, 255), seed=seed + 3),
        # Grain of the detector, which blurring alone would make a sign of sharp files.
        noise,
    ]


def _cropped(images: Any, random: Any) -> Any:
    """Crop each image to 30 to 100 % of its area, drawn out by up to a third, at its own size."""
    n, size = tf.shape(images)[0], tf.shape(images)[1:3]
    area = random.uniform((n,), 0.3, 1.0)
    # Of height to width, relative to the image's own.
    ratio = tf.exp(random.uniform((n,), -math.log(4 / 3), math.log(4 / 3)))
    height = tf.minimum(tf.sqrt(area * ratio), 1.0)
    width = tf.minimum(tf.sqrt(area / ratio), 1.0)
    top = random.uniform((n,)) * (1.0 - height)
    left = random.uniform((n,)) * (1.0 - width)
    boxes = tf.stack([top, left, top + height, left + width], axis=1)
    cropped = tf.image.crop_and_resize(images, boxes, tf.range(n), size)
    return tf.ensure_shape(cropped, images.shape)


def _reduced(images: Any, fractions: Any) -> Any:
    """Make each image smaller, to a fraction of its sides, and large again."""
    size = tf.shape(images)[1:3]

    def reduce(image_and_fraction: Any) -> Any:
        image, fraction = image_and_fraction
        small = tf.cast(tf.math.ceil(fraction * tf.cast(size, "float32")), "int32")
        return tf.image.resize(tf.image.resize(image, small, "area"), size)

    reduced = tf.map_fn(reduce, (images, fractions), fn_output_signature="float32")
    return tf.ensure_shape(reduced, images.shape)


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
    "framing": framing,
    "keras_cv": keras_cv,
}


def augmentation(policy: str, seed: int) -> Augmentation:
    """Build a function that varies a batch of training images.

    Args:
        policy: ``"none"``, ``"standard"``, ``"framing"`` or ``"keras_cv"``.
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
