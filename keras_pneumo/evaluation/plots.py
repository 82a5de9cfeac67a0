"""Pictures of predictions, and of the training that led to them.

Each function computes with scikit-learn first and then draws. Save a figure with
``figure.savefig(path)``.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.metrics import binary_metrics, confusion_counts
from keras_pneumo.evaluation.predictions import Predictions, require_splits
from keras_pneumo.evaluation.style import (
    COLORS,
    DARK,
    LIGHT,
    MIDDLE,
    despine,
    new_figure,
    note,
    size_of,
    styled,
)
from keras_pneumo.evaluation.thresholds import Threshold

_BINS = np.linspace(0, 1, 51)
_LEGEND_BELOW: Mapping[str, Any] = {"loc": "outside lower center", "ncols": 3, "frameon": False}
_PHASES = {"head": "head", "fine_tune": "fine-tuning"}
_CURVES = {"loss": "loss", "accuracy": "accuracy", "auc": "AUC"}


def plot_roc(predictions: Mapping[str, Predictions], threshold: Threshold) -> Figure:
    """Draw the ROC curve of each split, with the point where the threshold puts it.

    A split with one class only has no curve; the legend says so.

    Args:
        predictions: The predictions by the name of their split.
        threshold: The operating point.

    Returns:
        A figure with one pair of axes: one line per split, one marker per operating point.

    Raises:
        PredictionsError: There is no split.

    Examples:
        >>> import numpy as np
        >>> y_score = np.linspace(0, 1, 6)
        >>> found = Predictions(y_score > 0.5, y_score, list("aabbcc"), list("123456"))
        >>> figure = plot_roc({"test": found}, Threshold(0.5, "fixed=0.5", "none"))
        >>> figure.axes[0].get_xlabel()
        '1 − specificity: share of NORMAL images called PNEUMONIA'
    """
    figure, axes = _square("ROC curve over all thresholds", threshold)
    axes.plot([0, 1], [0, 1], color=LIGHT, linewidth=1, zorder=0)
    note(axes, "chance", 0.5, 0.5, (6, -4), MIDDLE, va="top")
    for (split, found), style in styled(predictions):
        metrics = binary_metrics(found.y_true, found.y_score, threshold.value)
        label = f"{split}: {size_of(found)}\n{_value('AUC', metrics['roc_auc'])}"
        false_alarms, sensitivity = np.array([]), np.array([])
        if np.isfinite(metrics["roc_auc"]):
            false_alarms, sensitivity, _ = roc_curve(found.y_true, found.y_score)
            _mark(axes, 1 - metrics["specificity"], metrics["recall"], style)
        axes.plot(false_alarms, sensitivity, label=label, **style)
    axes.set_xlabel("1 − specificity: share of NORMAL images called PNEUMONIA")
    axes.set_ylabel("sensitivity: share of PNEUMONIA images found")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def plot_precision_recall(predictions: Mapping[str, Predictions], threshold: Threshold) -> Figure:
    """Draw the precision-recall curve of each split, with the point where the threshold puts it.

    A thin line per split marks its share of PNEUMONIA, the precision of calling every image so. A
    split with one class only has no curve; the legend says so.

    Args:
        predictions: The predictions by the name of their split.
        threshold: The operating point.

    Returns:
        A figure with one pair of axes: one line per split, one marker per operating point.

    Raises:
        PredictionsError: There is no split.
    """
    figure, axes = _square("Precision-recall curve over all thresholds", threshold)
    for i, ((split, found), style) in enumerate(styled(predictions)):
        metrics = binary_metrics(found.y_true, found.y_score, threshold.value)
        average = metrics["average_precision"]
        label = f"{split}: {size_of(found)}\n{_value('average precision', average)}"
        recall, precision = np.array([]), np.array([])
        if np.isfinite(average):
            precision, recall, _ = precision_recall_curve(found.y_true, found.y_score)
            share = found.y_true.mean()
            axes.axhline(share, color=style["color"], linewidth=0.8, linestyle=(0, (1, 3)))
            text = f"{share:.0%} of {split} are PNEUMONIA"
            # Side by side, since the shares of two splits are often close to each other.
            note(axes, text, 0.42 * (i % 2), share, (2, -3), style["color"], va="top")
            _mark(axes, metrics["recall"], metrics["precision"], style)
        axes.plot(recall, precision, drawstyle="steps-post", label=label, **style)
    axes.set_xlabel("sensitivity (recall): share of PNEUMONIA images found")
    axes.set_ylabel("precision: share of PNEUMONIA among the images called so")
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    return figure


def plot_confusion_matrix(predictions: Mapping[str, Predictions], threshold: Threshold) -> Figure:
    """Draw one confusion matrix per split, shaded by the share of the true class.

    Args:
        predictions: The predictions by the name of their split.
        threshold: A score of at least this is called PNEUMONIA.

    Returns:
        A figure with one pair of axes per split.

    Raises:
        PredictionsError: There is no split.
    """
    require_splits(predictions)
    # Two panels a row stay legible on a page, however many splits there are.
    columns = min(len(predictions), 2)
    rows = math.ceil(len(predictions) / columns)
    title = f"Confusion at threshold {threshold.rounded()}"
    figure = new_figure(2.8 * columns + 0.6, 3.0 * rows + 0.8, title)
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(len(predictions))]
    for axes, (split, found) in zip(panels, predictions.items(), strict=True):
        counts = confusion_counts(found.y_true, found.y_score, threshold.value)
        _draw_matrix(axes, np.array([[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]]))
        axes.set_title(f"{split}\n{size_of(found)}", fontsize=10)
    figure.supylabel("what it is", fontsize=10)
    figure.supxlabel("what it is called", fontsize=10)
    return figure


def plot_scores(predictions: Mapping[str, Predictions], threshold: Threshold) -> Figure:
    """Draw the scores of both classes as histograms, one panel per split, with the threshold.

    The number of images has a logarithmic axis: most scores of a trained network lie near 0 or 1,
    and those few in between are the ones to look at.

    Args:
        predictions: The predictions by the name of their split.
        threshold: A score of at least this is called PNEUMONIA.

    Returns:
        A figure with one pair of axes per split, one above the other.

    Raises:
        PredictionsError: There is no split.
    """
    require_splits(predictions)
    title = "Scores of NORMAL and PNEUMONIA images"
    figure = new_figure(5.4, 2.0 * len(predictions) + 1.1, title)
    panels = figure.subplots(len(predictions), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, (split, found) in zip(panels, predictions.items(), strict=True):
        for label, (name, color) in enumerate(COLORS.items()):
            scores = found.y_score[found.y_true == label]
            axes.hist(scores, _BINS, color=color, alpha=0.55, label=f"{len(scores):,} {name}")
        axes.axvline(threshold.value, color=DARK, linewidth=1.2, linestyle="--")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(bottom=0.7)
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylabel("images")
        axes.set_title(f"{split}: {size_of(found)}", fontsize=10, loc="left")
        # Opaque, since the threshold may pass behind it.
        axes.legend(fontsize=8, loc="upper center", ncols=2, framealpha=1, edgecolor="none")
        despine(axes)
    panels[-1].set_xlabel(
        f"score: probability of PNEUMONIA (dashed: threshold {threshold.rounded()})"
    )
    return figure


def plot_training_curves(history: Mapping[str, Sequence[Any]]) -> Figure:
    """Draw loss, accuracy and AUC over the epochs of both training phases.

    The best epoch, the one with the highest ``val_auc`` and among these the lowest ``val_loss``, is
    marked.

    Args:
        history: Columns of one length, one entry per epoch: "phase" ("head" or "fine_tune"),
            "epoch" (counted from 1 over both phases), "loss", "val_loss", "accuracy",
            "val_accuracy", "auc" and "val_auc". Further columns are ignored.

    Returns:
        A figure with three pairs of axes, one above the other.

    Raises:
        SettingsError: A column is missing or empty, or the columns differ in length.
    """
    phases, numbers = _checked_history(history)
    epochs = numbers["epoch"]
    best = int(np.lexsort((numbers["val_loss"], -numbers["val_auc"]))[0])
    figure = new_figure(5.4, 6.4, "Training curves")
    panels = figure.subplots(3, 1, sharex=True)
    for axes, (name, label) in zip(panels, _CURVES.items(), strict=True):
        axes.plot(epochs, numbers[name], "--", color=MIDDLE, marker=".", label="train")
        axes.plot(epochs, numbers[f"val_{name}"], "-", color=DARK, marker=".", label="validation")
        axes.plot(
            epochs[best],
            numbers[f"val_{name}"][best],
            "o",
            color=COLORS["PNEUMONIA"],
            markersize=8,
            label=f"best epoch: {epochs[best]:.0f} (validation AUC {numbers['val_auc'][best]:.4f})",
        )
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        despine(axes)
    _draw_phases(panels, phases, epochs)
    panels[-1].set_xlabel("epoch")
    figure.legend(*panels[0].get_legend_handles_labels(), **_LEGEND_BELOW)
    return figure


def _checked_history(
    history: Mapping[str, Sequence[Any]],
) -> tuple[list[str], dict[str, NDArray[np.float64]]]:
    columns = ["epoch", *_CURVES, *(f"val_{name}" for name in _CURVES)]
    lengths = {name: len(history.get(name, ())) for name in ("phase", *columns)}
    if min(lengths.values()) == 0 or len(set(lengths.values())) > 1:
        raise SettingsError(
            f"A history must have the columns {', '.join(lengths)}, each with one entry per epoch. "
            f"Received these numbers of entries: {lengths}. Pass the history of one whole training."
        )
    numbers = {name: np.asarray(history[name], dtype=np.float64) for name in columns}
    return [str(phase) for phase in history["phase"]], numbers


def _draw_phases(panels: Sequence[Axes], phases: list[str], epochs: NDArray[np.float64]) -> None:
    starts = [i for i, phase in enumerate(phases) if i == 0 or phase != phases[i - 1]]
    # A boundary lies half-way between the last epoch of one phase and the first of the next.
    edges = [epochs[max(start - 1, 0) : start + 1].mean() for start in starts] + [epochs[-1]]
    for boundary in edges[1:-1]:
        for axes in panels:
            axes.axvline(boundary, color=MIDDLE, linewidth=1, linestyle=":")
    for start, (left, right) in zip(starts, pairwise(edges), strict=True):
        name = _PHASES.get(phases[start], phases[start])
        middle = (left + right) / 2
        where = {"xycoords": ("data", "axes fraction"), "ha": "center"}
        note(panels[0], name, middle, 1, (0, 4), MIDDLE, fontsize=10, **where)


def _draw_matrix(axes: Axes, counts: NDArray[np.int64]) -> None:
    names = list(COLORS)
    of_class = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(of_class, 1)
    colors = np.array([to_rgb(color) for color in COLORS.values()])[:, None, :]
    # White for no image of the class, its full colour for all of them.
    axes.imshow(1 - share[..., None] * (1 - colors))
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count:,}\n{share[row, column]:.1%}" if of_class[row, 0] else "–"
        # White is the easier to read only on a colour that is nearly full.
        color = "white" if share[row, column] > 0.8 else DARK
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=12)
    axes.set_xticks([0, 1], names)
    labels = [f"{name}\n{n:,} images" for name, n in zip(names, of_class[:, 0], strict=True)]
    axes.set_yticks([0, 1], labels, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_color(LIGHT)


def _square(title: str, threshold: Threshold) -> tuple[Figure, Axes]:
    figure = new_figure(5.4, 5.6, title)
    axes = figure.add_subplot(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.plot([], [], "o", color=DARK, label=f"operating point: threshold {threshold.rounded()}")
    despine(axes)
    return figure, axes


def _mark(axes: Axes, x: float, y: float, style: Mapping[str, Any]) -> None:
    # Not clipped, because the best points lie on the border.
    axes.plot(x, y, "o", color=style["color"], markersize=9, markeredgecolor="white", clip_on=False)


def _value(name: str, value: float) -> str:
    return f"{name} {value:.4f}" if np.isfinite(value) else f"{name} undefined (one class only)"
