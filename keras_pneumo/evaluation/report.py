"""One report on one model: numbers for programs, a table for the terminal, a page for people."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from keras_pneumo import __version__
from keras_pneumo.errors import OutputError, SettingsError
from keras_pneumo.evaluation.calibration import require_temperature
from keras_pneumo.evaluation.markdown import render_markdown
from keras_pneumo.evaluation.metrics import require_metrics
from keras_pneumo.evaluation.operating_points import operating_points
from keras_pneumo.evaluation.overlap import count_shared_patients, require_different_files
from keras_pneumo.evaluation.page import render_page
from keras_pneumo.evaluation.predictions import Predictions, read_csv, require_splits, write_csv
from keras_pneumo.evaluation.report_pictures import draw_pictures, named_pictures
from keras_pneumo.evaluation.split_numbers import split_numbers
from keras_pneumo.evaluation.text import render_text
from keras_pneumo.evaluation.thresholds import Threshold
from keras_pneumo.files import new_directory

SCHEMA_VERSION = 2
LEVEL = 0.95
METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.csv"

# What the tables read; a mapping of another shape is refused before anything is computed.
_AUDIT_KEYS = ("splits", "left_out", "identical_files", "patients_in_two_splits")
_SHORTCUT_KEYS = (
    "split",
    "images",
    "patients",
    "level",
    "unaltered",
    "rows",
    "probes",
    "outside_centre",
)


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """What one model does on one or more splits, at one threshold; all of it is read here.

    ``str(report)`` is the table of ``to_text``.

    Args:
        model: Name or path of the model.
        threshold: The operating point; its origin goes into every output.
        predictions: The predictions by the name of their split, in the order to show.
        data: Name or path of the collection.
        created: When the report was made, with a time zone; now, in UTC, by default.
        temperature: What the model divides its logit by, above 0; the scores have it in them. 1 if
            they are not calibrated.
        prevalence: Share of PNEUMONIA, in (0, 1), at which the report states what a call is worth
            besides that of the splits.
        resamples: How often the patients are drawn for the intervals.
        seed: Of these draws.
        recipe: How the model was trained: JSON values.
        data_audit: What ``Audit.to_dict`` of ``keras_pneumo.data.audit`` returns for the
            collection. Of its path the report keeps the last name.
        shortcuts: What ``ShortcutAudit.to_dict`` of ``keras_pneumo.inspection.shortcuts`` returns.
        pictures: Further pictures to show: the content of PNG files by their title. Each is saved
            under its title in small letters, such as ``training_curves.png``.
        allow_shared_patients: Count patients that are in two splits rather than refuse them.

    Raises:
        PredictionsError: There is no split, a file is in two splits, or a patient is and may not.
        SettingsError: A number is out of range, a mapping is not what it has to be, a picture is no
            PNG file, or two pictures would have the same file name, or one none.

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
    temperature: float = 1.0
    prevalence: float | None = None
    resamples: int = 2000
    seed: int = 0
    recipe: Mapping[str, Any] | None = None
    data_audit: Mapping[str, Any] | None = None
    shortcuts: Mapping[str, Any] | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    allow_shared_patients: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked before anything is computed."""
        require_splits(self.predictions)
        require_different_files(self.predictions)
        count_shared_patients(self.predictions, allowed=self.allow_shared_patients)
        require_metrics(None, self.prevalence)
        require_temperature(self.temperature)
        _require_json("recipe", self.recipe, ())
        _require_json("data_audit", self.data_audit, _AUDIT_KEYS)
        _require_json("shortcuts", self.shortcuts, _SHORTCUT_KEYS)
        named_pictures(self.pictures)

    def __str__(self) -> str:
        """The table of ``to_text``."""
        return self.to_text()

    def metrics(self) -> dict[str, Any]:
        """Return every number of the report, ready for JSON: the content of ``metrics.json``.

        The page on ``metrics.json`` in the documentation describes each key. The first call
        resamples the patients, which takes a second or so for each split.

        Returns:
            A new nested dict of plain Python values, with None (``null`` in JSON) for NaN.
        """
        return deepcopy(self._numbers)

    def to_text(self) -> str:
        """Return the report as a table for the terminal: rows are metrics, columns splits."""
        return render_text(self._numbers)

    def to_markdown(self) -> str:
        """Return the report as Markdown without pictures, such as for a model card."""
        return render_markdown(self._numbers)

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write the report into a new folder, which appears whole or not at all.

        The files are ``metrics.json`` (see ``metrics``), ``predictions.csv`` (see ``write_csv``),
        ``report.html``, one page that holds all pictures and needs no network, ``report.md`` (see
        ``to_markdown``), and each picture as a PNG file. ``load`` reads the folder.

        Args:
            directory: The folder to make.
            overwrite: Replace the folder with everything in it, if it holds an older report.

        Returns:
            The folder.

        Raises:
            OutputError: The folder has contents, and ``overwrite`` is False or they are no report.
        """
        with new_directory(directory, marker=METRICS_FILE, overwrite=overwrite) as folder:
            pictures = draw_pictures(
                self.predictions, self.threshold, self.temperature, self.shortcuts
            ) + named_pictures(self.pictures)
            for picture in pictures:
                (folder / f"{picture.name}.png").write_bytes(picture.png)
            texts = {
                METRICS_FILE: json.dumps(self._numbers, indent=2, allow_nan=False) + "\n",
                "report.html": render_page(self._numbers, pictures),
                "report.md": self.to_markdown(),
            }
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8")
            write_csv(folder / PREDICTIONS_FILE, self.predictions)
        return Path(directory)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read a report that ``save`` wrote, to show it again or to add something.

        The numbers are computed anew from the predictions when they are asked for.

        Args:
            directory: The folder.

        Returns:
            The report; ``dataclasses.replace(report, shortcuts=...)`` gives one with more in it.

        Raises:
            OutputError: The folder holds no report, a part of one, or one of another version.
        """
        directory = Path(directory)
        try:
            numbers = json.loads((directory / METRICS_FILE).read_text(encoding="utf-8"))
            version = numbers["schema_version"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise OutputError(
                f"A report is a folder with a file {METRICS_FILE}, as `EvaluationReport.save` "
                f"writes it. {directory} holds none that can be read: {error!r}."
            ) from error
        if version != SCHEMA_VERSION:
            raise OutputError(
                f"This keras-pneumo ({__version__}) reads reports of schema version "
                f"{SCHEMA_VERSION}. Found {version!r} in {directory / METRICS_FILE}. Evaluate the "
                "model again, or use the version that wrote the report."
            )
        try:
            return cls(
                model=numbers["model"],
                threshold=Threshold.from_dict(numbers["threshold"]),
                predictions=read_csv(directory / PREDICTIONS_FILE),
                data=numbers["data"],
                created=datetime.fromisoformat(numbers["created"]),
                temperature=numbers["temperature"],
                prevalence=numbers["prevalence"],
                resamples=numbers["bootstrap"]["resamples"],
                seed=numbers["bootstrap"]["seed"],
                recipe=numbers["recipe"],
                data_audit=numbers["data_audit"],
                shortcuts=numbers["shortcuts"],
                pictures={
                    title: (directory / name).read_bytes()
                    for title, name in numbers["pictures"].items()
                },
                allow_shared_patients=bool(numbers["shared_patients"]),
            )
        except (OSError, KeyError) as error:
            raise OutputError(
                f"The report in {directory} is not whole: {error}. Evaluate the model again."
            ) from error

    @cached_property
    def _numbers(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "created": self.created.astimezone(UTC).isoformat(timespec="seconds"),
            "keras_pneumo": __version__,
            "model": self.model,
            "data": self.data,
            "threshold": self.threshold.to_dict(),
            "splits": {
                name: split_numbers(
                    found,
                    self.threshold,
                    temperature=self.temperature,
                    prevalence=self.prevalence,
                    level=LEVEL,
                    resamples=self.resamples,
                    seed=self.seed,
                )
                for name, found in self.predictions.items()
            },
            "temperature": self.temperature,
            "prevalence": self.prevalence,
            "bootstrap": {
                "level": LEVEL,
                "resamples": self.resamples,
                "seed": self.seed,
                "unit": "patient",
            },
            "operating_points": self._operating_points(),
            "shared_patients": count_shared_patients(self.predictions, allowed=True),
            "recipe": _as_json(self.recipe),
            "data_audit": _without_path(_as_json(self.data_audit)),
            "shortcuts": _as_json(self.shortcuts),
            "pictures": {one.title: f"{one.name}.png" for one in named_pictures(self.pictures)},
        }

    def _operating_points(self) -> list[dict[str, Any]]:
        # A fixed threshold was chosen on no split; other thresholds can be, on validation.
        candidates = (self.threshold.chosen_on, "validation")
        chosen_on = next((name for name in candidates if name in self.predictions), None)
        if chosen_on is None:
            return []
        found = operating_points(
            self.predictions, chosen_on, level=LEVEL, resamples=self.resamples, seed=self.seed
        )
        return [point.to_dict() for point in found]


def _require_json(name: str, value: Mapping[str, Any] | None, keys: Sequence[str]) -> None:
    if value is None:
        return
    missing = [key for key in keys if key not in value]
    if missing:
        raise SettingsError(
            f"`{name}` must have the keys {', '.join(keys)}. Missing: {', '.join(missing)}. Pass "
            "what `to_dict` of the audit returned."
        )
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"`{name}` must be made of JSON values: text, numbers, true, false, null, lists and "
            f"mappings. Received something else: {error}. Convert it first."
        ) from error


def _as_json(value: Mapping[str, Any] | None) -> Any:
    return json.loads(json.dumps(value))


def _without_path(audit: dict[str, Any] | None) -> dict[str, Any] | None:
    # A path tells of a machine and its user, and a report is made to be passed on.
    if audit and "root" in audit:
        return audit | {"root": Path(audit["root"]).name}
    return audit
