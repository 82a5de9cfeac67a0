"""Pictures of what a collection holds."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from keras_pneumo.data.audit import Audit, by_split
from keras_pneumo.data.integrity import Measured
from keras_pneumo.data.layout import CLASS_NAMES, Record
from keras_pneumo.errors import DataError
from keras_pneumo.files import replacing

COLORS = {"NORMAL": "#2a78b5", "PNEUMONIA": "#d1495b"}

_KINDS = {
    ("NORMAL", "none"): ("NORMAL", COLORS["NORMAL"]),
    ("PNEUMONIA", "bacteria"): ("PNEUMONIA, bacteria", COLORS["PNEUMONIA"]),
    ("PNEUMONIA", "virus"): ("PNEUMONIA, virus", "#e8929d"),
    ("PNEUMONIA", "unknown"): ("PNEUMONIA, unknown", "#f3c9ce"),
}
_DARK, _GREY = "#262626", "#8c8c8c"
_SAMPLES_IN_A_ROW = 6


def draw_audit(audit: Audit, directory: str | Path, *, seed: int = 0) -> list[Path]:
    """Draw the pictures of an audit as PNG files.

    ``distribution.png``: classes and aetiologies in each split. ``image_sizes.png``: width against
    height. ``mean_grey.png``: the mean grey level of the images of each class, by split.
    ``samples.png``: some images of each class and aetiology.

    Args:
        audit: The audit.
        directory: The folder to write to; it is made if it is missing. Files of these names in it
            are replaced.
        seed: Another seed shows other samples.

    Returns:
        The paths of the files.

    Raises:
        DataError: No image is readable.
    """
    files = audit.readable
    if not files:
        raise DataError(
            "There must be a readable image to draw. Found none among the "
            f"{len(audit.files):,} files of {audit.collection.root}. "
            "See what the audit left out, and why."
        )
    figures = {
        "distribution.png": plot_distribution([file.record for file in files]),
        "image_sizes.png": plot_sizes(files),
        "mean_grey.png": plot_mean_grey(files),
        "samples.png": plot_samples([file.record for file in files], seed=seed),
    }
    paths = [Path(directory) / name for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=144)
    return paths


def plot_distribution(records: list[Record]) -> Figure:
    """Draw one bar per split, divided into NORMAL and the aetiologies of PNEUMONIA.

    Args:
        records: The records to count.

    Returns:
        A figure with one pair of axes.
    """
    splits = _panels(records)
    figure = Figure(figsize=(8, 1.9 + 0.6 * len(splits)), layout="constrained")
    axes = figure.subplots()
    start = np.zeros(len(splits))
    for kind, (name, color) in _KINDS.items():
        counts = [
            sum((record.label, record.aetiology) == kind for record in part)
            for part in splits.values()
        ]
        if not any(counts):
            continue
        shares = 100 * np.array(counts) / [len(part) for part in splits.values()]
        bars = axes.barh(range(len(splits)), shares, 0.72, start, label=name, color=color)
        texts = [
            f"{count:,}\n{share:.1f} %" if share > 6 else ""
            for count, share in zip(counts, shares, strict=True)
        ]
        ink = "white" if color in COLORS.values() else _DARK
        axes.bar_label(bars, texts, label_type="center", color=ink, fontsize=9)
        start += shares
    names = [f"{name}\n{len(part):,} images" for name, part in splits.items()]
    axes.set_yticks(range(len(splits)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the images, %")
    axes.tick_params(left=False)
    axes.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    figure.suptitle("Classes and aetiologies", x=0.01, ha="left")
    _plain(axes, hide=("left",))
    return figure


def plot_sizes(files: list[Measured]) -> Figure:
    """Draw the width of the images against their height.

    Args:
        files: The measured images.

    Returns:
        A figure with one pair of axes; the area of a dot grows with the images of that size.
    """
    figure = Figure(figsize=(6.5, 6), layout="constrained")
    axes = figure.subplots()
    sizes = Counter((file.width, file.height) for file in files)
    for label in CLASS_NAMES:
        of_class = Counter(
            (file.width, file.height) for file in files if file.record.label == label
        )
        if not of_class:
            continue
        width, height = np.array(list(of_class)).T
        area = 12 * np.sqrt(list(of_class.values()))
        top = 2 + (label == "NORMAL")  # the smaller class, which would be hidden otherwise
        axes.scatter(width, height, area, COLORS[label], alpha=0.4, linewidths=0, zorder=top)
        axes.scatter([], [], 40, COLORS[label], label=f"{label} ({of_class.total():,} images)")
    largest = 1.08 * max(max(size) for size in sizes)
    axes.plot([0, largest], [0, largest], color="#d9d9d9", linewidth=1, zorder=0)
    note: dict[str, Any] = {
        "color": _GREY,
        "fontsize": 9,
        "rotation": 45,
        "rotation_mode": "anchor",
    }
    axes.text(0.06 * largest, 0.075 * largest, "width = height", **note)
    axes.set(xlim=(0, largest), ylim=(0, largest), aspect="equal")
    axes.set(xlabel="width, pixels", ylabel="height, pixels")
    axes.legend(frameon=False, loc="upper left")
    if len(sizes) == 1:
        [(width, height)] = sizes
        title = f"All {len(files):,} images are {width} × {height} pixels"
    else:
        title = f"{len(sizes):,} different sizes among {len(files):,} images"
    axes.set_title(title, loc="left")
    _plain(axes)
    return figure


def plot_mean_grey(files: list[Measured]) -> Figure:
    """Draw how bright the images of each class are, in each split.

    Args:
        files: The measured images.

    Returns:
        A figure with one pair of axes for each split: the distribution of the images' mean grey
        levels, with their median.
    """
    mean_of = {file.record.filename: file.mean for file in files}
    splits = _panels([file.record for file in files])
    figure = Figure(figsize=(8, 0.8 + 2.1 * len(splits)), layout="constrained")
    panels = figure.subplots(len(splits), sharex=True, sharey=True, squeeze=False)[:, 0]
    edges = np.linspace(0, 255, 52)
    for axes, (split, part) in zip(panels, splits.items(), strict=True):
        for label in CLASS_NAMES:
            means = [mean_of[record.filename] for record in part if record.label == label]
            if not means:
                continue
            weights = np.full(len(means), 100 / len(means))
            name = f"{label} ({len(means):,}), median {np.median(means):.0f}"
            style = {"color": COLORS[label], "histtype": "stepfilled", "alpha": 0.45}
            axes.hist(means, edges, weights=weights, label=name, **style)
            axes.axvline(np.median(means), color=COLORS[label], linewidth=1.5)
        axes.set_title(split, loc="left", fontsize=10)
        axes.set(ylabel="images, %", xlim=(0, 255))
        axes.legend(frameon=False, fontsize=9, loc="upper left")
        _plain(axes)
    panels[-1].set_xlabel("mean grey level of an image, 0 black to 255 white")
    figure.suptitle("Brightness by class", x=0.01, ha="left")
    return figure


def plot_samples(records: list[Record], *, seed: int = 0) -> Figure:
    """Draw some images of each class and aetiology, undistorted.

    Args:
        records: The records to choose from, each of a readable file.
        seed: Another seed chooses other images.

    Returns:
        A figure with one row for NORMAL and one for each aetiology of PNEUMONIA that is there.
    """
    rows = {kind: [one for one in records if (one.label, one.aetiology) == kind] for kind in _KINDS}
    rows = {kind: found for kind, found in rows.items() if found}
    figure = Figure(figsize=(9, 0.1 + 1.98 * len(rows)), layout="constrained")
    chooser = random.Random(seed)
    parts = figure.subfigures(len(rows), squeeze=False)[:, 0]
    for part, (kind, found) in zip(parts, rows.items(), strict=True):
        chosen = chooser.sample(found, min(_SAMPLES_IN_A_ROW, len(found)))
        title = f"{_KINDS[kind][0]}: {len(chosen)} of {len(found):,} images"
        part.suptitle(title, x=0.005, ha="left", color=COLORS[kind[0]], fontsize=11)
        panels = part.subplots(1, _SAMPLES_IN_A_ROW)
        for axes in panels:
            axes.axis("off")
        for axes, record in zip(panels, chosen, strict=False):
            axes.imshow(_thumbnail(record.path), cmap="gray", vmin=0, vmax=255)
            axes.text(0, -0.03, record.path.stem, transform=axes.transAxes, va="top", fontsize=6)
    return figure


def _thumbnail(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.draft("L", (300, 300))
        grey = image.convert("L")
    grey.thumbnail((300, 300))
    return np.asarray(grey)


def _panels(records: list[Record]) -> dict[str, list[Record]]:
    """The splits, or all records as one where there are no splits."""
    parts = by_split(records)
    return {name: part for name, part in parts.items() if name != "all"} or parts


def _plain(axes: Axes, hide: tuple[str, ...] = ()) -> None:
    axes.spines[["top", "right", *hide]].set_visible(False)
    axes.set_axisbelow(True)
