"""A shortcut audit as tables for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from keras_pneumo.evaluation.wording import interval, number, percent, plural

_COLUMNS = {"roc_auc": "AUC", "specificity": "specificity", "recall": "sensitivity"}


def as_text(audit: Mapping[str, Any]) -> str:
    """Lay out an audit as tables of at most 80 columns.

    Args:
        audit: What ``ShortcutAudit.to_dict`` returns.

    Returns:
        Several lines without a trailing newline. A number that is not defined is "–".
    """
    blocks = (
        [
            f"Shortcut audit of {audit['split']}: {plural(audit['images'], 'image')} of "
            f"{plural(audit['patients'], 'patient')}, threshold {audit['threshold']:.4g}"
        ],
        _metrics(audit),
        _probes(audit["probes"]),
        _heat(audit["outside_centre"]),
        [
            "Beside each metric: its change, altered − unaltered, with * where the interval",
            "of the change excludes 0, and ? where it has none.",
            f"Intervals: {percent(audit['level'])}, by patient, {audit['resamples']:,} resamples, "
            f"seed {audit['seed']}; not corrected for",
            "their number, so that some exclude 0 by chance.",
        ],
    )
    return "\n\n".join("\n".join(block) for block in blocks)


def _metrics(audit: Mapping[str, Any]) -> Iterator[str]:
    unaltered = [audit["unaltered"][name] for name in _COLUMNS]
    yield _line("", [f"{title:>15} " for title in _COLUMNS.values()])
    yield _line("Unaltered", [f"{_number(found['value']):>7}" + 9 * " " for found in unaltered])
    spans = [interval(found["low"], found["high"]) for found in unaltered]
    yield _line("", [f"{span and f'({span})':>16}" for span in spans])
    for group, rows in groupby(audit["rows"], key=lambda row: row["group"]):
        yield group
        for row in rows:
            yield _line(f"  {row['title']}", [_changed(row["metrics"][name]) for name in _COLUMNS])


def _changed(found: Mapping[str, float | None]) -> str:
    low, high = found["change_low"], found["change_high"]
    if low is None or high is None:
        mark = "?" if found["change"] else " "
    else:
        mark = "*" if low > 0 or high < 0 else " "
    return f"{_number(found['value']):>7} {_number(found['change'], sign=True):>7}{mark}"


def _probes(probes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "Images that show no chest, and inverted ones: probability of PNEUMONIA"
    yield _line("", _right("images", "mean", "lowest", "highest", "called PNEUMONIA"))
    for probe in probes:
        scores = (_number(probe[name]) for name in ("mean", "lowest", "highest"))
        cells = _right(f"{probe['images']:,}", *scores, f"{probe['called_pneumonia']:,}")
        yield _line(f"  {probe['title']}", cells)


def _heat(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"Outside the central field of 60 % × 60 %, on {_number(found['area'])} of the area"
    if found["value"] is None:
        yield "  no image has any heat"
        return
    span = interval(found["low"], found["high"])
    told = _number(found["value"]) + (f" ({span})" if span else "")
    yield f"  {told} of the heat map, mean of {plural(found['images'], 'image')} with any heat"


def _line(title: str, cells: Sequence[str]) -> str:
    return "  ".join([title.ljust(24), *cells]).rstrip()


def _right(*cells: str) -> list[str]:
    return [cell.rjust(width) for cell, width in zip(cells, (7, 7, 7, 7, 16), strict=True)]


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    rounded = round(value, 3) + 0.0  # −0.0 becomes 0.0
    return f"{'+' if sign and rounded > 0 else ''}{number(rounded, 3)}"
