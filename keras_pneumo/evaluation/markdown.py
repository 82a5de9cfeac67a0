"""A report as Markdown, for a model card or any place that shows text."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from keras_pneumo.evaluation import report_tables, sentences, wording
from keras_pneumo.evaluation.report_tables import Cell, Table
from keras_pneumo.evaluation.thresholds import Threshold


def render_markdown(numbers: Mapping[str, Any]) -> str:
    """Write a report as GitHub-flavoured Markdown: limits of use, facts and tables, no pictures.

    Args:
        numbers: What ``EvaluationReport.metrics`` returns.

    Returns:
        The text, with a trailing newline.
    """
    return "\n\n".join(_blocks(numbers)) + "\n"


def _blocks(numbers: Mapping[str, Any]) -> Iterator[str]:
    threshold = Threshold.from_dict(numbers["threshold"])
    level = wording.percent(numbers["bootstrap"]["level"])
    yield f"# Evaluation of {_escaped(numbers['model'])}"
    yield f"**{wording.LIMITS[0]}** {wording.LIMITS[1]}"
    yield (
        f"Evaluated on {_escaped(numbers['data'])}, {numbers['created'][:10]}, with keras-pneumo "
        f"{numbers['keras_pneumo']}."
    )
    said = [
        *sentences.results(numbers),
        *sentences.differences(numbers),
        *sentences.shared_patients(numbers),
    ]
    yield "\n".join(f"- {_escaped(sentence)}" for sentence in said)

    yield "## Metrics"
    yield _escaped(threshold.in_words())
    yield f"Numbers with their {level} intervals; PNEUMONIA is the positive class."
    yield _table(report_tables.metrics(numbers))
    yield _table(report_tables.counts(numbers))

    if numbers["operating_points"]:
        chosen_on = _escaped(numbers["operating_points"][0]["chosen_on"])
        yield "## Other thresholds"
        yield f"Chosen on {chosen_on} by their aim, and what they give on each split."
        yield _table(report_tables.operating_points(numbers))

    yield "## Calibration"
    yield _escaped(sentences.calibration(numbers))
    yield _table(report_tables.calibration(numbers))

    if numbers["prevalence"]:
        yield f"## At a prevalence of {wording.percent(numbers['prevalence'])}"
        yield _table(report_tables.predictive_values(numbers))

    if numbers["shortcuts"]:
        yield "## Shortcut audit"
        yield (
            f"Metrics on altered images of {_escaped(numbers['shortcuts']['split'])}, and their "
            "change with its interval. In bold: the interval of the change excludes 0."
        )
        yield _table(report_tables.shortcuts(numbers["shortcuts"]))
        outside = sentences.outside_centre(numbers["shortcuts"])
        if outside:
            yield outside

    yield "## How the intervals were made"
    yield " ".join(sentences.how_intervals(numbers))


def _table(table: Table) -> str:
    lines = [
        _line([table.corner, *table.columns]),
        _line(["---", *("---:" for _ in table.columns)]),
    ]
    for group in table.groups:
        if group.title:
            title = f"**{_escaped(group.title)}** {_escaped(group.detail)}".rstrip()
            lines.append(_line([title, *("" for _ in table.columns)], escape=False))
        lines += [
            _line([_escaped(row.title), *map(_cell, row.cells)], escape=False) for row in group.rows
        ]
    return "\n".join(lines)


def _line(cells: list[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(_escaped(cell) if escape else cell for cell in cells)} |"


def _cell(cell: Cell) -> str:
    value = f"**{cell.value}**" if cell.strong else cell.value
    if not cell.detail:
        return value
    detail = _escaped(cell.detail)
    return f"{value}, {detail}" if "(" in detail else f"{value} ({detail})"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*<>\[\]|])", r"\\\1", text)
