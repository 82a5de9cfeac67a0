import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_pneumo import EvaluationReport, predict_files
from keras_pneumo.lungs.segment import segment_lungs

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def prepared_by_tfds_in(tmp_path, monkeypatch):
    # The examples leave TFDS its own folder, which is the user's.
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "tfds"))


@pytest.fixture
def files(tmp_path):
    """Images of the models' own size, so that nothing but the pixels makes a score."""
    paths = [tmp_path / f"{grey}.jpeg" for grey in (30, 120, 220)]
    for path in paths:
        Image.new("L", (32, 32), int(path.stem)).save(path)
    return [str(path) for path in paths]


@pytest.mark.slow
def test_quickstart(quickstart_run, phantoms):
    output = quickstart_run.directory
    *_, printed = output.with_suffix(".txt").read_text().splitlines()
    file = next(phantoms.rglob("test/PNEUMONIA/*.jpeg"))
    (expected,) = predict_files(quickstart_run.model, [file])
    assert printed.split()[:2] == [str(file), expected.label]
    assert float(printed.split()[2]) == pytest.approx(expected.probability, abs=1e-5)
    again = EvaluationReport.load(output / "again").predictions["test"]
    of_training = quickstart_run.report.predictions["test"]
    np.testing.assert_array_equal(again.filename, of_training.filename)
    np.testing.assert_allclose(again.y_score, of_training.y_score, atol=1e-5)
    assert np.ptp(again.y_score) > 1e-3


def test_a_probe_of_features_tells_what_can_be_told(tmp_path):
    # A class is a brightness, with noise that a permuted label would have to be found in.
    rng = np.random.default_rng(0)
    for name, grey in (("NORMAL", 60), ("PNEUMONIA", 180)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(30):
            pixels = rng.normal(grey, 20, (32, 32)).clip(0, 255).astype("uint8")
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    assert load("extract_features").main(str(tmp_path / "data"), None, (32, 32)) == 1


def test_load_with_keras_agrees_with_the_model_and_needs_nothing_of_it(
    finished_run, files, monkeypatch, capsys
):
    expected = list(predict_files(finished_run.model, files))
    example, folder = load("load_with_keras"), str(finished_run.directory / "model")
    monkeypatch.setitem(sys.modules, "keras_pneumo", None)  # importing it fails
    scores = [example.main(folder, file) for file in files]
    np.testing.assert_allclose(scores, [of.probability for of in expected], atol=1e-5)
    assert np.ptp(scores) > 0.01
    assert capsys.readouterr().out.splitlines() == [
        f"{of.label}, probability of PNEUMONIA {of.probability:.3f}" for of in expected
    ]


@pytest.mark.slow
def test_what_one_example_publishes_the_other_loads(
    hub, quickstart_run, files, monkeypatch, capsys
):
    monkeypatch.setenv("HF_TOKEN", "hf_ada")
    load("publish").main(str(quickstart_run.directory), "ada/pneumonia", "v1")
    assert hub.url in capsys.readouterr().out
    load("load_from_hub").main("ada/pneumonia", "v1", files)
    about, *printed = capsys.readouterr().out.splitlines()
    model = quickstart_run.model
    assert about.endswith(f"a probability of {model.threshold:.3f}")
    expected = list(predict_files(model, files))
    assert [line.split()[:2] for line in printed] == [[of.file, of.label] for of in expected]
    scores = [float(line.split()[2]) for line in printed]
    np.testing.assert_allclose(scores, [of.probability for of in expected], atol=1e-5)
    assert np.ptp(scores) > 1e-3


def test_any_model_is_evaluated_without_keras(tmp_path):
    script = """
import sys
sys.modules["keras"] = sys.modules["tensorflow"] = None  # as where they are not installed
sys.path.insert(0, sys.argv[1])
import evaluate_any_model
report = evaluate_any_model.main(sys.argv[2])
assert report.metrics()["splits"]["test"]["metrics"]["roc_auc"] > 0.9
"""
    output = tmp_path / "report"
    command = [sys.executable, "-c", script, str(EXAMPLES), str(output)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "roc_auc" in done.stdout
    assert (output / "report.html").exists()


def test_the_lungs_are_outlined_and_boxed(phantoms, tmp_path):
    files = sorted(map(str, (phantoms / "test" / "NORMAL").iterdir()))[:2]
    (tmp_path / "bad.png").write_bytes(b"no image")
    picture = tmp_path / "lungs.png"
    figure = load("outline_lungs").main(str(picture), [*files, str(tmp_path / "bad.png")])
    assert picture.stat().st_size > 10_000
    for axes, found in zip(figure.axes, segment_lungs(files), strict=False):
        (outline,), (frame,) = axes.collections, axes.patches
        width, height = axes.images[0].get_size()[::-1]
        left, top, right, bottom = found.box
        box = np.array([left * width, top * height, right * width, bottom * height])
        np.testing.assert_allclose(frame.get_bbox().extents, box)
        # The outline lies in the box, and reaches it to a pixel of the mask on every side.
        corners = np.concatenate([path.vertices for path in outline.get_paths()])
        reached = np.concatenate([corners.min(0), corners.max(0)])
        assert np.abs(reached - box).max() <= max(width, height) / 112
    assert "bad.png" in figure.axes[2].get_title()


def test_the_bootstrap_is_timed(capsys):
    (seconds,) = load("time_bootstrap").main(None, resamples=20, runs=1).values()
    assert capsys.readouterr().out == (
        f"synthetic: 17 metrics of 624 images, 404 patients, 20 resamples: {seconds:.2f} s\n"
    )


def test_every_example_is_tested_here():
    tested = {
        "evaluate_any_model",
        "extract_features",
        "load_from_hub",
        "load_with_keras",
        "outline_lungs",
        "publish",
        "quickstart",
        "time_bootstrap",
    }
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested
