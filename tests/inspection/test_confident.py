import numpy as np
import pytest
from matplotlib import pyplot as plt

from keras_pneumo import load_splits
from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.inspection.confident import confident_examples, draw_confident
from keras_pneumo.inspection.gradcam import explain


def made(y_true, y_score, patients):
    return Predictions(y_true, y_score, patients, [f"{i}.png" for i in range(len(y_true))])


def test_each_cell_has_its_most_confident_images_first():
    found = made(
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0.1, 0.05, 0.6, 0.8, 0.7, 0.99, 0.3, 0.4],
        list("abcdefgh"),
    )
    chosen = confident_examples(found, threshold=0.5, n=3)
    assert {cell: positions.tolist() for cell, positions in chosen.items()} == {
        ("NORMAL", "NORMAL"): [1, 0],
        ("NORMAL", "PNEUMONIA"): [3, 2],
        ("PNEUMONIA", "PNEUMONIA"): [5, 4],
        ("PNEUMONIA", "NORMAL"): [6, 7],
    }


def test_a_score_at_the_threshold_is_called_pneumonia():
    chosen = confident_examples(made([1], [0.5], ["a"]), threshold=0.5)
    assert chosen["PNEUMONIA", "PNEUMONIA"].tolist() == [0]


def test_another_patient_is_preferred_to_a_more_confident_image_of_the_same():
    scores = [0.99, 0.98, 0.97, 0.6]
    found = made([1] * 4, scores, ["a", "a", "a", "b"])
    right = "PNEUMONIA", "PNEUMONIA"
    assert confident_examples(found, 0.5, n=2)[right].tolist() == [0, 3]
    # A patient is shown again rather than leaving a place empty, in the order of confidence.
    assert confident_examples(found, 0.5, n=3)[right].tolist() == [0, 1, 3]


@pytest.mark.parametrize("seed", range(5))
def test_no_image_left_out_is_more_confident_than_its_patients_chosen_one(seed):
    rng = np.random.default_rng(seed)
    found = made(rng.integers(0, 2, 60), rng.random(60), rng.integers(0, 12, 60).astype(str))
    for (truth, call), chosen in confident_examples(found, threshold=0.4, n=4).items():
        called = np.where(found.y_score >= 0.4, "PNEUMONIA", "NORMAL")
        names = np.array(["NORMAL", "PNEUMONIA"])[found.y_true]
        cell = np.flatnonzero((names == truth) & (called == call))
        assert set(chosen) <= set(cell)
        assert len(chosen) == min(4, len(cell))
        confidence = found.y_score if call == "PNEUMONIA" else -found.y_score
        assert (np.diff(confidence[chosen]) <= 0).all()
        patients = found.patient_id[chosen]
        assert len(set(patients)) == min(4, len(set(found.patient_id[cell])))
        for left_out in set(cell) - set(chosen):
            of_patient = confidence[chosen[patients == found.patient_id[left_out]]]
            best = of_patient.max() if len(of_patient) else confidence[chosen].min()
            assert confidence[left_out] <= best


@pytest.mark.parametrize(("threshold", "n"), [(0.5, 0), (1.5, 3)])
def test_bad_settings_are_refused(threshold, n):
    with pytest.raises(SettingsError, match="Received: "):
        confident_examples(made([1], [0.5], ["a"]), threshold, n)


@pytest.fixture(scope="module")
def splits(phantoms, prepared_dir):
    return load_splits(phantoms, (32, 48), 7, prepared_dir=prepared_dir)


@pytest.fixture(scope="module")
def predictions(splits):
    """Every NORMAL image is called so; the others go either way."""
    examples = splits.examples("test")
    scores = np.random.default_rng(0).random(len(examples)) * np.where(examples.label, 1, 0.4)
    return Predictions(examples.label, scores, examples.patient_id, examples.filename)


def test_each_example_is_drawn_above_the_same_image_under_its_map(
    tiny_classifier, splits, predictions
):
    figure = draw_confident(tiny_classifier, splits, "test", predictions)
    images = np.concatenate([batch for batch, _ in splits.test.as_numpy_iterator()])
    cells = confident_examples(predictions, tiny_classifier.threshold)
    assert [len(cell) for cell in cells.values()] == [3, 0, 3, 3]
    for part, positions in zip(figure.subfigs, cells.values(), strict=False):
        heatmaps = explain(tiny_classifier, images[positions]).heatmap if len(positions) else []
        above, below = part.axes[: len(positions)], part.axes[len(positions) :]
        for axes, under_map, position, heatmap in zip(
            above, below, positions, heatmaps, strict=True
        ):
            (drawn,), (beneath, colors) = axes.images, under_map.images
            np.testing.assert_array_equal(drawn.get_array(), images[position])
            np.testing.assert_array_equal(beneath.get_array(), images[position])
            shown = colors.get_array()[..., 3] / 0.7
            np.testing.assert_allclose(shown, heatmap, atol=1e-5)
            assert predictions.filename[position].split("/")[-1][:10] in axes.get_title()
            assert f"{predictions.y_score[position]:.3f}" in axes.get_title()


def test_each_cell_says_how_many_images_it_has(tiny_classifier, splits, predictions):
    figure = draw_confident(tiny_classifier, splits, "test", predictions, n=1)
    sick = predictions.y_score[predictions.y_true == 1]
    normal = int((predictions.y_true == 0).sum())
    found = int((sick >= tiny_classifier.threshold).sum())
    assert [part.get_suptitle() for part in figure.subfigs[:4]] == [
        f"NORMAL called NORMAL (right): {normal} of {normal} images",
        f"NORMAL called PNEUMONIA (wrong): none of {normal} images",
        f"PNEUMONIA called PNEUMONIA (right): {found} of {len(sick)} images",
        f"PNEUMONIA called NORMAL (wrong): {len(sick) - found} of {len(sick)} images",
    ]
    assert [len(part.axes) for part in figure.subfigs] == [2, 0, 2, 2, 1]
    figure.draw_without_rendering()
    assert plt.get_fignums() == []


def test_predictions_of_another_split_are_refused(tiny_classifier, splits, predictions):
    with pytest.raises(PredictionsError, match="'validation', in its order"):
        draw_confident(tiny_classifier, splits, "validation", predictions)
