"""One report on one model: numbers for programs, a table for the terminal, a page for people."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from keras_pneumo import __version__
from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.metrics import binary_metrics, confusion_counts
from keras_pneumo.evaluation.page import DISCLAIMER, Picture, render_page
from keras_pneumo.evaluation.plots import (
    plot_confusion_matrix,
    plot_precision_recall,
    plot_roc,
    plot_scores,
)
from keras_pneumo.evaluation.predictions import Predictions, require_splits, write_csv
from keras_pneumo.evaluation.thresholds import Threshold
from keras_pneumo.files import new_directory

SCHEMA_VERSION = 1

_DRAWN = {
    "roc": ("ROC curve", plot_roc),
    "precision_recall": ("Precision-recall curve", plot_precision_recall),
    "confusion_matrix": ("Confusion matrix", plot_confusion_matrix),
    "scores": ("Scores", plot_scores),
}


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """What one model does on one or more splits, at one threshold.

    ``str(report)`` is the table of ``to_text``.

    Args:
        model: Name or path of the model.
        threshold: The operating point; its origin goes into every output.
        predictions: The predictions by the name of their split, in the order to show.
        data: Name or path of the collection.
        created: When the report was made, with a time zone; now, in UTC, by default.

    Raises:
        PredictionsError: There is no split.

    Examples:
        >>> found = Predictions([0, 1], [0.2, 0.9], ["a", "b"], ["1.jpeg", "2.jpeg"])
        >>> report = EvaluationReport(
        ...     "model.keras", Threshold(0.5, "fixed=0.5", "none"), {"test": found}, "chest_xray"
        ... )
        >>> report.metrics()["splits"]["test"]["metrics"]["roc_auc"]
        1.0
    """

    model: str
    threshold: Threshold
    predictions: Mapping[str, Predictions]
    data: str
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        """Check that there is something to report."""
        require_splits(self.predictions)

    def __str__(self) -> str:
        """The table of ``to_text``."""
        return self.to_text()

    def metrics(self) -> dict[str, Any]:
        """Return every number of the report, ready for JSON: the content of ``metrics.json``.

        - ``schema_version``: 1; it changes when a key is renamed, removed or redefined.
        - ``created``: ISO 8601 date-time in UTC, to the second.
        - ``keras_pneumo``: the version of this package.
        - ``model``, ``data``: as given.
        - ``threshold``: ``value`` in [0, 1], ``policy`` and ``chosen_on``.
        - ``splits``: for each split, by its name,
            - ``counts``: ``images``, ``patients``, ``normal``, ``pneumonia``, ``tn``, ``fp``,
              ``fn`` and ``tp``, integers;
            - ``threshold``: the one that the counts and metrics are at, as above;
            - ``metrics``: what ``binary_metrics`` returns,
              in [0, 1], with None (``null`` in JSON) for NaN.

        Returns:
            A new nested dict of plain Python values.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "created": self.created.astimezone(UTC).isoformat(timespec="seconds"),
            "keras_pneumo": __version__,
            "model": self.model,
            "data": self.data,
            "threshold": self.threshold.to_dict(),
            "splits": {
                name: _split_metrics(found, self.threshold)
                for name, found in self.predictions.items()
            },
        }

    def to_text(self) -> str:
        """Return the report as a small table for the terminal: rows are metrics, columns splits."""
        splits = self.metrics()["splits"]
        rows = [["", *splits]]
        for group, as_text in (("counts", _count), ("metrics", _number)):
            for key in next(iter(splits.values()))[group]:
                rows.append([key, *(as_text(split[group][key]) for split in splits.values())])
            rows.append([""] * len(rows[0]))
        first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
        table = (
            "  ".join([name.ljust(first), *map(str.rjust, cells, widths)]).rstrip()
            for name, *cells in rows
        )
        return "\n".join(
            [
                f"Model      {self.model}",
                f"Data       {self.data}",
                f"Threshold  {self.threshold}",
                "",
                *table,
                DISCLAIMER,
            ]
        )

    def save(
        self,
        directory: str | Path,
        *,
        overwrite: bool = False,
        figures: Mapping[str, Figure] | None = None,
    ) -> Path:
        """Write the report into a new folder, which appears whole or not at all.

        The files are ``metrics.json`` (see ``metrics``), ``predictions.csv`` (see
        ``write_csv``), ``roc.png``,
        ``precision_recall.png``, ``confusion_matrix.png``, ``scores.png`` and ``report.html``, one
        page that holds all pictures and needs no network.

        Args:
            directory: The folder to make.
            overwrite: Replace the folder with everything in it, if it holds an older report.
            figures: Further pictures by their title, such as ``{"Training curves": figure}``. They
                are shown on the page, and saved under their title in small letters:
                ``training_curves.png``.

        Returns:
            The folder.

        Raises:
            OutputError: The folder has contents, and ``overwrite`` is False or they are no report.
            SettingsError: Two pictures would have the same file name, or one none.
        """
        further: dict[str, tuple[str, Figure]] = {}
        for title, figure in (figures or {}).items():
            further[_file_name(title, taken=[*_DRAWN, *further])] = title, figure
        with new_directory(directory, marker="metrics.json", overwrite=overwrite) as folder:
            numbers = self.metrics()
            pictures = [
                Picture(name, title, _png(plot(self.predictions, self.threshold)))
                for name, (title, plot) in _DRAWN.items()
            ] + [Picture(name, title, _png(figure)) for name, (title, figure) in further.items()]
            for picture in pictures:
                (folder / f"{picture.name}.png").write_bytes(picture.png)
            text = json.dumps(numbers, indent=2, allow_nan=False)
            (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
            write_csv(folder / "predictions.csv", self.predictions)
            page = render_page(numbers, self.threshold, pictures)
            (folder / "report.html").write_text(page, encoding="utf-8")
        return Path(directory)


def _split_metrics(found: Predictions, threshold: Threshold) -> dict[str, Any]:
    given = found.y_true, found.y_score, threshold.value
    pneumonia = int(found.y_true.sum())
    return {
        "counts": {
            "images": len(found),
            "patients": found.n_patients,
            "normal": len(found) - pneumonia,
            "pneumonia": pneumonia,
            **confusion_counts(*given),
        },
        "threshold": threshold.to_dict(),
        "metrics": {
            name: value if math.isfinite(value) else None
            for name, value in binary_metrics(*given).items()
        },
    }


def _count(value: int) -> str:
    return f"{value:,}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _file_name(title: str, taken: Sequence[str]) -> str:
    name = "_".join(re.findall(r"[a-z0-9]+", title.lower()))
    if not name or name in taken:
        raise SettingsError(
            "The title of a picture must give a file name of its own, made of its letters a-z and "
            f"digits. Received: {title!r}, which gives {name!r}; taken are {', '.join(taken)}. "
            "Choose another title."
        )
    return name
