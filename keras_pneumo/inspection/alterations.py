"""Changes to radiographs that leave the disease visible, or take it away.

All functions take a uint8 batch ``(n, height, width, 3)`` in [0, 255], RGB, and give a new one of
the same shape; the input is not modified. Grey levels that are not whole are rounded (halves to the
even one) and cut to [0, 255]. The mean of an image is over all its pixels and channels.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Alteration:
    """One way to change radiographs.

    Attributes:
        group: ``"Occlusion"``, ``"Intensity"``, ``"Sharpness"`` or ``"Geometry"``.
        name: For programs, such as ``"border_10_black"``.
        title: For people, such as ``"Border of 10 % black"``.
        apply: The change itself: a uint8 batch ``(n, height, width, 3)`` to another.
    """

    group: str
    name: str
    title: str
    apply: Callable[[Images], Images]


def central_field(height: int, width: int, margin: float) -> NDArray[np.bool_]:
    """Mark the pixels that lie further than a margin from every side.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        margin: Share of each side that is left out at both of its ends, in [0, 0.5): ``rows =
            round(margin * height)`` above and below, ``columns = round(margin * width)`` left and
            right.

    Returns:
        bool ``(height, width)``.

    Examples:
        >>> central_field(4, 6, 0.25).astype(int)
        array([[0, 0, 0, 0, 0, 0],
               [0, 0, 1, 1, 0, 0],
               [0, 0, 1, 1, 0, 0],
               [0, 0, 0, 0, 0, 0]])
    """
    rows, columns = round(margin * height), round(margin * width)
    field = np.zeros((height, width), bool)
    field[rows : height - rows, columns : width - columns] = True
    return field


def black_border(images: Images, margin: float) -> Images:
    """Set all pixels outside ``central_field(margin)`` to 0."""
    field = central_field(images.shape[1], images.shape[2], margin)
    return images * field[:, :, None]


def black_centre(images: Images, margin: float) -> Images:
    """Set all pixels inside ``central_field(margin)`` to 0: what ``black_border`` leaves."""
    field = central_field(images.shape[1], images.shape[2], margin)
    return images * ~field[:, :, None]


def smooth_corners(images: Images, share: float) -> Images:
    """Smooth letters and clock times away from the four corners.

    A corner is ``round(share * height)`` by ``round(share * width)`` pixels. Each of its rows
    becomes the median of this row within the corner, so that the fine marks are gone and the
    brightness of the background stays; black would take that too, and add an edge.
    """
    rows, columns = (round(share * side) for side in images.shape[1:3])
    altered = images.copy()
    for part in (altered[:, :rows], altered[:, images.shape[1] - rows :]):
        _flatten_rows(part[:, :, :columns])
        _flatten_rows(part[:, :, images.shape[2] - columns :])
    return altered


def smooth_sides(images: Images, share: float) -> Images:
    """Smooth letters away from a strip at the left and one at the right, over the whole height.

    A strip is ``round(share * width)`` pixels wide; each of its rows becomes the median of this row
    within the strip. See ``smooth_corners``.
    """
    columns = round(share * images.shape[2])
    altered = images.copy()
    _flatten_rows(altered[:, :, :columns])
    _flatten_rows(altered[:, :, images.shape[2] - columns :])
    return altered


def change_contrast(images: Images, factor: float) -> Images:
    """Stretch the grey levels about the mean m of each image: ``m + factor * (x - m)``."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return _grey_levels(mean + factor * (images - mean))


def change_brightness(images: Images, levels: int) -> Images:
    """Add grey levels: ``x + levels``."""
    return _grey_levels(images + float(levels))


def change_gamma(images: Images, gamma: float) -> Images:
    """Bend the grey levels, black and white stay: ``255 * (x / 255) ** gamma``; above 1 darkens."""
    return _grey_levels(255 * (np.arange(256) / 255) ** gamma)[images]


def equal_exposure(images: Images, mean: float, deviation: float) -> Images:
    """Give every image one mean and one standard deviation of its grey levels.

    ``mean + deviation * (x - m) / s`` with the mean m and the standard deviation s of the image; an
    image of one grey level becomes ``mean``. The cut to [0, 255] moves both a little.
    """
    spread = images.std(axis=(1, 2, 3), keepdims=True)
    centred = images - images.mean(axis=(1, 2, 3), keepdims=True)
    return _grey_levels(mean + deviation * centred / np.where(spread > 0, spread, 1))


