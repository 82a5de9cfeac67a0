"""The counts of an audit as tables for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

_LABEL_OF_AETIOLOGY = {
    "none": ("NORMAL", ""),
    "bacteria": ("PNEUMONIA", "bacteria"),
    "virus": ("PNEUMONIA", "virus"),
    "unknown": ("PNEUMONIA", "unknown"),
}
_SHOWN = 3

Row = Sequence[str | int]


def as_text(counts: dict[str, Any]) -> str:
    """Lay out the counts of ``keras_pneumo.data.audit.Audit.to_dict`` as tables.

    Args:
        counts: The dict.

    Returns:
        Several lines without a trailing newline. Patients are given under both readings.
    """
    blocks = (
        f"{counts['images']:,} images in {counts['root']}\n"
        f"layout {counts['layout']}, fingerprint {counts['fingerprint']}, {_size(counts['sizes'])}",
        "Images and patients\n" + _images(counts["splits"]),
        "Series of file names\n" + _series(counts["splits"]),
        "Patients in two splits\n" + _shared(counts["patients_in_two_splits"]),
        "Identical files\n" + _identical(counts["identical_files"]),
        "Left out\n" + _left_out(counts["left_out"]),
        "Patients (naive): files with one number are one child, person23_bacteria_* and\n"
        "person23_virus_* alike. Patients (series): each series of names numbers its own\n"
        "children. The names do not tell which is true.",
    )
    return "\n\n".join(blocks)


def _images(splits: dict[str, Any]) -> str:
    rows: list[Row] = [
        ("split", "class", "aetiology", "images", "share", "patients (naive)", "(series)")
    ]
    for split, part in splits.items():
        of_split = [
            (*_LABEL_OF_AETIOLOGY[aetiology], *_counts(found, part["images"]))
            for aetiology, found in part["aetiologies"].items()
            if found["images"]
        ]
        of_split.append(("total", "", *_counts(part, part["images"])))
        rows += [(split if not index else "", *row) for index, row in enumerate(of_split)]
    return _table(rows, text_columns=3)


def _counts(found: dict[str, Any], total: int) -> tuple[int, str, int, int]:
    share = f"{found['images'] / max(total, 1):.1%}"
    return found["images"], share, found["patients_naive"], found["patients_per_series"]


def _series(splits: dict[str, Any]) -> str:
    rows: list[Row] = [("series", *splits)]
    for series in splits["all"]["series"]:
        found = [part["series"].get(series, {"images": 0})["images"] for part in splits.values()]
        rows.append((series or "(names say nothing)", *found))
    return _table(rows)


def _shared(pairs: list[dict[str, Any]]) -> str:
    if not pairs:
        return "  There is one split at most."
    rows: list[Row] = [("splits", "patients (naive)", "(series)")]
    for pair in pairs:
        shared = pair["patients_naive"], pair["patients_per_series"]
        rows.append((" and ".join(pair["splits"]), *shared))
    return _table(rows)


def _identical(found: dict[str, Any]) -> str:
    if not found["groups"]:
        return "  None."
    rows: list[Row] = [("groups of the same bytes", f"{len(found['groups']):,}")]
    for where in ("within a split", "across splits", "across patients", "across classes"):
        rows.append((f"  {where}", found[f"groups_{where.replace(' ', '_')}"]))
    return _table([*rows, ("images in such groups", found["images"])])


def _left_out(left_out: dict[str, list[str]]) -> str:
    if not left_out:
        return "  Nothing."
    return "\n".join(_reason_lines(left_out))


def _reason_lines(left_out: dict[str, list[str]]) -> Iterator[str]:
    for reason, names in left_out.items():
        yield f"  {len(names):,} × {reason}"
        yield from (f"      {name}" for name in names[:_SHOWN])
        if len(names) > _SHOWN:
            yield f"      and {len(names) - _SHOWN:,} more"


def _size(sizes: dict[str, dict[str, float]]) -> str:
    if not sizes:
        return "no size known"
    return ", ".join(
        f"{side} {pixels['min']:.0f} to {pixels['max']:.0f} px"
        if pixels["min"] < pixels["max"]
        else f"{side} {pixels['min']:.0f} px"
        for side, pixels in sizes.items()
    )


def _table(rows: Sequence[Row], text_columns: int = 1) -> str:
    """Align columns: the first ones, which hold text, to the left and all others to the right."""
    cells = [[cell if isinstance(cell, str) else f"{cell:,}" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if index < text_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )
    return "\n".join(f"  {line.rstrip()}" for line in lines)
