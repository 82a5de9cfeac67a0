import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_quickstart(phantoms, small_settings, tmp_path, capsys):
    from dataclasses import replace

    settings = replace(small_settings, head_epochs=1, fine_tune_epochs=0)
    load("quickstart").main(str(phantoms), str(tmp_path / "run"), settings)
    assert (tmp_path / "run" / "again" / "report.html").exists()
    assert capsys.readouterr().out.splitlines()[-1].split()[1] in {"NORMAL", "PNEUMONIA"}


def test_extract_features(phantoms):
    assert 0 <= load("extract_features").main(str(phantoms), None, (32, 32)) <= 1


def test_load_with_keras_agrees_with_the_model(finished_run, phantoms):
    from keras_pneumo import predict_files

    folder = finished_run.directory / "model"
    file = str(phantoms / finished_run.report.predictions["test"].filename[0])
    command = [sys.executable, str(EXAMPLES / "load_with_keras.py"), str(folder), file]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (expected,) = predict_files(finished_run.model, [file])
    assert abs(float(done.stdout.split()[-1]) - expected.probability) < 0.1


def test_what_one_example_publishes_the_other_loads(
    hub, finished_run, phantoms, monkeypatch, capsys
):
    monkeypatch.setenv("HF_TOKEN", "hf_ada")
    load("publish").main(str(finished_run.directory), "ada/pneumonia", "v1")
    assert hub.url in capsys.readouterr().out
    file = str(phantoms / finished_run.report.predictions["test"].filename[0])
    load("load_from_hub").main("ada/pneumonia", "v1", [file])
    assert capsys.readouterr().out.splitlines()[-1].split()[1] in {"NORMAL", "PNEUMONIA"}


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


def test_the_bootstrap_is_timed(capsys):
    (seconds,) = load("time_bootstrap").main(None, resamples=20, runs=1).values()
    assert 0 < seconds < 10
    assert "17 metrics of 624 images, 404 patients, 20 resamples" in capsys.readouterr().out


def test_every_example_is_tested_here():
    tested = {
        "evaluate_any_model",
        "extract_features",
        "load_from_hub",
        "load_with_keras",
        "publish",
        "quickstart",
        "time_bootstrap",
    }
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested
