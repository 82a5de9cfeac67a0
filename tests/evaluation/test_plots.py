import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib import rcParams
from sklearn.metrics import roc_curve

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.metrics import binary_metrics
from keras_pneumo.evaluation.plots import (
    plot_confusion_matrix,
    plot_precision_recall,
    plot_roc,
    plot_scores,
    plot_training_curves,
)
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.thresholds import Threshold

THRESHOLD = Threshold(0.4, "youden", "validation")
OF_PREDICTIONS = [plot_roc, plot_precision_recall, plot_confusion_matrix, plot_scores]


def labelled_lines(axes):
    return {line.get_label().split(":")[0]: line for line in axes.lines if ":" in line.get_label()}


def markers(axes):
    points = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    return [(point.get_xdata()[0], point.get_ydata()[0]) for point in points]


def test_roc_shows_the_curve_and_the_operating_point_of_each_split(predictions):
    (axes,) = plot_roc(predictions, THRESHOLD).axes
    lines = labelled_lines(axes)
    assert list(lines) == ["operating point", "validation", "test"]
    for split, found in predictions.items():
        metrics = binary_metrics(found.y_true, found.y_score, 0.4)
        x, y, _ = roc_curve(found.y_true, found.y_score)
        np.testing.assert_allclose(lines[split].get_xydata(), np.c_[x, y])
        assert f"AUC {metrics['roc_auc']:.4f}" in lines[split].get_label()
        assert "30 images, 15 patients" in lines[split].get_label()
        assert (1 - metrics["specificity"], metrics["recall"]) in markers(axes)


def test_precision_recall_shows_curve_operating_point_and_prevalence(predictions):
    (axes,) = plot_precision_recall(predictions, THRESHOLD).axes
    lines = labelled_lines(axes)
    for split, found in predictions.items():
        metrics = binary_metrics(found.y_true, found.y_score, 0.4)
        assert f"average precision {metrics['average_precision']:.4f}" in lines[split].get_label()
        assert (metrics["recall"], metrics["precision"]) in markers(axes)
    assert [text.get_text() for text in axes.texts] == [
        "60% of validation are PNEUMONIA",
        "60% of test are PNEUMONIA",
    ]


def test_confusion_matrix_shows_counts_and_shares_of_each_split(predictions):
    figure = plot_confusion_matrix(predictions, THRESHOLD)
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == ["validation", "test"]
    found = predictions["test"]
    tp = int(((found.y_score >= 0.4) & (found.y_true == 1)).sum())
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert len(texts) == 4
    assert texts[3] == f"{tp}\n{tp / 18:.1%}"


def test_scores_show_every_image_once_and_the_threshold(predictions):
    figure = plot_scores(predictions, THRESHOLD)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert sum(patch.get_height() for patch in axes.patches) == 30
        assert list(axes.lines[0].get_xdata()) == [0.4, 0.4]
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == ["12 NORMAL", "18 PNEUMONIA"]


def test_scores_of_exactly_zero_and_one_are_shown():
    found = Predictions([0, 1], [0.0, 1.0], ["a", "b"], ["1", "2"])
    (axes,) = plot_scores({"test": found}, THRESHOLD).axes
    assert sum(patch.get_height() for patch in axes.patches) == 2


@pytest.mark.parametrize("plot", OF_PREDICTIONS)
def test_three_splits_can_be_drawn(plot, make_predictions):
    figure = plot({f"fold {i}": make_predictions(seed=i) for i in range(3)}, THRESHOLD)
    assert len(figure.axes) == (1 if plot in OF_PREDICTIONS[:2] else 3)
    figure.draw_without_rendering()


@pytest.mark.parametrize("plot", OF_PREDICTIONS)
def test_one_class_alone_can_be_drawn_and_is_said(plot, make_predictions):
    figure = plot({"test": make_predictions(n_normal=0)}, THRESHOLD)
    figure.draw_without_rendering()
    if plot in OF_PREDICTIONS[:2]:
        assert "undefined (one class only)" in figure.axes[0].get_legend().get_texts()[1].get_text()


@pytest.mark.parametrize("plot", OF_PREDICTIONS)
def test_nothing_cannot_be_drawn(plot):
    with pytest.raises(PredictionsError, match="one split or more"):
        plot({}, THRESHOLD)


@pytest.fixture
def history():
    return {
        "phase": ["head", "head", "fine_tune", "fine_tune", "fine_tune"],
        "epoch": [1, 2, 3, 4, 5],
        "loss": [0.9, 0.7, 0.5, 0.4, 0.3],
        "val_loss": [0.8, 0.7, 0.6, 0.5, 0.55],
        "accuracy": [0.6, 0.7, 0.8, 0.85, 0.9],
        "val_accuracy": [0.6, 0.7, 0.75, 0.8, 0.8],
        "auc": [0.6, 0.7, 0.8, 0.9, 0.95],
        "val_auc": [0.6, 0.7, 0.8, 0.9, 0.9],
        "learning_rate": [1e-3] * 5,
    }


def test_training_curves_show_both_phases_and_the_best_epoch(history):
    figure = plot_training_curves(history)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "AUC"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["head", "fine-tuning"]
    for axes, name in zip(figure.axes, ("loss", "accuracy", "auc"), strict=True):
        train, validation, best, boundary = axes.lines
        assert train.get_linestyle() == "--"
        assert list(train.get_ydata()) == history[name]
        assert validation.get_linestyle() == "-"
        assert list(validation.get_ydata()) == history[f"val_{name}"]
        # Epochs 4 and 5 tie in val_auc; 4 has the lower val_loss.
        assert best.get_xydata().tolist() == [[4, history[f"val_{name}"][3]]]
        assert list(boundary.get_xdata()) == [2.5, 2.5]


def test_training_curves_of_one_phase_have_no_boundary(history):
    figure = plot_training_curves({name: column[:1] for name, column in history.items()})
    assert [text.get_text() for text in figure.axes[0].texts] == ["head"]
    assert len(figure.axes[0].lines) == 3
    figure.draw_without_rendering()


@pytest.mark.parametrize("change", [{"val_auc": []}, {"loss": [0.1]}, {"phase": ()}])
def test_an_incomplete_history_is_refused(history, change):
    with pytest.raises(SettingsError, match=f"'{next(iter(change))}': "):
        plot_training_curves(history | change)


def test_drawing_leaves_no_global_trace(predictions, history):
    before = dict(rcParams)
    plot_roc(predictions, THRESHOLD)
    plot_training_curves(history)
    assert plt.get_fignums() == []
    assert dict(rcParams) == before
