import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from keras_pneumo import predict_files
from keras_pneumo.errors import OutputError, SettingsError
from keras_pneumo.inspection.explain_files import explain_files
from keras_pneumo.inspection.explanation_plots import draw_explanations
from keras_pneumo.inspection.gradcam import explain


@pytest.fixture
def files(radiographs, tmp_path):
    paths = [tmp_path / "a" / "one.jpeg", tmp_path / "b" / "one.png", tmp_path / "b" / "two.png"]
    for path, image in zip(paths, radiographs, strict=False):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return paths


def test_each_file_gets_a_picture_and_its_prediction(tiny_classifier, files, tmp_path):
    output = tmp_path / "out"
    found = explain_files(tiny_classifier, files, output)
    assert [one.picture for one in found] == ["one.png", "one_2.png", "two.png"]
    names = {path.name for path in output.iterdir()}
    assert names == {"explanations.json", "one.png", "one_2.png", "two.png"}
    for one, expected in zip(found, predict_files(tiny_classifier, files), strict=True):
        assert (one.file, one.label, one.threshold) == (expected.file, expected.label, 0.45)
        assert one.probability == pytest.approx(expected.probability, abs=1e-6)
        with Image.open(output / one.picture) as picture:
            assert min(picture.size) > 400


def test_the_explanations_can_be_read_by_a_program(tiny_classifier, files, tmp_path):
    found = explain_files(tiny_classifier, files[:1], tmp_path / "out")
    content = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert content["schema_version"] == 1
    assert content["explanations"] == [asdict(one) for one in found]


def test_one_unreadable_file_stops_nothing(tiny_classifier, files, tmp_path):
    paths = [tmp_path / "missing.png", files[2], tmp_path / "a"]
    found = explain_files(tiny_classifier, map(str, paths), tmp_path / "out")
    assert [one.file for one in found] == [str(path) for path in paths]
    assert [one.picture for one in found] == [None, "two.png", None]
    assert [one.probability is None for one in found] == [True, False, True]
    assert "missing.png" in found[0].error
    assert found[1].error is None


def test_only_a_folder_of_explanations_is_overwritten(tiny_classifier, files, tmp_path):
    explain_files(tiny_classifier, [], tmp_path / "out")
    with pytest.raises(OutputError, match="must not exist"):
        explain_files(tiny_classifier, files, tmp_path / "out")
    explain_files(tiny_classifier, files[:1], tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "one.png").exists()
    with pytest.raises(OutputError, match="same kind"):
        explain_files(tiny_classifier, files, tmp_path / "a", overwrite=True)
    assert files[0].exists()


def test_a_figure_says_of_each_image_what_it_is_called_and_what_it_is(tiny_classifier, radiographs):
    explanation = explain(tiny_classifier, radiographs[:2])
    low, high = np.sort(explanation.probability)
    threshold = float(low + high) / 2
    names = ["x" * 100 + "/first.png", "second.png"]
    figure = draw_explanations(radiographs[:2], explanation, threshold, names, [1, 0])
    assert len(figure.subfigs) == 3
    for part, probability, truth in zip(
        figure.subfigs, explanation.probability, ("PNEUMONIA", "NORMAL"), strict=False
    ):
        call = "PNEUMONIA" if probability >= threshold else "NORMAL"
        numbers = f"probability {probability:.3f}, threshold {threshold:.4g}"
        assert part.get_suptitle().split("\n")[1] == f"Called {call}: {numbers}. It is {truth}."
        assert [len(axes.images) for axes in part.axes] == [1, 2]
    first = figure.subfigs[0].get_suptitle().split("\n")[0]
    assert first.startswith("…x")
    assert first.endswith("x/first.png")
    figure.draw_without_rendering()


@pytest.mark.parametrize(("names", "y_true"), [(["a"], None), (["a", "b"], [0])])
def test_as_many_names_and_labels_as_images_are_needed(tiny_classifier, radiographs, names, y_true):
    explanation = explain(tiny_classifier, radiographs[:2])
    with pytest.raises(SettingsError, match=r"\[1, 2\]"):
        draw_explanations(radiographs[:2], explanation, 0.5, names, y_true)
