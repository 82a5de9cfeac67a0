import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from keras_pneumo import EvaluationReport, TrainSettings, write_phantom_collection
from keras_pneumo.cli import main
from keras_pneumo.training.feature_cache import FeatureCache


@pytest.fixture
def run():
    def invoke(*arguments, expect=0):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == expect, result.output
        return result

    return invoke


@pytest.mark.parametrize(
    "command", ["", "train", "evaluate", "predict", "data audit", "lungs train"]
)
def test_help_waits_for_no_heavy_import(command):
    script = f"""
import sys
from keras_pneumo.cli import main
main([*{command.split()!r}, "--help"], standalone_mode=False)
print({{"keras", "tensorflow", "numpy", "sklearn", "matplotlib"}} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    *page, imported = done.stdout.splitlines()
    assert page[0].startswith(f"Usage: -c {command}".rstrip())
    assert imported == "set()"


def test_train_has_an_option_for_every_setting_and_states_its_default(run):
    options = {option.name for option in main.commands["train"].params}
    page = re.sub(r"\s+", " ", run("train", "--help").output)
    for name, value in TrainSettings().to_dict().items():
        assert name in options, name
        if name == "config":
            stated = "[the one split by patient]"
        elif name == "train_batch_norm":
            assert value is False
            continue
        elif name == "cache":
            assert value is True
            continue
        elif isinstance(value, list):
            separator = ", " if name == "evaluate_on" else " "
            stated = f"[{separator.join(map(str, value))}]"
        else:
            stated = f"[{value}]"
        help_of_option = page.split(f"--{name.replace('_', '-')} ")[1].split(" --")[0]
        assert stated in help_of_option, name


def test_the_settings_given_are_the_settings_of_the_run(
    run, phantoms, prepared_dir, small_settings, tmp_path
):
    output = tmp_path / "run"
    result = run(
        *("train", phantoms, "--output", output, "--prepared-dir", prepared_dir),
        *("--model", "small", "--weights", "none", "--image-size", 32, 32, "--batch-size", 16),
        *("--head-epochs", 1, "--fine-tune-layers", "high", "--fine-tune-epochs", 0),
        *("--threshold", "sensitivity=0.9", "--evaluate-on", "validation", "--seed", 3),
    )
    settings = json.loads((output / "settings.json").read_text())["settings"]
    expected = TrainSettings(
        model="small",
        weights=None,
        image_size=(32, 32),
        batch_size=16,
        head_epochs=1,
        fine_tune_layers="high",
        fine_tune_epochs=0,
        threshold="sensitivity=0.9",
        evaluate_on=("validation",),
        seed=3,
    )
    assert settings == expected.to_dict()
    metrics = json.loads((output / "evaluation" / "metrics.json").read_text())
    assert list(metrics["splits"]) == ["validation"]
    assert metrics["splits"]["validation"]["metrics"]["recall"] >= 0.9
    assert str(output / "evaluation" / "report.html") in result.output
    # The same command with --resume finds the run finished.
    assert "finished already" in run("train", phantoms, "--output", output, "--resume").output


def test_evaluate_writes_the_report_and_does_not_overwrite_it(
    run, finished_run, phantoms, prepared_dir, tmp_path
):
    output = tmp_path / "evaluation"
    arguments = (
        *("evaluate", finished_run.directory, phantoms),
        *("--output", output, "--prepared-dir", prepared_dir),
    )
    result = run(*arguments)
    metrics = json.loads((output / "metrics.json").read_text())
    assert list(metrics["splits"]) == ["test"]
    assert metrics["splits"]["test"]["counts"]["images"] == 30
    assert "roc_auc" in result.output
    with (output / "predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 30
    assert "--overwrite" in run(*arguments, expect=1).output
    run(*arguments, "--overwrite", "--split", "all")
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["splits"]["all"]["counts"]["images"] == 106


def test_predict_prints_a_line_per_file_and_its_exit_code_tells_of_errors(
    run, finished_run, phantoms, tmp_path
):
    good = next((phantoms / "test" / "PNEUMONIA").iterdir())
    (tmp_path / "bad.jpeg").write_bytes(b"no image")
    assert re.search(
        r"0\.\d{4}  (NORMAL|PNEUMONIA)", run("predict", finished_run.directory, good).output
    )
    result = run("predict", finished_run.directory, good, tmp_path / "bad.jpeg", expect=1)
    assert "bad.jpeg" in result.output.splitlines()[2]
    assert "files:" not in result.output
    result = run("predict", finished_run.directory, tmp_path / "bad.jpeg", good, "--json", expect=1)
    bad, found = json.loads(result.output)
    assert "cannot be decoded" in bad["error"]
    assert set(found) == {"file", "threshold", "probability", "label", "error"}
    assert found["threshold"] == finished_run.model.threshold


def test_predict_goes_through_folders_and_sums_up_what_is_long(
    run, finished_run, phantoms, tmp_path
):
    (tmp_path / "bad.jpeg").write_bytes(b"no image")
    folder = phantoms / "test"
    lines = run("predict", finished_run.directory, folder, tmp_path, expect=1).output.splitlines()
    *predictions, blank, summary = lines[1:]
    assert len(predictions) == 31
    labels = [line.split()[1] for line in predictions]
    counts = {label: labels.count(label) for label in sorted(set(labels))}
    assert summary == "31 files: " + ", ".join(f"{n} {label}" for label, n in counts.items())
    assert (labels[-1], blank) == ("error", "")


def test_explain_draws_a_picture_per_file(run, finished_run, phantoms, tmp_path):
    good = next((phantoms / "test" / "PNEUMONIA").iterdir())
    (tmp_path / "bad.jpeg").write_bytes(b"no image")
    output = tmp_path / "explained"
    arguments = ("explain", finished_run.directory, good, tmp_path / "bad.jpeg", "--output", output)
    result = run(*arguments, expect=1)
    assert "bad.jpeg" in result.output
    assert {path.name for path in output.iterdir()} == {"explanations.json", f"{good.stem}.png"}
    assert "--overwrite" in run(*arguments, expect=1).output


def test_shortcuts_go_into_the_report_of_the_run(
    run, finished_run, phantoms, prepared_dir, tmp_path
):
    copy = tmp_path / "run"
    shutil.copytree(finished_run.directory, copy)
    result = run(
        *("shortcuts", copy, phantoms, "--split", "test", "--images", 16, "--json"),
        *("--prepared-dir", prepared_dir),
    )
    printed = json.loads(result.stdout)
    assert printed["images"] == 16
    report = EvaluationReport.load(copy / "evaluation")
    assert report.metrics()["shortcuts"] == printed
    assert (copy / "evaluation" / "shortcuts.png").exists()
    before, after = finished_run.report.metrics(), report.metrics()
    assert after["splits"] == before["splits"]
    assert set(after["pictures"]) >= set(before["pictures"])


def test_predictions_are_compared(run, finished_run):
    file = finished_run.directory / "evaluation" / "predictions.csv"
    result = run("compare-predictions", file, file, "--split", "validation")
    assert "no difference" in result.output
    result = run("compare-predictions", file, file, "--threshold", 0.1, 0.9, "--json")
    assert json.loads(result.stdout)["models"]["b"]["threshold"] == 0.9


def test_kept_features_are_listed_and_deleted_by_name(run, tmp_path):
    key = {"boundary": "conv4_block6_out", "config": "kaggle_grouped"}
    for name in ("first", "second"):
        cache = FeatureCache(tmp_path / name, {"validation": 4}, (3,), "float16", views=0)
        cache.fill(lambda *_: [np.zeros((4, 3), "float32")], key)
    listed = run("cache", "--cache-dir", tmp_path).output.splitlines()
    assert [line.split()[0] for line in listed] == ["first", "second"]
    assert "conv4_block6_out of kaggle_grouped" in listed[0]
    refused = run("cache", "--cache-dir", tmp_path, "--delete", "third", expect=1).output
    assert "no cache third" in refused
    assert "first, second" in refused
    assert "deleted" in run("cache", "--cache-dir", tmp_path, "--delete", "first").output
    assert [path.name for path in tmp_path.iterdir()] == ["second"]
    run("cache", "--cache-dir", tmp_path, "--delete", "all")
    assert "no features" in run("cache", "--cache-dir", tmp_path).output


def test_audit_prints_a_table_or_json_and_draws(run, phantoms, tmp_path):
    assert "PNEUMONIA" in run("data", "audit", phantoms).output
    result = run("data", "audit", phantoms, "--json", "--output", tmp_path / "audit")
    assert json.loads(result.stdout)["images"] == 106
    assert len(list((tmp_path / "audit").glob("*.png"))) == 4


def test_phantoms_are_drawn(run, tmp_path):
    run("data", "phantoms", tmp_path / "new", "--train-images", 14, "--image-size", 64, 64)
    assert len(list((tmp_path / "new").rglob("*.jpeg"))) == 14 + 16 + 7


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "nowhere", "--output", "run"),
        ("evaluate", "nowhere", "nowhere"),
        ("predict", "nowhere", "image.jpeg"),
        ("explain", "nowhere", "image.jpeg", "--output", "explained"),
        ("shortcuts", "nowhere", "nowhere"),
        ("data", "audit", "nowhere"),
        ("lungs", "train", "nowhere", "nowhere", "--output", "lungs"),
        ("lungs", "evaluate", "nowhere", "nowhere"),
    ],
)
def test_a_wrong_path_is_one_clear_line(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, expect=1)
    assert result.output.startswith("Error: ")
    assert "nowhere" in result.output
    assert not any(tmp_path.iterdir())


# What each command is given as a program of its own, and what it prints at least.
PROGRAMS = {
    "train": (
        "{phantoms} --output new --prepared-dir {tfds} --cache-dir features --weights none "
        "--image-size 32 32 --head-epochs 1 --fine-tune-epochs 0",
        r"roc_auc .*Report: new/evaluation/report\.html",
    ),
    "evaluate": ("{run} {phantoms} --prepared-dir {tfds}", r"roc_auc .*evaluation/report\.html"),
    "predict": ("{run} {image}", r"0\.\d{4}  (NORMAL|PNEUMONIA)  "),
    "explain": ("{run} {image} --output explained", r"Pictures: explained"),
    "shortcuts": ("{run}/model {phantoms} --images 8 --prepared-dir {tfds}", r"Central 80 % black"),
    "compare-predictions": ("{scores} {scores} --split test", r"no difference"),
    "push": ("{run} ada/pneumonia --dry-run", r"bytes in \d+ files, in one commit"),
    "cache": ("--cache-dir features", r"There are no features in features"),
    "lungs train": (
        "{masked}/images {masked}/masks --output new --epochs 1",
        r"Dice: mean .*Network: new",
    ),
    "lungs evaluate": ("{masked}/images {masked}/masks", r"60 images\nDice: mean "),
    "data audit": ("{phantoms}", r"PNEUMONIA"),
    "data phantoms": ("new --train-images 14 --image-size 64 64", r"Synthetic radiographs: new"),
}


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """Phantoms of more patients, and a mask for each: the middle of the image."""
    folder = tmp_path_factory.mktemp("masked")
    write_phantom_collection(folder / "images", n_images=120, image_size=(64, 64))
    (folder / "masks").mkdir()
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    for image in folder.rglob("*.jpeg"):
        mask.save(folder / "masks" / f"{image.stem}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", PROGRAMS)
def test_every_command_is_a_program(
    command, quickstart_run, phantoms, masked, prepared_dir, tmp_path
):
    places = {
        "phantoms": phantoms,
        "tfds": prepared_dir,
        "run": quickstart_run.directory,
        "scores": quickstart_run.directory / "evaluation" / "predictions.csv",
        "image": next((phantoms / "test" / "PNEUMONIA").iterdir()),
        "masked": masked,
    }
    arguments, printed = PROGRAMS[command]
    words = [word.format(**places) for word in (command + " " + arguments).split()]
    program = Path(sys.executable).parent / "keras-pneumo"
    done = subprocess.run([program, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(printed, done.stdout, re.DOTALL)


def test_every_command_is_among_those_programs():
    groups = ("data", "lungs")
    commands = [name for name in main.commands if name not in groups]
    commands += [f"{group} {name}" for group in groups for name in main.commands[group].commands]
    # tests/data/test_download.py has the servers that this one needs.
    commands.remove("data download")
    assert sorted(commands) == sorted(PROGRAMS)
