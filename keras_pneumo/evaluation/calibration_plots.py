"""The picture of how far scores can be read as probabilities."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from keras_pneumo.evaluation.calibration import require_temperature, scale_temperature
from keras_pneumo.evaluation.intervals import wilson_interval
from keras_pneumo.evaluation.predictions import Predictions, require_splits
from keras_pneumo.evaluation.reliability import (
    expected_calibration_error,
    reliability,
    uniform_bins,
)
from keras_pneumo.evaluation.style import DARK, LIGHT, MIDDLE, despine, new_figure, size_of

_BINS = 15
_BEFORE: Mapping[str, Any] = {
    "color": MIDDLE,
    "linestyle": "--",
    "marker": "s",
    "markersize": 4,
    "linewidth": 1,
}
_AFTER: Mapping[str, Any] = {
    "color": DARK,
    "linestyle": "-",
    "marker": "o",
    "markersize": 6,
    "linewidth": 1,
}


def plot_reliability(predictions: Mapping[str, Predictions], temperature: float = 1.0) -> Figure:
    """Draw the reliability diagram of each split: the share of PNEUMONIA over the score.

    Scores lie in 15 bins of equal width, and below each diagram is how many images each bin has. A
    vertical line is the 95 % interval of Wilson, as if each image were of a patient of its own.

    Args:
        predictions: The predictions by the name of their split.
        temperature: What the logits of these scores have been divided by. If it is not 1, the curve
            before that is drawn too.

    Returns:
        A figure with two pairs of axes per split, diagram and counts, one split above the other.

    Raises:
        PredictionsError: There is no split.
        SettingsError: The temperature is not a finite number above 0.

    Examples:
        >>> found = Predictions([0, 1], [0.2, 0.7], ["a", "b"], ["1.jpeg", "2.jpeg"])
        >>> figure = plot_reliability({"test": found})
        >>> figure.axes[0].get_ylabel()
        'share of PNEUMONIA'

    References:
        A. Niculescu-Mizil and R. Caruana, Predicting good probabilities with supervised learning,
        ICML 2005.
    """
    require_splits(predictions)
    require_temperature(temperature)
    rows = len(predictions)
    figure = new_figure(5.4, 5.0 * rows + 0.6, "Scores against the share of PNEUMONIA")
    panels = figure.subplots(2 * rows, 1, sharex=True, height_ratios=[3.6, 1] * rows)
    for i, (split, found) in enumerate(predictions.items()):
        diagram, counts = panels[2 * i : 2 * i + 2]
        diagram.plot([0, 1], [0, 1], color=LIGHT, linewidth=1, label="perfect calibration")
        if temperature != 1:
            before = scale_temperature(found.y_score, 1 / temperature)
            _draw_curve(diagram, "before calibration", found.y_true, before, _BEFORE)
        name = "model" if temperature == 1 else f"calibrated, T = {temperature:.3g}"
        _draw_curve(diagram, name, found.y_true, found.y_score, _AFTER)
        _draw_intervals(diagram, found)
        _finish_diagram(diagram, f"{split}: {size_of(found)}")
        _draw_counts(counts, found.y_score)
    panels[-1].set_xlabel("score: probability of PNEUMONIA")
    return figure


def _draw_curve(
    axes: Axes,
    name: str,
    y_true: NDArray[np.int64],
    y_score: NDArray[np.float64],
    style: Mapping[str, Any],
) -> None:
    error = expected_calibration_error(y_true, y_score, _BINS)
    brier = np.mean((y_score - y_true) ** 2)
    points = reliability(y_true, y_score, _BINS)
    label = f"{name}: ECE {error:.3f}, Brier {brier:.3f}"
    axes.plot(points.mean_score, points.observed, label=label, clip_on=False, **style)


def _draw_intervals(axes: Axes, found: Predictions) -> None:
    points = reliability(found.y_true, found.y_score, _BINS)
    positives = np.rint(points.observed * points.images).astype(int)
    for x, successes, total in zip(points.mean_score, positives, points.images, strict=True):
        axes.vlines(x, *wilson_interval(successes, total), color=DARK, linewidth=0.8, alpha=0.6)


def _finish_diagram(axes: Axes, title: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share of PNEUMONIA")
    # Above the diagram, since there may be points anywhere in it.
    above: Mapping[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1)}
    axes.legend(title=title, alignment="left", frameon=False, fontsize=9, **above)
    despine(axes)


def _draw_counts(axes: Axes, y_score: NDArray[np.float64]) -> None:
    counts = np.bincount(uniform_bins(y_score, _BINS), minlength=_BINS)
    bars = axes.bar((np.arange(_BINS) + 0.5) / _BINS, counts, 0.9 / _BINS, color=LIGHT)
    axes.bar_label(bars, [str(n) if n else "" for n in counts], fontsize=8)
    axes.set_ylabel("images\n(log)")
    axes.set_yscale("log")
    # The bar of one image must show, and the number on the highest one needs room.
    axes.set_ylim(0.7, 6 * counts.max())
    axes.set_yticks([])
    axes.set_yticks([], minor=True)
    axes.tick_params(labelbottom=True)
    despine(axes)
    axes.spines["left"].set_visible(False)
