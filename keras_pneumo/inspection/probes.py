"""Images that show no chest: what a model says of them, it says without evidence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS = 16  # of each kind of noise


@dataclass(frozen=True, eq=False)
class Probe:
    """Images of one kind that show no chest.

    Attributes:
        name: For programs, such as ``"blank_black"``.
        title: For people, such as ``"Black image"``.
        images: uint8 ``(n, height, width, 3)`` in [0, 255], three equal channels as in a
            radiograph.
    """

    name: str
    title: str
    images: NDArray[np.uint8]


def draw_probes(height: int, width: int, seed: int = 0) -> list[Probe]:
    """Draw blank images and noise.

    One black (0), one grey (128) and one white (255) image; 16 of uniform noise, each pixel from 0
    to 255; 16 of Gaussian noise, each pixel of mean 128 and standard deviation 64, rounded and cut
    to [0, 255].

    Args:
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        seed: The same seed draws the same noise.

    Returns:
        The probes, blank ones first.

    Examples:
        >>> [(probe.name, probe.images.shape) for probe in draw_probes(8, 9)][2:4]
        [('blank_white', (1, 8, 9, 3)), ('noise_uniform', (16, 8, 9, 3))]
    """
    rng = np.random.default_rng(seed)
    shape = (_DRAWS, height, width)
    uniform = rng.integers(0, 256, shape)
    gaussian = np.clip(np.rint(rng.normal(128, 64, shape)), 0, 255)
    grey = {
        ("blank_black", "Black image"): np.zeros((1, height, width)),
        ("blank_grey", "Grey image"): np.full((1, height, width), 128),
        ("blank_white", "White image"): np.full((1, height, width), 255),
        ("noise_uniform", "Uniform noise"): uniform,
        ("noise_gaussian", "Gaussian noise"): gaussian,
    }
    return [
        Probe(name, title, np.repeat(values[..., None], 3, axis=-1).astype(np.uint8))
        for (name, title), values in grey.items()
    ]
