"""Pictures of heat maps over the radiographs that they explain."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike, NDArray

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.style import DARK, MIDDLE, new_figure
from keras_pneumo.inspection.gradcam import Explanation
from keras_pneumo.pretrained.description import LABELS

_WIDTH = 5.4  # of a figure, in inches
_LEGEND = 0.55  # height of the legend, in inches
_LONGEST = 56  # letters of a file name that fit on a line


def draw_explanations(
    images: NDArray,
    explanation: Explanation,
    threshold: float,
    filenames: Sequence[str],
    y_true: ArrayLike | None = None,
) -> Figure:
    r"""Draw each image beside the same image under its heat map, and say what the model calls it.

    Args:
        images: Shape ``(n, H, W, 3)``, RGB in [0, 255].
        explanation: What ``explain`` says of them.
        threshold: A probability of at least this is called PNEUMONIA.
        filenames: Name of each image.
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA, where it is known.

    Returns:
        A figure with two pairs of axes per image, one image above the other.

    Raises:
        SettingsError: There is no image, or not one of everything for each.

    Examples:
        >>> maps = np.zeros((1, 8, 8), "float32")
        >>> found = Explanation(maps, maps[:, :2, :2], np.array([0.25], "float32"))
        >>> figure = draw_explanations(np.zeros((1, 8, 8, 3)), found, 0.5, ["black.png"])
        >>> figure.subfigs[0].get_suptitle()
        'black.png\nCalled NORMAL: probability 0.250, threshold 0.5.'
    """
    lengths = {len(part) for part in (images, explanation.probability, filenames)}
    if y_true is not None:
        lengths.add(len(np.asarray(y_true)))
    if len(lengths) > 1 or not len(images):
        raise SettingsError(
            "There must be an image or more, with an explanation, a file name and, if given, a "
            f"label each. Received these numbers of them: {sorted(lengths)}."
        )
    height = (_WIDTH / 2) * images.shape[1] / images.shape[2] + 0.5
    figure = new_figure(_WIDTH, height * len(images) + _LEGEND + 0.3, "What speaks for PNEUMONIA")
    heights = [height] * len(images) + [_LEGEND]
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for i, row in enumerate(parts[:-1]):
        probability = explanation.probability[i]
        text = (
            f"{shortened(filenames[i], _LONGEST)}\n"
            f"Called {LABELS[float(probability) >= threshold]}: "
            f"probability {rounded(probability)}, threshold {threshold:.4g}."
        )
        if y_true is not None:
            text += f" It is {LABELS[int(np.asarray(y_true)[i])]}."
        row.suptitle(text, x=0.02, ha="left", fontsize=9, color=DARK)
        plain, under_map = row.subplots(1, 2)
        draw_image(plain, images[i])
        draw_image(under_map, images[i], explanation.heatmap[i])
    draw_legend(parts[-1])
    return figure


def draw_image(axes: Axes, image: NDArray, heatmap: NDArray[np.float32] | None = None) -> None:
    """Draw a radiograph, under its heat map if there is one.

    The colours are those of "inferno", whose brightness rises evenly; what is less important is
    also more transparent, so that the radiograph stays readable.

    Args:
        axes: Where to draw.
        image: Shape ``(H, W, 3)``, RGB in [0, 255].
        heatmap: Shape ``(H, W)``, in [0, 1].
    """
    axes.imshow(np.clip(image, 0, 255).astype(np.uint8))
    if heatmap is not None:
        axes.imshow(_colors(heatmap))
    axes.set_axis_off()


def draw_legend(part: Figure | SubFigure) -> None:
    """Draw what the colours of a heat map mean, over the width of a part of a figure.

    Args:
        part: The part, 5.4 inches wide and about half an inch high.
    """
    axes = part.add_axes((0.02, 0.62, 0.96, 0.22))
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    draw_image(axes, np.full((1, 256, 3), 128), ramp)
    axes.set_aspect("auto")
    for x, side, text in (
        (0, "left", "nothing, or against it"),
        (1, "right", "most, in this image"),
    ):
        axes.text(
            x, -0.3, text, ha=side, va="top", fontsize=8, color=MIDDLE, transform=axes.transAxes
        )


def rounded(probability: float) -> str:
    """Return a probability to three digits, without claiming that it is 0 or 1.

    Examples:
        >>> [rounded(p) for p in (0.1234, 0.99996, 0.0002)]
        ['0.123', '> 0.999', '< 0.001']
    """
    if probability > 0.999:
        return "> 0.999"
    return "< 0.001" if probability < 0.001 else f"{probability:.3f}"


def shortened(name: str, longest: int) -> str:
    """Return the end of a file name, which says more than its beginning.

    Examples:
        >>> shortened("chest_xray/test/NORMAL/IM-0001.jpeg", 20)
        '…NORMAL/IM-0001.jpeg'
    """
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def _colors(heatmap: NDArray[np.float32]) -> NDArray[np.float64]:
    colors = colormaps["inferno"](heatmap)
    colors[..., 3] = 0.7 * heatmap
    return colors
