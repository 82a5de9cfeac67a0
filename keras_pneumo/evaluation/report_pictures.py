"""The pictures of a report: those that it draws of its predictions, and those given to it."""

import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

from PIL import Image

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.calibration_plots import plot_reliability
from keras_pneumo.evaluation.decision_plots import plot_decision_curve
from keras_pneumo.evaluation.plots import (
    plot_confusion_matrix,
    plot_precision_recall,
    plot_roc,
    plot_scores,
)
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.shortcut_plots import plot_shortcuts
from keras_pneumo.evaluation.style import as_png
from keras_pneumo.evaluation.thresholds import Threshold

DRAWN: Mapping[str, str] = {
    "confusion_matrix": "Confusion matrix",
    "roc": "ROC curve",
    "precision_recall": "Precision-recall curve",
    "scores": "Scores",
    "reliability": "Reliability diagram",
    "decision_curve": "Decision curve",
    "shortcuts": "Shortcut audit",
}
"""The titles of the pictures that a report draws, by their file names without the suffix."""


class Picture(NamedTuple):
    """A picture of a report.

    Attributes:
        name: Its file name without the suffix.
        title: Its heading.
        png: The content of the file.
    """

    name: str
    title: str
    png: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        with Image.open(BytesIO(self.png)) as image:
            return image.size


def draw_pictures(
    predictions: Mapping[str, Predictions],
    threshold: Threshold,
    temperature: float = 1.0,
    shortcuts: Mapping[str, Any] | None = None,
) -> list[Picture]:
    """Draw every picture of ``DRAWN`` for which there is something to draw.

    Args:
        predictions: The predictions by the name of their split.
        threshold: The operating point.
        temperature: What the scores were calibrated with.
        shortcuts: As for ``EvaluationReport``.

    Returns:
        The pictures, in the order of ``DRAWN``.
    """
    figures = {
        "confusion_matrix": plot_confusion_matrix(predictions, threshold),
        "roc": plot_roc(predictions, threshold),
        "precision_recall": plot_precision_recall(predictions, threshold),
        "scores": plot_scores(predictions, threshold),
        "reliability": plot_reliability(predictions, temperature),
        "decision_curve": plot_decision_curve(predictions, threshold),
    }
    if shortcuts:
        figures["shortcuts"] = plot_shortcuts(shortcuts)
    return [Picture(name, DRAWN[name], as_png(figure)) for name, figure in figures.items()]


def named_pictures(pictures: Mapping[str, bytes]) -> list[Picture]:
    """Give each picture a file name made of its title.

    Args:
        pictures: The content of PNG files by their title.

    Returns:
        The pictures.

    Raises:
        SettingsError: A picture is no PNG file, or two would have the same file name, or one none.

    Examples:
        >>> from keras_pneumo.evaluation.style import new_figure
        >>> png = as_png(new_figure(2, 1, "Learning rate"))
        >>> [one.name for one in named_pictures({"Learning rate, by epoch": png})]
        ['learning_rate_by_epoch']
    """
    named: list[Picture] = []
    for title, png in pictures.items():
        _require_png(title, png)
        taken = [*DRAWN, *(one.name for one in named)]
        named.append(Picture(_file_name(title, taken), title, png))
    return named


def _require_png(title: str, png: bytes) -> None:
    try:
        with Image.open(BytesIO(png), formats=["PNG"]) as image:
            image.verify()
    except (OSError, SyntaxError, TypeError) as error:
        raise SettingsError(
            f"A picture must be the content of a PNG file. Received for {title!r}: {error}. Make "
            "it from a figure with `keras_pneumo.evaluation.style.as_png`."
        ) from error


def _file_name(title: str, taken: Sequence[str]) -> str:
    name = "_".join(re.findall(r"[a-z0-9]+", title.lower()))
    if not name or name in taken:
        raise SettingsError(
            "The title of a picture must give a file name of its own, made of its letters a-z and "
            f"digits. Received: {title!r}, which gives {name!r}; taken are {', '.join(taken)}. "
            "Choose another title."
        )
    return name
