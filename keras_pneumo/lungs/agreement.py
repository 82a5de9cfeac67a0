"""How well a segmenter agrees with masks that people drew."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from PIL import Image

from keras_pneumo import image
from keras_pneumo.data.layout import Record
from keras_pneumo.lungs.field import LungField, Mask, box_of
from keras_pneumo.lungs.segment import segment_lungs
from keras_pneumo.lungs.segmenter import LungSegmenter
from keras_pneumo.lungs.variation import Grey


@dataclass(frozen=True)
class Agreement:
    """Figures of a segmenter on images whose masks are known.

    Dice is twice the overlap over the sum of both areas, in [0, 1]. An edge is one of the four
    sides of the box around the lungs, its error the distance in fractions of the image's side.

    Attributes:
        images: Number of images.
        dice_mean: Mean Dice.
        dice_5: Dice that one in twenty images does not reach.
        dice_least: The smallest Dice.
        edge_median: Median error of all edges.
        edge_95: Error that one edge in twenty exceeds.
        dice_inverted: Mean Dice with the polarity inverted.
        dice_tight: Mean Dice of the images cut at the box of their masks.
        plausible: Share of the images whose lung field is plausible.
    """

    images: int
    dice_mean: float
    dice_5: float
    dice_least: float
    edge_median: float
    edge_95: float
    dice_inverted: float
    dice_tight: float
    plausible: float

    def to_dict(self) -> dict[str, float]:
        """Plain JSON values, rounded to four digits."""
        return {name: round(value, 4) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        """A few lines for a person."""
        return (
            f"{self.images:,} images\n"
            f"Dice: mean {self.dice_mean:.4f}, one in twenty below {self.dice_5:.4f}, "
            f"least {self.dice_least:.4f}\n"
            f"Error of a box edge, of the side: median {self.edge_median:.4f}, one in twenty above "
            f"{self.edge_95:.4f}\n"
            f"Mean Dice, inverted: {self.dice_inverted:.4f}; cut tightly: {self.dice_tight:.4f}\n"
            f"Plausible: {self.plausible:.1%}"
        )


def measure_agreement(
    model: LungSegmenter, records: Sequence[Record], mask_of: Mapping[str, Mask]
) -> Agreement:
    """Compare a segmenter's masks with those that people drew.

    Args:
        model: The segmenter.
        records: The images.
        mask_of: For the filename of each, the mask at the model's size, see ``read_masks``.

    Returns:
        The figures.

    Raises:
        ImageError: An image cannot be read.
    """
    expected = [mask_of[record.filename] for record in records]
    height, width = size = model.image_size
    pictures = as_rgb(np.stack(list(read_grey(records, size))))
    found = list(segment_lungs(pictures, model))
    inverted = segment_lungs(255 - pictures, model)
    # Of images of twice the size, so that a part of one has the details of a whole one.
    doubled = read_grey(records, (2 * height, 2 * width))
    cut = [_at_box(one, mask, size) for one, mask in zip(doubled, expected, strict=True)]
    tight = segment_lungs(as_rgb(np.stack([picture for picture, _ in cut])), model)
    dices = _dices(found, expected)
    edges = np.abs(
        [
            np.subtract(field.box or (0, 0, 1, 1), box_of(mask))
            for field, mask in zip(found, expected, strict=True)
        ]
    )
    return Agreement(
        images=len(expected),
        dice_mean=float(dices.mean()),
        dice_5=float(np.quantile(dices, 0.05)),
        dice_least=float(dices.min()),
        edge_median=float(np.median(edges)),
        edge_95=float(np.quantile(edges, 0.95)),
        dice_inverted=float(_dices(inverted, expected).mean()),
        dice_tight=float(_dices(tight, [mask for _, mask in cut]).mean()),
        plausible=float(np.mean([field.plausible for field in found])),
    )


def read_grey(records: Iterable[Record], image_size: tuple[int, int]) -> Iterator[Grey]:
    """Read images as grey: uint8 ``(height, width)`` each, in their order.

    Raises:
        ImageError: An image cannot be read.
    """
    read = partial(image.read, image_size=image_size)
    for picture in image.read_ahead((record.path for record in records), read):
        yield np.asarray(Image.fromarray(picture).convert("L"))


def as_rgb(pictures: np.ndarray) -> np.ndarray:
    """Give grey images ``(n, height, width)`` three equal channels."""
    return np.repeat(pictures[..., None], 3, axis=-1)


def _dices(found: Iterable[LungField], expected: Iterable[Mask]) -> np.ndarray:
    pairs = [(np.asarray(field.mask), mask) for field, mask in zip(found, expected, strict=True)]
    return np.array([2 * (one & mask).sum() / (one.sum() + mask.sum()) for one, mask in pairs])


def _at_box(picture: Grey, mask: Mask, image_size: tuple[int, int]) -> tuple[Grey, Mask]:
    """Cut both at the box of the mask, at ``image_size``."""
    height, width = image_size
    sides = np.array(box_of(mask))
    at_box = []
    for whole in (Image.fromarray(picture), Image.fromarray(mask.astype(np.uint8) * 255)):
        box = tuple(sides * (whole.width, whole.height, whole.width, whole.height))
        at_box.append(np.asarray(whole.resize((width, height), Image.Resampling.BICUBIC, box)))
    return at_box[0], at_box[1] >= 128
