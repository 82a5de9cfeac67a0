"""A report as a table for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from keras_pneumo.evaluation.sentences import shared_patients
from keras_pneumo.evaluation.thresholds import Threshold
from keras_pneumo.evaluation.wording import DISCLAIMER, HEADLINE, number, percent


def render_text(numbers: Mapping[str, Any]) -> str:
    """Lay a report out as text: rows are metrics, the ones to read first above, columns splits.

    Args:
        numbers: What ``EvaluationReport.metrics`` returns.

    Returns:
        Several lines without a trailing newline, at most 100 columns wide for two splits unless
        names are long.
    """
    facts = {
        "Model": numbers["model"],
        "Data": numbers["data"],
        "Threshold": str(Threshold.from_dict(numbers["threshold"])),
    }
    if numbers["temperature"] != 1:
        facts["Temperature"] = number(numbers["temperature"], 3)
    splits = numbers["splits"]
    names = list(next(iter(splits.values()))["metrics"])
    rows = [
        ["", *splits],
        *([name, *_metric(splits, name)] for name in HEADLINE),
        [""] * (len(splits) + 1),
        *([name, *_metric(splits, name)] for name in names if name not in HEADLINE),
        [""] * (len(splits) + 1),
        *(
            [name, *(f"{split['counts'][name]:,}" for split in splits.values())]
            for name in next(iter(splits.values()))["counts"]
        ),
    ]
    blocks = [
        "\n".join(f"{name:<12} {value}" for name, value in facts.items()),
        "\n".join(_aligned(rows)),
        "\n".join(_notes(numbers)),
    ]
    return "\n\n".join(blocks)


def _metric(splits: Mapping[str, Any], name: str) -> Iterator[str]:
    for split in splits.values():
        value, found = split["metrics"][name], split["intervals"][name]
        if value is None:
            yield "–"
        elif found is None:
            yield number(value)
        else:
            yield f"{number(value)} [{number(found['low'], 3)}, {number(found['high'], 3)}]"


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    # Values begin where the name of their split does: intervals differ in length.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()


def _notes(numbers: Mapping[str, Any]) -> Iterator[str]:
    made = numbers["bootstrap"]
    yield (
        f"[{percent(made['level'])} intervals over {made['resamples']:,} draws of the "
        f"{made['unit']}s]"
    )
    for split, found in numbers["splits"].items():
        for name, reason in found["reasons"].items():
            yield f"{name} on {split}: {reason}"
    yield from shared_patients(numbers)
    yield DISCLAIMER
