import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.metrics import brier_score_loss

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.calibration import scale_temperature
from keras_pneumo.evaluation.calibration_plots import plot_reliability
from keras_pneumo.evaluation.decision import net_benefit
from keras_pneumo.evaluation.decision_plots import plot_decision_curve
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.reliability import reliability
from keras_pneumo.evaluation.thresholds import Threshold

THRESHOLD = Threshold(0.4, "youden", "validation")

both = pytest.mark.parametrize(
    "plot", [plot_reliability, lambda given: plot_decision_curve(given, THRESHOLD)]
)


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def line(axes, start):
    (found,) = (line for line in axes.lines if line.get_label().startswith(start))
    return found


def test_reliability_shows_the_bins_and_how_many_images_are_in_each(predictions):
    figure = plot_reliability(predictions)
    assert len(figure.axes) == 4
    for (split, found), diagram, counts in zip(
        predictions.items(), figure.axes[::2], figure.axes[1::2], strict=True
    ):
        expected = reliability(found.y_true, found.y_score)
        points = line(diagram, "model")
        np.testing.assert_allclose(points.get_xydata(), np.c_[expected[0], expected[1]])
        assert diagram.get_legend().get_title().get_text() == f"{split}: 30 images, 15 patients"
        brier = brier_score_loss(found.y_true, found.y_score)
        assert f"Brier {brier:.3f}" in points.get_label()
        heights = [int(bar.get_height()) for bar in counts.patches]
        np.testing.assert_array_equal([n for n in heights if n], expected.images)
        assert [text.get_text() for text in counts.texts] == [str(n) if n else "" for n in heights]


def test_reliability_after_a_temperature_shows_what_was_before_it(predictions):
    found = predictions["test"]
    after = Predictions(
        found.y_true, scale_temperature(found.y_score, 2.0), found.patient_id, found.filename
    )
    diagram = plot_reliability({"test": after}, temperature=2.0).axes[0]
    alone = plot_reliability({"test": found}).axes[0]
    before = line(diagram, "before calibration")
    np.testing.assert_allclose(before.get_xydata(), line(alone, "model").get_xydata())
    numbers = line(alone, "model").get_label().partition(": ")[2]
    assert legend(diagram)[1] == f"before calibration: {numbers}"
    assert legend(diagram)[2].startswith("calibrated, T = 2: ECE ")
    assert len(legend(alone)) == 2


def test_scores_of_exactly_zero_and_one_lie_in_the_outer_bins():
    found = Predictions([0, 1], [0.0, 1.0], ["a", "b"], ["1", "2"])
    counts = plot_reliability({"test": found}, temperature=2.0).axes[1]
    assert [bar.get_height() for bar in counts.patches] == [1] + [0] * 13 + [1]


@pytest.mark.parametrize("temperature", [0, -1, float("nan")])
def test_reliability_refuses_what_is_no_temperature(predictions, temperature):
    with pytest.raises(SettingsError, match="finite number above 0"):
        plot_reliability(predictions, temperature)


def test_decision_curve_shows_the_model_its_alternatives_and_the_operating_point(predictions):
    figure = plot_decision_curve(predictions, THRESHOLD)
    assert len(figure.axes) == 2
    for (split, found), axes in zip(predictions.items(), figure.axes, strict=True):
        assert axes.get_title("left") == f"{split}: 30 images, 15 patients, 60% PNEUMONIA"
        x, y = line(axes, "called by the model").get_data()
        np.testing.assert_allclose(y, net_benefit(found.y_true, found.y_score, x))
        x, y = line(axes, "all called PNEUMONIA").get_data()
        np.testing.assert_allclose(y, 0.6 - 0.4 * x / (1 - x), atol=1e-12)
        assert set(line(axes, "none called so").get_ydata()) == {0}
        worth = net_benefit(found.y_true, found.y_score, [0.4])
        point = line(axes, "at threshold 0.4")
        assert point.get_xydata().tolist() == [[0.4, *worth]]
        assert [text.get_text() for text in axes.texts] == [f"{worth[0]:.3f}"]


def test_decision_curve_leaves_out_what_lies_far_below_zero_but_says_it():
    y_true, y_score = [0] * 9 + [1], [0.9] * 10
    found = Predictions(y_true, y_score, list("abcdefghij"), list("0123456789"))
    (axes,) = plot_decision_curve({"test": found}, THRESHOLD).axes
    low, high = axes.get_ylim()
    assert -0.1 < low < 0 < 0.1 < high < 0.2
    assert [text.get_text() for text in axes.texts] == ["−0.500"]


def test_decision_curve_has_no_operating_point_at_a_threshold_of_one(predictions):
    figure = plot_decision_curve(predictions, Threshold(1.0, "fixed=1", "none"))
    assert len(line(figure.axes[0], "at threshold").get_xdata()) == 0
    figure.draw_without_rendering()


@pytest.mark.parametrize(("n_normal", "n_pneumonia"), [(0, 18), (12, 0), (1, 0)])
@both
def test_one_class_alone_can_be_drawn(plot, make_predictions, n_normal, n_pneumonia):
    plot({"test": make_predictions(n_normal, n_pneumonia)}).draw_without_rendering()


@both
def test_three_splits_have_panels_one_above_the_other(plot, make_predictions):
    figure = plot({f"fold {i}": make_predictions(seed=i) for i in range(3)})
    figure.draw_without_rendering()
    lower_ends = [axes.get_position().y0 for axes in figure.axes]
    assert lower_ends == sorted(lower_ends, reverse=True)


@both
def test_nothing_cannot_be_drawn(plot):
    with pytest.raises(PredictionsError, match="one split or more"):
        plot({})


@both
def test_drawing_leaves_no_global_trace(plot, predictions):
    plot(predictions)
    assert plt.get_fignums() == []
