"""A picture of what changes when radiographs are altered."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.style import COLORS, DARK, LIGHT, MIDDLE, new_figure, note
from keras_pneumo.evaluation.wording import interval, number, percent, plural

_PANELS = (
    {"roc_auc": ("AUC", DARK)},
    {
        "specificity": ("specificity", COLORS["NORMAL"]),
        "recall": ("sensitivity", COLORS["PNEUMONIA"]),
    },
)
_MARKS: Mapping[str, Mapping[str, Any]] = {
    "excludes 0": {"marker": "o", "markersize": 4.5},
    "includes 0": {"marker": "o", "markersize": 4.5, "markerfacecolor": "white"},
    "no interval": {"marker": "x", "markersize": 4.5},
}
# A panel reaches at least this far to both sides of 0, so that small changes look small.
_NARROWEST = 0.02

_Line = tuple[float, str, Mapping[str, Any] | None]  # place from the top, label, row of an audit


def plot_shortcuts(shortcuts: Mapping[str, Any]) -> Figure:
    """Draw how AUC, specificity and sensitivity change with each alteration of the images.

    A forest plot: a point per alteration with the interval of its change, which is paired, since
    both are of the same patients. A full point has an interval that excludes 0, a hollow one does
    not. A cross is a change without an interval, such as one that all patients share; a change that
    is not defined is not drawn.

    Args:
        shortcuts: What ``ShortcutAudit.to_dict`` of ``keras_pneumo.inspection`` returns.

    Returns:
        A figure with two pairs of axes that share their rows, one per alteration: on the left the
        change of the AUC, on the right those of specificity and sensitivity.

    Raises:
        SettingsError: There is no row.

    Examples:
        >>> known = {"value": 0.8, "low": 0.7, "high": 0.9}
        >>> metrics = dict.fromkeys(("roc_auc", "specificity", "recall"), known)
        >>> change = {**known, "change": -0.1, "change_low": -0.2, "change_high": -0.05}
        >>> altered = dict.fromkeys(metrics, change)
        >>> row = {"group": "Occlusion", "name": "black", "title": "Black", "metrics": altered}
        >>> audit = {"split": "test", "images": 40, "patients": 20, "level": 0.95}
        >>> figure = plot_shortcuts({**audit, "unaltered": metrics, "rows": [row]})
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['Occlusion', 'Black']
    """
    if not shortcuts["rows"]:
        raise SettingsError(
            "There must be an alteration to draw. Received an audit without rows. "
            "Make one with `measure_shortcuts`."
        )
    lines = list(_layout(shortcuts["rows"]))
    title = f"Change when images are altered: {shortcuts['split']}"
    figure = new_figure(5.6, 0.215 * lines[-1][0] + 2.2, title)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, metrics in zip(panels, _PANELS, strict=True):
        axes.axvline(0, color=MIDDLE, linewidth=1)
        for index, (name, (_, color)) in enumerate(metrics.items()):
            shift = 0.34 * (index - (len(metrics) - 1) / 2)
            for place, _, row in lines:
                if row:
                    _draw_change(axes, place + shift, row["metrics"][name], color)
        _write_unaltered(axes, metrics, shortcuts["unaltered"])
        _settle(axes)
    _name_rows(panels[0], lines)
    _add_legend(figure, shortcuts)
    return figure


def _layout(rows: Sequence[Mapping[str, Any]]) -> Iterator[_Line]:
    """Give each heading and each row its place from the top, headings with some room above."""
    place = -0.5
    for group, members in groupby(rows, key=lambda row: row["group"]):
        place += 0.5
        yield place, group, None
        for row in members:
            place += 1
            yield place, row["title"], row
        place += 1


def _draw_change(axes: Axes, place: float, found: Mapping[str, Any], color: str) -> None:
    change, low, high = found["change"], found["change_low"], found["change_high"]
    if change is None:
        return
    if low is None or high is None:
        kind = "no interval" if change else "includes 0"
    else:
        kind = "excludes 0" if low > 0 or high < 0 else "includes 0"
        axes.plot([low, high], [place, place], color=color, linewidth=1.4, solid_capstyle="butt")
    axes.plot(change, place, color=color, **_MARKS[kind])


def _write_unaltered(
    axes: Axes, metrics: Mapping[str, tuple[str, str]], unaltered: Mapping[str, Mapping[str, Any]]
) -> None:
    for level, (name, (title, color)) in enumerate(reversed(list(metrics.items()))):
        found = unaltered[name]
        value = "undefined" if found["value"] is None else number(found["value"], 3)
        span = interval(found["low"], found["high"])
        text = f"{title} {value}" + (f" ({span})" if span else "")
        note(axes, text, 0, 1, (0, 4 + 13 * level), color, fontsize=8.5, xycoords="axes fraction")


def _add_legend(figure: Figure, shortcuts: Mapping[str, Any]) -> None:
    marks = [
        Line2D([], [], color=DARK, linestyle="", label=kind, **mark)
        for kind, mark in _MARKS.items()
    ]
    size = f"{plural(shortcuts['images'], 'image')} of {plural(shortcuts['patients'], 'patient')}"
    title = f"{size}\non top: unaltered; points: change, {percent(shortcuts['level'])} interval"
    where: dict[str, Any] = {"loc": "outside lower center", "ncols": 3, "frameon": False}
    figure.legend(handles=marks, title=title, fontsize=9, title_fontsize=9, **where)


def _settle(axes: Axes) -> None:
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -_NARROWEST), max(high, _NARROWEST))
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:+.3g}".replace("-", "−") if x else "0")
    axes.tick_params(labelsize=9)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _name_rows(axes: Axes, lines: Sequence[_Line]) -> None:
    axes.set_yticks([place for place, _, _ in lines], [label for _, label, _ in lines])
    for text, (_, _, row) in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_fontweight("normal" if row else "bold")
    axes.set_ylim(lines[-1][0] + 0.7, -0.7)