def blur(images: Images, sigma: float) -> Images:
    """Convolve with a Gaussian (``scipy.ndimage.gaussian_filter``, the edge repeated outwards).

    ``sigma`` is in pixels of an image of 224 x 224: ``sigma * height / 224`` along the rows and
    ``sigma * width / 224`` along the columns, so that the same details are lost at every size.
    """
    height, width = images.shape[1:3]
    widths = (0, sigma * height / 224, sigma * width / 224, 0)
    return _grey_levels(gaussian_filter(images.astype(np.float32), widths, mode="nearest"))


def compress(images: Images, quality: int) -> Images:
    """Write each image as a JPEG and read it again (Pillow, quality 1 to 95, chroma halved).

    The blocks of a JPEG have 8 x 8 pixels whatever the size of the image.
    """
    altered = np.empty_like(images)
    for image, result in zip(images, altered, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
        result[...] = np.asarray(Image.open(buffer))
    return altered


def rotate(images: Images, degrees: float) -> Images:
    """Rotate about the middle, anticlockwise, bilinear (Pillow); what comes in is black.

    Black as outside the collimated field, and as in the augmentation of the training; repeating the
    edge would draw the letters at it out to stripes.
    """
    turned = [Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(image) for image in turned])


# The frames are those around a central field of 80 % and of 60 % of each side, each shown both
# ways: a model that reads lungs does without the border, and not without the centre.
#
# Letters: in the Kaggle collection most PNEUMONIA images have theirs in the upper left corner, with
# clock times in other corners, and most NORMAL images have an R lower down at the left side.
_OCCLUSION = (
    ("border_10_black", "Border of 10 % black", partial(black_border, margin=0.1)),
    ("border_20_black", "Border of 20 % black", partial(black_border, margin=0.2)),
    ("centre_60_black", "Central 60 % black", partial(black_centre, margin=0.2)),
    ("centre_80_black", "Central 80 % black", partial(black_centre, margin=0.1)),
    ("corners_smooth", "Corners smoothed", partial(smooth_corners, share=0.2)),
    ("sides_smooth", "Sides smoothed", partial(smooth_sides, share=0.15)),
)
# The exposure is made that of the mean radiograph of the Kaggle collection.
_INTENSITY = (
    ("contrast_0.5", "Contrast × 0.5", partial(change_contrast, factor=0.5)),
    ("contrast_0.75", "Contrast × 0.75", partial(change_contrast, factor=0.75)),
    ("contrast_1.25", "Contrast × 1.25", partial(change_contrast, factor=1.25)),
    ("contrast_1.5", "Contrast × 1.5", partial(change_contrast, factor=1.5)),
    ("brightness_-40", "Brightness −40", partial(change_brightness, levels=-40)),
    ("brightness_-20", "Brightness −20", partial(change_brightness, levels=-20)),
    ("brightness_+20", "Brightness +20", partial(change_brightness, levels=20)),
    ("brightness_+40", "Brightness +40", partial(change_brightness, levels=40)),
    ("gamma_0.5", "Gamma 0.5", partial(change_gamma, gamma=0.5)),
    ("gamma_0.75", "Gamma 0.75", partial(change_gamma, gamma=0.75)),
    ("gamma_1.33", "Gamma 1.33", partial(change_gamma, gamma=1.33)),
    ("gamma_2", "Gamma 2", partial(change_gamma, gamma=2)),
    ("exposure_equal", "Exposure made equal", partial(equal_exposure, mean=122, deviation=57)),
)
_SHARPNESS = (
    ("blur_1", "Blur σ = 1 px", partial(blur, sigma=1)),
    ("blur_2", "Blur σ = 2 px", partial(blur, sigma=2)),
    ("jpeg_75", "JPEG quality 75", partial(compress, quality=75)),
    ("jpeg_50", "JPEG quality 50", partial(compress, quality=50)),
    ("jpeg_25", "JPEG quality 25", partial(compress, quality=25)),
)
_GEOMETRY = (
    ("rotation_-10", "Rotated by −10°", partial(rotate, degrees=-10)),
    ("rotation_-5", "Rotated by −5°", partial(rotate, degrees=-5)),
    ("rotation_+5", "Rotated by +5°", partial(rotate, degrees=5)),
    ("rotation_+10", "Rotated by +10°", partial(rotate, degrees=10)),
)

ALTERATIONS: tuple[Alteration, ...] = tuple(
    Alteration(group, *row)
    for group, rows in {
        "Occlusion": _OCCLUSION,
        "Intensity": _INTENSITY,
        "Sharpness": _SHARPNESS,
        "Geometry": _GEOMETRY,
    }.items()
    for row in rows
)


def _flatten_rows(part: Images) -> None:
    part[...] = _grey_levels(np.median(part, axis=2, keepdims=True))


def _grey_levels(values: NDArray[np.floating]) -> Images:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
