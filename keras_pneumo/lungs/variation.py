"""Variations of a radiograph, with its mask, that a segmenter should not mind."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keras_pneumo.lungs.field import Box, Mask, box_of

Grey = NDArray[np.uint8]

# Of the images, each drawn by itself.
_TIGHT, _TURNED, _BLURRED, _NOISY, _INVERTED = 0.3, 0.5, 0.3, 0.3, 0.25


def vary(picture: Grey, mask: Mask, rng: np.random.Generator) -> tuple[Grey, Mask]:
    """Draw a variation of a radiograph and its mask: another frame, another exposure.

    - Frame: in three of ten the lungs are cut out tightly, from 4 % inside their box to 10 %
      outside; otherwise each side of the frame is 0.65 to 1.2 of the image's. So the aspect ratio
      changes too, and what lies outside the image becomes a black border. Half are mirrored, half
      turned by up to 10 degrees.
    - Exposure: gamma, contrast and brightness always; blur (reduced and enlarged again) and noise
      in three of ten each; inverted polarity in one of four.

    Args:
        picture: uint8 ``(2 * height, 2 * width)`` in [0, 255]: twice the size, so that a tight
            frame is still sharp.
        mask: bool ``(height, width)``, not empty.
        rng: The source of all randomness.

    Returns:
        Both at ``(height, width)``, uint8 and bool.

    Examples:
        >>> lungs = np.zeros((32, 32), bool)
        >>> lungs[8:24, 8:24] = True
        >>> varied, moved = vary(np.zeros((64, 64), np.uint8), lungs, np.random.default_rng(0))
        >>> varied.shape, moved.shape
        ((32, 32), (32, 32))
    """
    frame = _tight_frame(mask, rng) if rng.random() < _TIGHT else _free_frame(rng)
    angle = math.radians(rng.uniform(-10, 10)) if rng.random() < _TURNED else 0.0
    mirrored = rng.random() < 0.5
    height, width = mask.shape
    # Reduced after it is turned, since bilinear filtering alone would drop fine lines.
    turned = _cut(Image.fromarray(picture), frame, angle, mirrored, (2 * width, 2 * height))
    white = Image.fromarray(mask.astype(np.uint8) * 255)
    moved = _cut(white, frame, angle, mirrored, (width, height))
    return _expose(turned.reduce(2), rng), np.asarray(moved) >= 128


def _tight_frame(mask: Mask, rng: np.random.Generator) -> Box:
    left, top, right, bottom = box_of(mask)
    width, height = right - left, bottom - top
    margins = rng.uniform(-0.04, 0.10, 4)
    return Box(
        left - margins[0] * width,
        top - margins[1] * height,
        right + margins[2] * width,
        bottom + margins[3] * height,
    )


def _free_frame(rng: np.random.Generator) -> Box:
    width, height = rng.uniform(0.65, 1.2, 2)
    left, top = rng.random(2) * (1 - width, 1 - height)
    return Box(left, top, left + width, top + height)


def _cut(
    picture: Image.Image, frame: Box, angle: float, mirrored: bool, size: tuple[int, int]
) -> Image.Image:
    """Cut out a turned frame at ``size``, (width, height), bilinear; outside is black."""
    width, height = frame.right - frame.left, frame.bottom - frame.top
    cos, sin = math.cos(angle), math.sin(angle)
    across, along = (-width if mirrored else width) / size[0], height / size[1]
    a, b = cos * across, -sin * along
    d, e = sin * across, cos * along
    c = (frame.left + frame.right) / 2 - (a * size[0] + b * size[1]) / 2
    f = (frame.top + frame.bottom) / 2 - (d * size[0] + e * size[1]) / 2
    matrix = np.array([[a, b, c], [d, e, f]]) * np.array([[picture.width], [picture.height]])
    return picture.transform(
        size, Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BILINEAR
    )


def _expose(picture: Image.Image, rng: np.random.Generator) -> Grey:
    if rng.random() < _BLURRED:
        share = rng.uniform(0.25, 0.7)
        reduced = (round(share * picture.width), round(share * picture.height))
        picture = picture.resize(reduced, Image.Resampling.BILINEAR).resize(
            picture.size, Image.Resampling.BILINEAR
        )
    levels = 255 * (np.arange(256) / 255) ** math.exp(rng.uniform(-0.6, 0.6))
    levels = 128 + rng.uniform(0.5, 1.4) * (levels - 128) + rng.uniform(-40, 40)
    if rng.random() < _INVERTED:
        levels = 255 - levels
    grey = levels.astype(np.float32)[np.asarray(picture)]
    if rng.random() < _NOISY:
        grey += rng.uniform(2, 16) * rng.standard_normal(grey.shape, dtype=np.float32)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
