"""A record of a benchmark as bars."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from keras_pneumo.evaluation.style import DARK, LIGHT, MIDDLE, despine, new_figure


def draw(record: Mapping[str, Any]) -> Figure:
    """Draw a bar for each variant, with its range, and how many times better it does."""
    variants = record["variants"]
    title = f"{record['unit'][0].upper()}{record['unit'][1:]}, {record['better']} is better"
    figure = new_figure(7.2, 1.0 + 0.42 * len(variants), title)
    axes = figure.subplots()
    names = [one["name"] for one in variants]
    medians = [one["median"] for one in variants]
    colors = [DARK if name == record["of"] else LIGHT for name in names]
    axes.barh(names, medians, color=colors, height=0.62)
    if record["repetitions"] > 1:
        below = [one["median"] - one["min"] for one in variants]
        above = [one["max"] - one["median"] for one in variants]
        axes.errorbar(medians, names, xerr=(below, above), ecolor=MIDDLE, capsize=2, fmt="none")
    for row, one in enumerate(variants):
        text = f"{one['median']:,.3g}" if one["median"] < 100 else f"{one['median']:,.0f}"
        if one["name"] != record["over"]:
            text += f"   {one['speedup']:.2f} ×"
        axes.annotate(
            text, (one["max"], row), (6, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
    axes.tick_params(left=False)
    despine(axes)
    return figure
