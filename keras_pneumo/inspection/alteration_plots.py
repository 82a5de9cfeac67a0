"""One radiograph under every alteration of the shortcut audit."""

import math
from itertools import groupby

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from keras_pneumo.evaluation.style import DARK, new_figure
from keras_pneumo.inspection.alterations import ALTERATIONS

_COLUMNS = 4
_SIDE = 1.32  # of a picture, in inches


def draw_alterations(image: NDArray[np.uint8]) -> Figure:
    """Draw a contact sheet: the radiograph as it is, then under every one of ``ALTERATIONS``.

    Args:
        image: uint8 ``(height, width, 3)`` in [0, 255], RGB; best as the model gets it.

    Returns:
        A figure with one pair of axes per picture; each group begins a row.

    Examples:
        >>> figure = draw_alterations(np.full((32, 32, 3), 128, np.uint8))
        >>> figure.axes[0].get_title(), len(figure.axes) - len(ALTERATIONS)
        ('Unaltered', 1)
    """
    groups = {
        group: [(one.title, one.apply(image[None])[0]) for one in members]
        for group, members in groupby(ALTERATIONS, key=lambda one: one.group)
    }
    first = next(iter(groups))
    groups[first].insert(0, ("Unaltered", image))
    rows = sum(math.ceil(len(pictures) / _COLUMNS) for pictures in groups.values())
    height = rows * (_SIDE + 0.25) + len(groups) * 0.26 + 0.4
    figure = new_figure(_COLUMNS * _SIDE, height, "One radiograph under every alteration")
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.05, hspace=0, wspace=0))
    start = 0
    for group, pictures in groups.items():
        for position, (title, altered) in enumerate(pictures, start=start * _COLUMNS + 1):
            axes = figure.add_subplot(rows, _COLUMNS, position)
            axes.imshow(altered)
            axes.set_title(title, fontsize=8, pad=3)
            axes.set_axis_off()
            if position == start * _COLUMNS + 1:
                axes.annotate(
                    group,
                    (0, 1),
                    (0, 18),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    color=DARK,
                    weight="bold",
                )
        start += math.ceil(len(pictures) / _COLUMNS)
    return figure
