"""The tables of a report, as values: the page and the Markdown draw the same ones."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from keras_pneumo.evaluation.policies import ThresholdPolicy
from keras_pneumo.evaluation.thresholds import Threshold
from keras_pneumo.evaluation.wording import (
    AT_PREVALENCE,
    COUNTS,
    HEADLINE,
    METRIC_GROUPS,
    METRICS,
    interval,
    number,
)

_RATES = ("recall", "specificity", "precision", "npv")
_CALIBRATION = METRIC_GROUPS["Of the probabilities"]
_READINGS = {"patients_naive": "Patients (naive)", "patients_per_series": "Patients (series)"}


class Cell(NamedTuple):
    """One number of a table.

    Attributes:
        value: The number as text, or "undefined".
        detail: Its interval, or why it or its interval is missing.
        span: Value, low and high in [0, 1], where the interval can be drawn.
        strong: Whether it deserves a second look.
    """

    value: str
    detail: str = ""
    span: tuple[float, float, float] | None = None
    strong: bool = False


class Row(NamedTuple):
    """One row: what it is, what that means, and a cell per column."""

    title: str
    cells: Sequence[Cell]
    meaning: str = ""


class Group(NamedTuple):
    """Rows that belong together; the title may be empty."""

    title: str
    rows: Sequence[Row]
    detail: str = ""


class Table(NamedTuple):
    """A table: what its first column holds, the names of the others, and the rows in groups."""

    corner: str
    columns: Sequence[str]
    groups: Sequence[Group]


def headline(numbers: Mapping[str, Any]) -> Table:
    """The three numbers to read first, of each split."""
    return _metrics_table(numbers, {"": HEADLINE})


def metrics(numbers: Mapping[str, Any]) -> Table:
    """Every metric with its interval, of each split."""
    return _metrics_table(numbers, METRIC_GROUPS)


def predictive_values(numbers: Mapping[str, Any]) -> Table:
    """What a call is worth where PNEUMONIA is as common as ``prevalence`` says."""
    return _metrics_table(numbers, {"": AT_PREVALENCE})


def counts(numbers: Mapping[str, Any]) -> Table:
    """How many images and patients there are, and how many are called right."""
    splits = numbers["splits"]
    rows = [
        Row(title, [Cell(f"{split['counts'][key]:,}") for split in splits.values()])
        for key, title in COUNTS.items()
    ]
    return Table("Number of", list(splits), [Group("", rows)])


def operating_points(numbers: Mapping[str, Any]) -> Table:
    """What each way to choose the threshold gives, on each split."""
    groups = [
        Group(
            _of_policy(point["policy"]),
            [
                Row(split, [_estimate(found[rate]) for rate in _RATES])
                for split, found in point["splits"].items()
            ],
            _of_point(point),
        )
        for point in numbers["operating_points"]
    ]
    return Table("Split", [METRICS[rate].title for rate in _RATES], groups)


def calibration(numbers: Mapping[str, Any]) -> Table:
    """How far the probabilities can be taken at their word, before and after the temperature."""
    splits = numbers["splits"]
    if all(split["before_calibration"] is None for split in splits.values()):
        return _metrics_table(numbers, {"": _CALIBRATION})
    rows = [
        Row(
            METRICS[name].title,
            [
                cell
                for split in splits.values()
                for cell in (_value(split["before_calibration"][name]), _metric(split, name))
            ],
            METRICS[name].meaning,
        )
        for name in _CALIBRATION
    ]
    columns = [f"{name}, {when}" for name in splits for when in ("before", "after")]
    return Table("Metric", columns, [Group("", rows)])


def shortcuts(found: Mapping[str, Any]) -> Table:
    """How the metrics change when the images are altered; a change beyond 0 is strong."""
    names = [name for name in HEADLINE if name in found["unaltered"]]
    unaltered = Row("Images as they are", [_estimate(found["unaltered"][name]) for name in names])
    groups = [Group("", [unaltered])]
    for title in dict.fromkeys(row["group"] for row in found["rows"]):
        rows = [
            Row(row["title"], [_changed(row["metrics"].get(name)) for name in names])
            for row in found["rows"]
            if row["group"] == title
        ]
        groups.append(Group(title, rows))
    return Table("Alteration", [METRICS[name].title for name in names], groups)


def probes(found: Mapping[str, Any]) -> Table:
    """What the model says of images that show no chest at all."""
    rows = [
        Row(
            probe["title"],
            [
                Cell(f"{probe['images']:,}"),
                _mean(probe),
                Cell(f"{probe['called_pneumonia']:,}", strong=probe["called_pneumonia"] > 0),
            ],
        )
        for probe in found["probes"]
    ]
    columns = ["Images", "Mean score", "Called PNEUMONIA"]
    return Table("Image", columns, [Group("", rows)])


def audited(found: Mapping[str, Any]) -> Table:
    """How many images and patients each split of the collection has."""
    rows = [
        Row(
            name,
            [
                *(Cell(f"{count['images']:,}") for count in part["classes"].values()),
                *(Cell(f"{part[reading]:,}") for reading in _READINGS),
            ],
        )
        for name, part in found["splits"].items()
    ]
    classes = next(iter(found["splits"].values()))["classes"]
    columns = [*(f"{name} images" for name in classes), *_READINGS.values()]
    return Table("Split", columns, [Group("", rows)])


def recipe(given: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """A recipe as lists of names and values: one for the top level, one per mapping in it."""
    groups: dict[str, list[tuple[str, str]]] = {"": []}
    for key, value in given.items():
        if key == "threshold":
            continue  # it has a section of its own
        if isinstance(value, Mapping) and value:
            groups[_spaced(key).capitalize()] = [
                (_spaced(name), _plain(one)) for name, one in value.items()
            ]
        else:
            groups[""].append((_spaced(key), _plain(value)))
    return {title: facts for title, facts in groups.items() if facts}


def _metrics_table(numbers: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> Table:
    splits = numbers["splits"]
    groups = [
        Group(
            title,
            [
                Row(
                    METRICS[name].title,
                    [_metric(split, name) for split in splits.values()],
                    METRICS[name].meaning,
                )
                for name in of_group
            ],
        )
        for title, of_group in names.items()
    ]
    return Table("Metric", list(splits), groups)


def _metric(split: Mapping[str, Any], name: str) -> Cell:
    found = split["intervals"][name] or {"low": None, "high": None}
    reason = split["reasons"].get(name, "")
    return _estimate({"value": split["metrics"][name], **found}, reason)


def _estimate(found: Mapping[str, Any], reason: str = "") -> Cell:
    value, low, high = found["value"], found["low"], found["high"]
    if value is None:
        return Cell("undefined", reason)
    if low is None or high is None:
        return Cell(number(value), f"no interval: {reason}" if reason else "")
    span = (value, low, high) if 0 <= low <= high <= 1 else None
    return Cell(number(value), interval(low, high), span)


def _changed(found: Mapping[str, Any] | None) -> Cell:
    if found is None or found["value"] is None:
        return Cell("undefined")
    value, change = number(found["value"], 3), found["change"]
    low, high = found["change_low"], found["change_high"]
    if change is None:
        return Cell(value)
    told = f"{'+' if change > 0 else ''}{number(change, 3)}"
    if low is None or high is None:
        return Cell(value, f"{told}, no interval" if change else "unchanged")
    return Cell(value, f"{told} ({interval(low, high)})", strong=low > 0 or high < 0)


def _value(value: float | None) -> Cell:
    return Cell("undefined") if value is None else Cell(number(value))


def _of_policy(text: str) -> str:
    policy = ThresholdPolicy.parse(text)
    if policy.name in ("sensitivity", "specificity"):
        return f"{policy.name.capitalize()} of {policy.parameter:g} or more"
    return f"Threshold that {policy.in_words()}"


def _of_point(point: Mapping[str, Any]) -> str:
    if point["value"] is None:
        return point["reason"] or "There is none."
    value = Threshold(point["value"], point["policy"], point["chosen_on"]).rounded()
    if not point["interval"]:
        return f"threshold {value}"
    low, high = point["interval"]
    return f"threshold {value} ({low:.3g} to {high:.3g})"


def _mean(probe: Mapping[str, Any]) -> Cell:
    if probe["images"] == 1:
        return Cell(number(probe["mean"], 3))
    return Cell(number(probe["mean"], 3), interval(probe["lowest"], probe["highest"]))


def _spaced(key: str) -> str:
    return key.replace("_", " ")


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(_pairs(value)) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None else str(value)


def _pairs(value: Mapping[str, Any]) -> Iterator[str]:
    for key, one in value.items():
        text = f"({_plain(one)})" if isinstance(one, Mapping) else _plain(one)
        yield f"{_spaced(key)} {text}"
