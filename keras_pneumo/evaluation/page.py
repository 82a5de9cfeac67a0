"""The page that shows a report to people: one HTML file, no script, nothing from the network."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2

from keras_pneumo.evaluation import report_tables, sentences, wording
from keras_pneumo.evaluation.captions import alternative, guide
from keras_pneumo.evaluation.report_pictures import DRAWN, Picture
from keras_pneumo.evaluation.thresholds import Threshold

_PACKAGE = "keras_pneumo.evaluation"
_TRAINING_CURVES = "training_curves"
# Figures have 144 pixels an inch; at 100 their letters are as large as those of the page.
_SCALE = 100 / 144


def render_page(numbers: Mapping[str, Any], pictures: Sequence[Picture]) -> str:
    """Render one HTML page that holds everything it shows.

    Args:
        numbers: What ``EvaluationReport.metrics`` returns.
        pictures: The pictures, those that the report draws and others.

    Returns:
        The page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_unbroken,
    )
    return environment.get_template("report.html.jinja").render(
        numbers=numbers,
        threshold=Threshold.from_dict(numbers["threshold"]),
        words=wording,
        say=sentences,
        tables=report_tables,
        drawn={one.name: _shown(one, numbers) for one in pictures if one.name in DRAWN},
        curves=[_shown(one, numbers) for one in pictures if one.name == _TRAINING_CURVES],
        examples=[
            _shown(one, numbers)
            for one in pictures
            if one.name not in DRAWN and one.name != _TRAINING_CURVES
        ],
        sections=_sections(numbers, [one.name for one in pictures]),
    )


def _source(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _unbroken(value: Any) -> Any:
    """Keep a line from being broken inside an interval or before a percent sign."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return re.sub(
        r"(?<=\d) (?=%)|(?<=\d) (?=to [−\d])|(?<=\d to) (?=[−\d])", "\N{NO-BREAK SPACE}", value
    )


def _sections(numbers: Mapping[str, Any], pictures: Sequence[str]) -> dict[str, str]:
    """The titles of the sections for which there is something to show, by their anchors."""
    prevalence = numbers["prevalence"]
    sections = {
        "summary": "Summary",
        "threshold": "Threshold",
        "metrics": "Metrics",
        "errors": "Right and wrong calls",
        "curves": "All thresholds",
        "scores": "Scores",
        "operating-points": "Other thresholds" if numbers["operating_points"] else "",
        "calibration": "Calibration",
        "decision": "Decision curve",
        "prevalence": f"At a prevalence of {wording.percent(prevalence)}" if prevalence else "",
        "shortcuts": "Shortcut audit" if numbers["shortcuts"] else "",
        "examples": "Single images" if {*pictures} - {*DRAWN, _TRAINING_CURVES} else "",
        "training": "Training" if numbers["recipe"] or _TRAINING_CURVES in pictures else "",
        "data": "Data" if numbers["data_audit"] else "",
        "methods": "Methods",
    }
    return {anchor: title for anchor, title in sections.items() if title}


def _shown(picture: Picture, numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": picture.name,
        "title": picture.title,
        "guide": guide(picture.name),
        "size": [round(pixels * _SCALE) for pixels in picture.size],
        "alt": alternative(picture.name, picture.title, numbers),
        "base64": b64encode(picture.png).decode("ascii"),
    }
