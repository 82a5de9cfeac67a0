"""The picture of what calling an image PNEUMONIA is worth."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_pneumo.evaluation.decision import decision_curve, net_benefit
from keras_pneumo.evaluation.predictions import Predictions, require_splits
from keras_pneumo.evaluation.style import (
    COLORS,
    DARK,
    MIDDLE,
    despine,
    new_figure,
    note,
    size_of,
)
from keras_pneumo.evaluation.thresholds import Threshold

# What a threshold probability t says of false alarms: (1 - t) / t of them outweigh a found one.
_FALSE_ALARMS = {0.1: "9", 0.25: "3", 0.5: "1", 0.75: "⅓", 0.9: "⅑"}


def plot_decision_curve(predictions: Mapping[str, Predictions], threshold: Threshold) -> Figure:
    """Draw the decision curve of each split, with the point where the threshold puts it.

    Beside the model, one line is for calling every image PNEUMONIA and one for calling none. What
    lies far below zero is left out: nobody would decide like that. See ``decision_curve``.

    Args:
        predictions: The predictions by the name of their split.
        threshold: The operating point.

    Returns:
        A figure with one pair of axes per split, one above the other.

    Raises:
        PredictionsError: There is no split.

    Examples:
        >>> found = Predictions([0, 0, 1], [0.2, 0.4, 0.9], ["a", "b", "c"], ["1", "2", "3"])
        >>> figure = plot_decision_curve({"test": found}, Threshold(0.5, "fixed=0.5", "none"))
        >>> figure.axes[0].get_ylabel()
        'net benefit'

    References:
        A. J. Vickers and E. B. Elkin, Decision curve analysis: a novel method for evaluating
        prediction models, Medical Decision Making 26 (2006) 565-574.
    """
    require_splits(predictions)
    figure = new_figure(5.4, 2.9 * len(predictions) + 1.1, "What calling PNEUMONIA is worth")
    panels = figure.subplots(len(predictions), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (split, found) in zip(panels, predictions.items(), strict=True):
        share = found.y_true.mean()
        axes.set_title(f"{split}: {size_of(found)}, {share:.0%} PNEUMONIA", fontsize=10, loc="left")
        axes.set_ylabel("net benefit")
        # The share of PNEUMONIA is the most that can be gained.
        top = max(share, 0.1)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.15 * top, 1.2 * top))
        _draw_curves(axes, found)
        _mark_threshold(axes, found, threshold)
        despine(axes)
    ticks = [f"{t:g}\n{worth}" for t, worth in _FALSE_ALARMS.items()]
    panels[-1].set_xticks(list(_FALSE_ALARMS), ticks)
    panels[-1].set_xlabel(
        "probability from which an image is called PNEUMONIA\n"
        "(lower row: false alarms that finding one is worth)"
    )
    below: Mapping[str, Any] = {"loc": "outside lower center", "ncols": 2, "frameon": False}
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=9, **below)
    return figure


def _draw_curves(axes: Axes, found: Predictions) -> None:
    curve = decision_curve(found.y_true, found.y_score)
    axes.plot(curve.thresholds, curve.model, color=DARK, linewidth=2, label="called by the model")
    axes.plot(curve.thresholds, curve.treat_all, "--", color=MIDDLE, label="all called PNEUMONIA")
    axes.plot(curve.thresholds, curve.treat_none, ":", color=MIDDLE, label="none called so")


def _mark_threshold(axes: Axes, found: Predictions, threshold: Threshold) -> None:
    # At a threshold of 1 false alarms would weigh without limit.
    at = [threshold.value] if threshold.value < 1 else []
    worth = net_benefit(found.y_true, found.y_score, at)
    style: Mapping[str, Any] = {"color": COLORS["PNEUMONIA"], "markeredgecolor": "white"}
    axes.plot(at, worth, "o", markersize=9, label=f"at threshold {threshold.rounded()}", **style)
    lowest = axes.get_ylim()[0]
    for x, y in zip(at, worth, strict=True):
        axes.axvline(x, color=COLORS["PNEUMONIA"], linewidth=0.8, zorder=0)
        # A point below what is shown leaves its number at the border.
        side, sign = ("left", 1) if x < 0.8 else ("right", -1)
        text = f"{y:.3f}".replace("-", "−")
        note(axes, text, x, max(y, lowest), (5 * sign, 6), COLORS["PNEUMONIA"], ha=side)
