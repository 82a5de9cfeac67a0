"""The lung field of one image: its mask, its box, and whether it can be right."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

# A field smaller than this share of the largest one is a speck, and is left out.
SPECK = 0.05

# None of 4,934 masks that people drew on whole radiographs of children goes beyond these; theirs
# are behind each. The rest is room for images that are framed tightly, or with a wide border.
AREA = (0.08, 0.80)  # 0.14 to 0.71
FIELDS = (1, 2)  # 2; a network may connect the lungs before the spine
LEAST_BALANCE = 0.4  # 0.51
GREATEST_EDGE = 0.8  # 0.72

# Where the network of this package sees no lungs, it wavers. On radiographs of 251 children held
# out of its training, whole, inverted and cut tightly, vagueness is 0.11 to 0.48. It is 0.59
# and more on photographs, digits, noise, and some of these radiographs lying or upside down.
WAVERING = (0.1, 0.9)
GREATEST_VAGUENESS = 0.55


class Box(NamedTuple):
    """A part of an image: its sides in fractions of the image's, from the upper left corner."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class LungField:
    """Where the lungs are on one image, and what speaks against it.

    Attributes:
        file: The path, as given; None if the image came as an array.
        mask: bool ``(height, width)``: both lungs, with what of them lies behind the heart;
            None if the file cannot be read.
        box: The smallest one around the mask, fractions of the image's sides in [0, 1]; None if
            there is no mask or nothing in it.
        area: Share of the image that the mask covers, in [0, 1].
        fields: Number of separate fields, the lungs: two, or one where they run together.
        balance: Area on the smaller side of the box's middle over that on the larger one, in
            [0, 1]; 1 where both sides are alike.
        edge: The greatest share of one of the image's four sides that the mask touches, in [0, 1].
        vagueness: Number of pixels with a probability between 0.1 and 0.9, over those of the mask.
        doubts: What is not as on a frontal chest X-ray, in words; empty if nothing is.
        error: Why the file cannot be read; None if it can.
    """

    file: str | None = None
    mask: Mask | None = None
    box: Box | None = None
    area: float = 0.0
    fields: int = 0
    balance: float = 0.0
    edge: float = 0.0
    vagueness: float = 0.0
    doubts: tuple[str, ...] = ()
    error: str | None = None

    @property
    def plausible(self) -> bool:
        """Whether there is a mask and no doubt about it."""
        return self.mask is not None and not self.doubts


def lung_field(probability: np.ndarray, file: str | None = None) -> LungField:
    """Turn the probabilities of one image into its lung field.

    The mask is where the probability is at least 0.5. A field smaller than ``SPECK`` of the largest
    is left out. Doubts are an area outside ``AREA``, a number of fields that is not in ``FIELDS``,
    a balance below ``LEAST_BALANCE``, an edge above ``GREATEST_EDGE``, and a vagueness above
    ``GREATEST_VAGUENESS``.

    Args:
        probability: ``(height, width)`` in [0, 1].
        file: Where the image comes from.

    Returns:
        The lung field, with all of its numbers.

    Examples:
        >>> chest = np.zeros((10, 10))
        >>> chest[2:8, 1:4] = chest[2:8, 6:9] = 0.9
        >>> found = lung_field(chest)
        >>> found.box
        Box(left=0.1, top=0.2, right=0.9, bottom=0.8)
        >>> found.fields, found.area, found.plausible
        (2, 0.36, True)
        >>> lung_field(np.ones((10, 10))).doubts[0]
        'it covers 100% of the image, not 8% to 80%'
    """
    labels, count = ndimage.label(probability >= 0.5)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0  # the background
    kept = (sizes > 0) & (sizes >= SPECK * sizes.max())
    mask = kept[labels]
    if not mask.any():
        return LungField(file, mask, doubts=("there is no lung field",))
    box = box_of(mask)
    wavering = (probability > WAVERING[0]) & (probability < WAVERING[1])
    field = LungField(
        file,
        mask,
        box=box,
        area=float(mask.mean()),
        fields=int(kept.sum()),
        balance=_balance(mask, (box.left + box.right) / 2),
        edge=max(float(side.mean()) for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])),
        vagueness=float(wavering.sum() / mask.sum()),
    )
    return replace(field, doubts=tuple(_doubts(field)))


def box_of(mask: Mask) -> Box:
    """Give the smallest box around a mask, which must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    sides = (
        columns[0] / width,
        rows[0] / height,
        (columns[-1] + 1) / width,
        (rows[-1] + 1) / height,
    )
    return Box(*map(float, sides))


def _doubts(field: LungField) -> Iterator[str]:
    least, greatest = AREA
    if not least <= field.area <= greatest:
        yield f"it covers {field.area:.0%} of the image, not {least:.0%} to {greatest:.0%}"
    if field.fields not in FIELDS:
        yield f"it has {field.fields} parts, not 1 or 2"
    if field.balance < LEAST_BALANCE:
        yield f"one side has {field.balance:.0%} of the area of the other, not {LEAST_BALANCE:.0%}"
    if field.edge > GREATEST_EDGE:
        yield f"it touches {field.edge:.0%} of a side of the image, more than {GREATEST_EDGE:.0%}"
    if field.vagueness > GREATEST_VAGUENESS:
        yield f"the network wavers: {field.vagueness:.2f}, not at most {GREATEST_VAGUENESS}"


def _balance(mask: Mask, middle: float) -> float:
    """Compare the areas left and right of ``middle``, a fraction of the width."""
    columns = mask.sum(axis=0)
    # A column that the middle divides counts for both sides in part.
    share_left = np.clip(middle * mask.shape[1] - np.arange(mask.shape[1]), 0, 1)
    left, right = columns @ share_left, columns @ (1 - share_left)
    return float(min(left, right) / max(left, right))
