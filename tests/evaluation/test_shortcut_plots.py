import numpy as np
import pytest
from fake_reports import METRICS, altered, changed, interval, shortcut_audit
from matplotlib import pyplot as plt

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation import wording
from keras_pneumo.evaluation.shortcut_plots import plot_shortcuts

BLUE, RED, DARK = "#2a78b5", "#d1495b", "#262626"


@pytest.fixture
def audit():
    return shortcut_audit(
        split="test",
        images=1234,
        patients=567,
        threshold=0.5,
        unaltered=dict.fromkeys(METRICS, interval(0.9321, 0.9012, 0.9654)),
        rows=[
            altered("Border black", changed(-0.4, -0.5, -0.3), changed(-1.0), changed(0.0)),
            altered("Centre black", changed(0.01, -0.02, 0.05), changed(None), changed(0.0)),
            altered(
                "Rotated",
                *(changed(-0.1, -0.2, 0), changed(0.2, 0.1, 0.3), changed(-0.3)),
                group="Geometry",
            ),
        ],
    )


def points(axes):
    """The change, the colour, the marker and whether it is full, from the top."""
    lines = [line for line in axes.lines if line.get_marker() in ("o", "x")]
    lines.sort(key=lambda line: line.get_ydata()[0])
    return [
        (
            line.get_xdata()[0],
            line.get_color(),
            line.get_marker(),
            line.get_markerfacecolor() == line.get_color(),
        )
        for line in lines
    ]


def intervals(axes):
    return [
        tuple(line.get_xdata())
        for line in axes.lines
        if line.get_color() != "#8c8c8c" and len(line.get_xdata()) == 2
    ]


def test_every_change_is_a_point_marked_by_its_interval(audit):
    left, right = plot_shortcuts(audit).axes
    assert points(left) == [
        (-0.4, DARK, "o", True),
        (0.01, DARK, "o", False),
        (-0.1, DARK, "o", False),
    ]
    assert points(right) == [
        (-1.0, BLUE, "x", True),
        (0.0, RED, "o", False),
        (0.0, RED, "o", False),
        (0.2, BLUE, "o", True),
        (-0.3, RED, "x", True),
    ]
    assert intervals(left) == [(-0.5, -0.3), (-0.02, 0.05), (-0.2, 0)]
    assert intervals(right) == [(0.1, 0.3)]


def test_rows_are_named_under_their_groups_and_points_lie_on_them(audit):
    left, _ = plot_shortcuts(audit).axes
    labels = left.get_yticklabels()
    assert [label.get_text() for label in labels] == [
        *("Occlusion", "Border black", "Centre black"),
        *("Geometry", "Rotated"),
    ]
    assert [label.get_fontweight() for label in labels] == [
        *("bold", "normal", "normal"),
        *("bold", "normal"),
    ]
    heights = sorted(line.get_ydata()[0] for line in left.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(heights, left.get_yticks()[[1, 2, 4]])
    assert left.yaxis_inverted()


def test_unaltered_values_and_counts_are_written(audit):
    audit["unaltered"] = {**audit["unaltered"], "recall": dict.fromkeys(("value", "low", "high"))}
    figure = plot_shortcuts(audit)
    written = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sorted(written) == [
        f"AUC 0.932 ({wording.interval(0.9012, 0.9654)})",
        "sensitivity undefined",
        f"specificity 0.932 ({wording.interval(0.9012, 0.9654)})",
    ]
    (legend,) = figure.legends
    assert "1,234 images of 567 patients" in legend.get_title().get_text()
    assert "test" in figure.get_suptitle()


def test_small_changes_do_not_fill_the_panel(audit):
    audit["rows"] = audit["rows"][:1]
    audit["rows"][0]["metrics"] = dict.fromkeys(METRICS, changed(0.001, 0.0005, 0.002))
    for axes in plot_shortcuts(audit).axes:
        low, high = axes.get_xlim()
        assert low <= -0.02
        assert high >= 0.02


def test_an_audit_without_rows_is_refused(audit):
    with pytest.raises(SettingsError, match="without rows"):
        plot_shortcuts({**audit, "rows": []})


def test_drawing_leaves_no_figure_behind(audit):
    before = plt.get_fignums()
    plot_shortcuts(audit)
    assert plt.get_fignums() == before
