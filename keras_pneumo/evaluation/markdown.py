"""A report as Markdown, for a model card or any place that shows text."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from keras_pneumo.evaluation import report_tables, sentences, wording
from keras_pneumo.evaluation.report_tables import Cell, Table
from keras_pneumo.evaluation.thresholds import Threshold

# An underscore inside a word, as in most names, is no markup.
_MARKUP = re.compile(r"[\\`*<>\[\]|&~]|(?<![^\W_])_|_(?![^\W_])")


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
    yield f"# Evaluation of {escaped(numbers['model'])}"
    yield f"**{wording.LIMITS[0]}** {wording.LIMITS[1]}"
    yield (
        f"Evaluated on {escaped(numbers['data'])}, {numbers['created'][:10]}, with keras-pneumo "
        f"{numbers['keras_pneumo']}."
    )
    said = [
        *sentences.results(numbers),
        *sentences.differences(numbers),
        *sentences.shared_patients(numbers),
    ]
    yield "\n".join(f"- {escaped(sentence)}" for sentence in said)

    yield "## Metrics"
    yield escaped(threshold.in_words())
    yield f"Numbers with their {level} intervals; PNEUMONIA is the positive class."
    yield markdown_table(report_tables.metrics(numbers))
    yield markdown_table(report_tables.counts(numbers))

    if numbers["operating_points"]:
        chosen_on = escaped(numbers["operating_points"][0]["chosen_on"])
        yield "## Other thresholds"
        yield f"Chosen on {chosen_on} by their aim, and what they give on each split."
        yield markdown_table(report_tables.operating_points(numbers))

    yield "## Calibration"
    yield escaped(sentences.calibration(numbers))
    yield markdown_table(report_tables.calibration(numbers))

    if numbers["prevalence"]:
        yield f"## At a prevalence of {wording.percent(numbers['prevalence'])}"
        yield markdown_table(report_tables.predictive_values(numbers))

    if numbers["shortcuts"]:
        yield "## Shortcut audit"
        yield (
            f"Metrics on altered images of {escaped(numbers['shortcuts']['split'])}, and their "
            "change with its interval. In bold: the interval of the change excludes 0."
        )
        yield markdown_table(report_tables.shortcuts(numbers["shortcuts"]))
        outside = sentences.outside_centre(numbers["shortcuts"])
        if outside:
            yield outside

    yield "## How the intervals were made"
    yield " ".join(sentences.how_intervals(numbers))


def markdown_table(table: Table, *, align: Literal["left", "right"] = "right") -> str:
    """Write one table of ``report_tables`` as Markdown; its texts are escaped.

    Args:
        table: The table. A Markdown table has no rows across columns, so the title of a group is
            in the first cell of a row of its own.
        align: Of all columns but the first, which holds names and is always on the left.

    Returns:
        Several lines without a trailing newline.

    Examples:
        >>> from keras_pneumo.evaluation.report_tables import Group, Row
        >>> rows = [Row("ROC AUC", [Cell("0.9612", "0.941 to 0.973")])]
        >>> print(markdown_table(Table("Metric", ["test"], [Group("", rows)])))
        | Metric | test |
        | --- | ---: |
        | ROC AUC | 0.9612 (0.941 to 0.973) |
    """
    rule = "---:" if align == "right" else "---"
    lines = [
        _line([table.corner, *table.columns]),
        _line(["---", *(rule for _ in table.columns)]),
    ]
    for group in table.groups:
        if group.title:
            title = f"**{escaped(group.title)}** {escaped(group.detail)}".rstrip()
            lines.append(_line([title, *("" for _ in table.columns)], escape=False))
        lines += [
            _line([escaped(row.title), *map(_cell, row.cells)], escape=False) for row in group.rows
        ]
    return "\n".join(lines)


def _line(cells: list[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(escaped(cell) if escape else cell for cell in cells)} |"


def _cell(cell: Cell) -> str:
    value = escaped(cell.value)
    if cell.strong:
        value = f"**{value}**"
    if not cell.detail:
        return value
    detail = escaped(cell.detail)
    return f"{value}, {detail}" if "(" in detail else f"{value} ({detail})"


def escaped(text: str) -> str:
    r"""Write a text on one line so that Markdown shows it as it is, in a table too.

    Args:
        text: Any text, such as the name of a folder.

    Returns:
        The text with a backslash before what Markdown or HTML would read as markup.

    Examples:
        >>> print(escaped("a<b>|c"))
        a\<b\>\|c
    """
    return _MARKUP.sub(r"\\\g<0>", re.sub(r"[\r\n]+", " ", text))
