"""The predictions that a model is most confident of, right and wrong, with their heat maps."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from keras_pneumo.data.pipeline import Splits
from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.metrics import confusion_counts, predicted_labels
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.style import DARK, new_figure
from keras_pneumo.inspection.explanation_plots import draw_image, draw_legend, rounded, shortened
from keras_pneumo.inspection.gradcam import explain
from keras_pneumo.models.classifier import PneumoniaClassifier
from keras_pneumo.pretrained.description import LABELS

_WIDTH = 5.4  # of the figure, in inches
_HEADING, _NAMES, _LEGEND = 0.36, 0.28, 0.55  # heights, in inches
_LONGEST = 25  # letters of a file name that fit over an image, of three in a row


def confident_examples(
    predictions: Predictions, threshold: float, n: int = 3
) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Choose the images whose scores lie furthest on the side of the class they are called.

    Among the images of one true class that are called alike, each patient is chosen once before any
    is chosen again.

    Args:
        predictions: The predictions.
        threshold: In [0, 1]; a score of at least this is called PNEUMONIA.
        n: How many images to choose in each of the four cells, at least 1.

    Returns:
        By true and called class, such as ``("NORMAL", "PNEUMONIA")``: int64 positions, shape (k,)
        with k from 0 to n, the most confident first. The right cell of a class comes before the
        wrong one.

    Raises:
        SettingsError: The threshold is not in [0, 1], or ``n`` is below 1.

    Examples:
        >>> found = Predictions([0, 1, 1, 1], [0.2, 0.7, 0.9, 0.8], list("abbc"), list("1234"))
        >>> confident_examples(found, threshold=0.5, n=2)["PNEUMONIA", "PNEUMONIA"]
        array([2, 3])
    """
    if n < 1:
        raise SettingsError(f"`n` must be 1 image or more. Received: {n!r}. 3 are legible.")
    called = predicted_labels(predictions.y_score, threshold)
    chosen = {}
    for truth in (0, 1):
        for call in (truth, 1 - truth):
            cell = np.flatnonzero((predictions.y_true == truth) & (called == call))
            scores = predictions.y_score[cell]
            by_confidence = cell[np.argsort(-scores if call else scores, kind="stable")]
            ranks = _each_patient_first(predictions.patient_id[by_confidence])[:n]
            chosen[LABELS[truth], LABELS[call]] = by_confidence[np.sort(ranks)]
    return chosen


def draw_confident(
    model: PneumoniaClassifier,
    splits: Splits,
    split: str,
    predictions: Predictions,
    n: int = 3,
) -> Figure:
    """Draw the most confident predictions of a split, right and wrong, with their heat maps.

    Args:
        model: The model; its ``threshold`` is used.
        splits: The collection, at the model's image size.
        split: Name of the split.
        predictions: What the model predicts for the split, in its order.
        n: How many images to draw in each of the four cells, at least 1.

    Returns:
        A figure with a part for each of the cells, one above the other: the images, and below them
        the same under their maps. An empty cell says "none".

    Raises:
        PredictionsError: The predictions are of other images.
        SettingsError: There is no such split, or ``n`` is below 1.
    """
    if not np.array_equal(splits.examples(split).filename, predictions.filename):
        raise PredictionsError(
            f"The predictions must be those of the split {split!r}, in its order. The file names "
            "differ. Make them with `predict_split`."
        )
    cells = confident_examples(predictions, model.threshold, n)
    positions = np.concatenate(list(cells.values()))
    images = _images_at(splits, split, positions)
    heatmaps = explain(model, images).heatmap
    pairs = dict(zip(positions, zip(images, heatmaps, strict=True), strict=True))
    picture = _WIDTH / n * images.shape[1] / images.shape[2]
    heights = [_HEADING + (_NAMES + 2 * picture) * bool(len(cell)) for cell in cells.values()]
    heights.append(_LEGEND)
    figure = new_figure(_WIDTH, sum(heights) + 0.4, f"Most confident predictions: {split}")
    # Closer than the panels of other figures: an image and its map are one.
    figure.set_layout_engine("constrained", w_pad=0.04, h_pad=0.03, wspace=0.01, hspace=0.01)
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    counts = confusion_counts(predictions.y_true, predictions.y_score, model.threshold)
    for part, (classes, cell) in zip(parts[:-1], cells.items(), strict=True):
        _draw_heading(part, classes, counts)
        if len(cell):
            _draw_cell(part, predictions, {position: pairs[position] for position in cell}, n)
    draw_legend(parts[-1])
    return figure


def _draw_heading(part: SubFigure, classes: tuple[str, str], counts: Mapping[str, int]) -> None:
    truth, call = classes
    right, wrong = ("tn", "fp") if truth == "NORMAL" else ("tp", "fn")
    name, verdict = (right, "right") if truth == call else (wrong, "wrong")
    amount = f"{counts[name]:,}" if counts[name] else "none"
    of_class = counts[right] + counts[wrong]
    text = f"{truth} called {call} ({verdict}): {amount} of {of_class:,} images"
    part.suptitle(text, x=0.02, ha="left", fontsize=10, color=DARK)


def _draw_cell(
    part: SubFigure,
    predictions: Predictions,
    pairs: Mapping[int, tuple[NDArray[np.uint8], NDArray[np.float32]]],
    columns: int,
) -> None:
    above, below = part.subplots(2, columns, squeeze=False)
    for axes, (position, (image, _)) in zip(above, pairs.items(), strict=False):
        name = shortened(Path(predictions.filename[position]).stem, _LONGEST)
        probability = rounded(predictions.y_score[position])
        axes.set_title(f"probability {probability}\n{name}", fontsize=8, pad=3)
        draw_image(axes, image)
    for axes, pair in zip(below, pairs.values(), strict=False):
        draw_image(axes, *pair)
    for axes in (*above[len(pairs) :], *below[len(pairs) :]):
        axes.remove()


def _each_patient_first(patients: NDArray[np.str_]) -> NDArray[np.int64]:
    _, first = np.unique(patients, return_index=True)
    again = np.setdiff1d(np.arange(len(patients)), first)
    return np.concatenate([np.sort(first), again])


def _images_at(splits: Splits, split: str, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
    wanted, found, seen = set(positions.tolist()), {}, 0
    for batch, _ in splits.batches(split).as_numpy_iterator():
        for position in wanted & set(range(seen, seen + len(batch))):
            found[position] = batch[position - seen]
        seen += len(batch)
        if len(found) == len(wanted):
            break
    return np.stack([found[position] for position in positions.tolist()])
