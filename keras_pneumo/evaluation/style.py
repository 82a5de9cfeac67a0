"""How every figure of an evaluation looks."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from keras_pneumo.evaluation.predictions import Predictions, require_splits

COLORS = {"NORMAL": "#2a78b5", "PNEUMONIA": "#d1495b"}
DARK, MIDDLE, LIGHT = "#262626", "#8c8c8c", "#d9d9d9"

_FEW_COLORS = 4000

# The last split, usually the test, is the darkest; the ones before it step back.
_SPLIT_STYLES: Sequence[dict[str, Any]] = (
    {"color": DARK, "linestyle": "-"},
    {"color": MIDDLE, "linestyle": "-"},
    {"color": MIDDLE, "linestyle": "--"},
    {"color": MIDDLE, "linestyle": ":"},
)


def new_figure(width: float, height: float, title: str) -> Figure:
    """Make a white figure of so many inches, its title at the upper left.

    A ``Figure`` of its own, so that no global state of Matplotlib is used or changed.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(width, height), dpi=144, facecolor="white", layout=layout)
    figure.suptitle(title, x=0.02, ha="left", weight="bold")
    return figure


def styled(
    predictions: Mapping[str, Predictions],
) -> list[tuple[tuple[str, Predictions], dict[str, Any]]]:
    """Pair each split with the keywords of its line."""
    require_splits(predictions)
    styles = [_SPLIT_STYLES[i % len(_SPLIT_STYLES)] for i in range(len(predictions))]
    return list(zip(predictions.items(), reversed(styles), strict=True))


def note(
    axes: Axes, text: str, x: float, y: float, shift: tuple[int, int], color: str, **how: Any
) -> None:
    """Write a small text at a point of the data, shifted by so many points of type."""
    how = {"fontsize": 9, **how}
    axes.annotate(text, (x, y), shift, textcoords="offset points", color=color, **how)


def despine(axes: Axes) -> None:
    """Leave out the upper and the right border."""
    axes.spines[["top", "right"]].set_visible(False)


def size_of(found: Predictions) -> str:
    """Say how many images and patients a split has."""
    return f"{len(found):,} images, {found.n_patients:,} patients"


def as_png(figure: Figure) -> bytes:
    """Give a figure as the content of a PNG file.

    A plot has few colours. With a palette of 256 it looks the same, and a report that holds its
    pictures is a third as large; what has more colours, such as a radiograph, keeps them all.
    """
    drawn, packed = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png")
    with Image.open(drawn) as image:
        picture = image.convert("RGB")
        if picture.getcolors(_FEW_COLORS) is not None:
            picture = picture.quantize(256, dither=Image.Dither.NONE)
    picture.save(packed, format="PNG", optimize=True)
    return packed.getvalue()
