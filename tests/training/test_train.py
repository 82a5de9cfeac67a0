import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from small_network import IMPORT

from keras_pneumo import (
    PneumoniaClassifier,
    TrainSettings,
    predict_files,
    train,
    write_phantom_collection,
)
from keras_pneumo.errors import OutputError, SettingsError, TrainingError, WeightsError
from keras_pneumo.training.run_directory import RunDirectory


def state_of(directory):
    path = directory / "state.json"
    return json.loads(path.read_text()) if path.exists() else {"epochs": [], "finished": False}


def test_a_run_holds_model_evaluation_and_curves(finished_run):
    files = {
        path.relative_to(finished_run.directory).as_posix()
        for path in finished_run.directory.rglob("*")
        if path.is_file()
    }
    history = finished_run.history
    best = max(range(4), key=lambda i: (history["val_auc"][i], -history["val_loss"][i])) + 1
    assert files == {
        "settings.json",
        "state.json",
        f"checkpoints/best-{best:03d}.weights.h5",
        "training_curves.png",
        "model/config.json",
        "model/metadata.json",
        "model/model.weights.h5",
        "model/keras_pneumo.json",
        "evaluation/metrics.json",
        "evaluation/predictions.csv",
        "evaluation/roc.png",
        "evaluation/precision_recall.png",
        "evaluation/confusion_matrix.png",
        "evaluation/scores.png",
        "evaluation/reliability.png",
        "evaluation/decision_curve.png",
        "evaluation/training_curves.png",
        "evaluation/most_confident_predictions_validation.png",
        "evaluation/most_confident_predictions_test.png",
        "evaluation/report.html",
        "evaluation/report.md",
    }
    assert history["phase"] == ["head"] * 2 + ["fine_tune"] * 2
    assert history["epoch"] == [1, 2, 3, 4]


def test_the_saved_model_is_that_of_the_best_epoch(finished_run):
    validation = finished_run.report.metrics()["splits"]["validation"]["metrics"]
    assert validation["roc_auc"] == pytest.approx(max(finished_run.history["val_auc"]))


def test_the_threshold_comes_from_validation_and_goes_with_the_model(finished_run):
    threshold = finished_run.report.threshold
    assert (threshold.policy, threshold.chosen_on) == ("youden", "validation")
    model = PneumoniaClassifier.from_pretrained(finished_run.directory / "model")
    assert model.threshold == threshold.value == finished_run.model.threshold
    assert model.metadata["threshold"] == threshold.to_dict()
    assert model.metadata["data"]["name"] == "phantoms"
    assert model.metadata["data"]["config"] == "kaggle_grouped"


def test_the_reported_scores_are_those_of_the_saved_model(finished_run, phantoms):
    predictions = finished_run.report.predictions["test"]
    model = PneumoniaClassifier.from_pretrained(finished_run.directory / "model")
    found = list(predict_files(model, [phantoms / name for name in predictions.filename]))
    np.testing.assert_allclose([one.probability for one in found], predictions.y_score, atol=1e-5)


def test_no_patient_is_in_two_splits_of_the_report(finished_run):
    validation, test = (
        set(finished_run.report.predictions[name].patient_id) for name in ("validation", "test")
    )
    assert not validation & test


def test_a_finished_run_is_given_back_and_not_trained_again(finished_run, phantoms):
    before = (finished_run.directory / "state.json").stat().st_mtime_ns
    again = train(phantoms, finished_run.directory, resume=True)
    assert again.report.metrics()["splits"] == finished_run.report.metrics()["splits"]
    assert again.history == finished_run.history
    assert (finished_run.directory / "state.json").stat().st_mtime_ns == before


def test_a_finished_run_is_not_overwritten_unasked(finished_run, phantoms, small_settings):
    with pytest.raises(OutputError, match="holds a run already"):
        train(phantoms, finished_run.directory, small_settings)


def test_a_run_is_resumed_only_with_its_settings_and_its_data(
    finished_run, phantoms, small_settings, tmp_path
):
    with pytest.raises(SettingsError, match="seed: 0, now 1"):
        train(phantoms, finished_run.directory, replace(small_settings, seed=1), resume=True)
    other = write_phantom_collection(tmp_path / "other", n_images=14, image_size=(64, 64))
    with pytest.raises(OutputError, match="the data it began with"):
        train(other, finished_run.directory, resume=True)


def ends_like(resumed, finished_run):
    assert resumed.history["epoch"] == finished_run.history["epoch"]
    for column in ("loss", "val_loss"):
        np.testing.assert_allclose(
            resumed.history[column], finished_run.history[column], rtol=1e-3, err_msg=column
        )
    np.testing.assert_allclose(
        resumed.report.predictions["test"].y_score,
        finished_run.report.predictions["test"].y_score,
        atol=1e-3,
    )
    # A training that learned nothing would end alike whatever was lost.
    assert np.ptp(finished_run.history["val_loss"]) > 1e-2
    return True


def train_and_copy(phantoms, output, settings, prepared_dir):
    """Train, and copy the run before each state is written: what a kill would leave."""
    write_state = RunDirectory.write_state

    def copy_and_write_state(run, state):
        if not state.finished:
            shutil.copytree(run.path, f"{output}-{len(state.epochs) - 1}")
        write_state(run, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "write_state", copy_and_write_state)
        return train(phantoms, output, settings, prepared_dir=prepared_dir, verbose=0)


@pytest.fixture(scope="module")
def averaged(phantoms, prepared_dir, small_settings, tmp_path_factory):
    """The finished run again, with an average of the weights of phase 2."""
    output = tmp_path_factory.mktemp("averaged") / "run"
    settings = replace(small_settings, ema_momentum=0.5)
    return train_and_copy(phantoms, output, settings, prepared_dir)


def test_an_average_of_weights_is_validated_and_training_goes_on_without_it(averaged, finished_run):
    # Losses of training are of the weights themselves, those of validation of the average.
    np.testing.assert_allclose(averaged.history["loss"], finished_run.history["loss"], rtol=1e-4)
    values, others = averaged.history["val_loss"], finished_run.history["val_loss"]
    changes = np.abs(np.subtract(values, others))
    assert max(changes[:2]) < 1e-4 < min(changes[2:])


def test_an_average_of_weights_survives_a_kill(averaged, phantoms, prepared_dir):
    killed = averaged.directory.with_name("run-3")
    resumed = train(phantoms, killed, resume=True, prepared_dir=prepared_dir, verbose=0)
    assert ends_like(resumed, averaged)


@pytest.fixture(scope="module")
def killed(phantoms, prepared_dir, small_settings, tmp_path_factory):
    """Runs as a kill leaves them, by the epochs that their state knows of.

    The weights of one epoch more are written.
    """
    output = tmp_path_factory.mktemp("killed") / "run"
    train_and_copy(phantoms, output, small_settings, prepared_dir)
    return {epochs: output.with_name(f"run-{epochs}") for epochs in (1, 3)}


@pytest.mark.parametrize("epochs", [1, 3], ids=["in phase 1", "in phase 2"])
def test_killed_and_resumed_it_ends_as_if_it_had_not_been(
    killed, epochs, finished_run, phantoms, prepared_dir
):
    assert len(state_of(killed[epochs])["epochs"]) == epochs
    resumed = train(phantoms, killed[epochs], resume=True, prepared_dir=prepared_dir, verbose=0)
    assert ends_like(resumed, finished_run)


@pytest.mark.slow
def test_the_process_can_be_killed(finished_run, phantoms, prepared_dir, small_settings, tmp_path):
    script = f"""
{IMPORT}
import os, signal
from keras_pneumo import TrainSettings, train
from keras_pneumo.training.run_directory import RunDirectory

write_state = RunDirectory.write_state

def write_state_or_be_killed(run, state):
    if len(state.epochs) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    write_state(run, state)

RunDirectory.write_state = write_state_or_be_killed
settings = TrainSettings.from_dict({small_settings.to_dict()!r})
train({str(phantoms)!r}, {str(tmp_path / "run")!r}, settings,
      prepared_dir={str(prepared_dir)!r}, verbose=0)
"""
    done = subprocess.run([sys.executable, "-c", script])
    assert done.returncode == -signal.SIGKILL
    resumed = train(phantoms, tmp_path / "run", resume=True, prepared_dir=prepared_dir, verbose=0)
    assert ends_like(resumed, finished_run)


def test_interrupted_before_the_report_it_writes_the_report(
    finished_run, phantoms, prepared_dir, tmp_path
):
    copy = tmp_path / "run"
    shutil.copytree(finished_run.directory, copy)
    shutil.rmtree(copy / "evaluation")
    (copy / "state.json").write_text(json.dumps({**state_of(copy), "finished": False}))
    resumed = train(phantoms, copy, resume=True, prepared_dir=prepared_dir, verbose=0)
    assert (copy / "evaluation" / "report.html").exists()
    assert resumed.report.metrics()["splits"] == finished_run.report.metrics()["splits"]
    assert state_of(copy)["finished"]


def test_what_trains_whole_in_bfloat16_is_saved_in_float32(
    phantoms, prepared_dir, small_settings, tmp_path
):
    settings = replace(
        small_settings,
        head_epochs=1,
        fine_tune_layers="all",
        fine_tune_epochs=1,
        precision="bfloat16",
        evaluate_on=("validation",),
    )
    run = train(phantoms, tmp_path / "run", settings, prepared_dir=prepared_dir, verbose=0)
    assert {layer.compute_dtype for layer in run.model.backbone.layers} == {"float32"}
    files = [phantoms / name for name in run.report.predictions["validation"].filename]
    saved = PneumoniaClassifier.from_pretrained(run.directory / "model")
    np.testing.assert_allclose(
        [one.probability for one in predict_files(saved, files)],
        run.report.predictions["validation"].y_score,
        atol=1e-5,
    )


def test_a_training_that_diverges_stops_with_advice(
    phantoms, prepared_dir, small_settings, tmp_path
):
    settings = replace(small_settings, head_learning_rate=1e38, head_epochs=1)
    with pytest.raises(TrainingError, match="lower learning rate"):
        train(phantoms, tmp_path / "run", settings, prepared_dir=prepared_dir, verbose=0)


def test_what_is_wrong_is_said_before_the_run_begins(phantoms, prepared_dir, tmp_path):
    output = tmp_path / "run"
    missing = TrainSettings(weights=str(tmp_path / "missing.weights.h5"), image_size=(32, 32))
    with pytest.raises(WeightsError, match="no such file"):
        train(phantoms, output, missing, prepared_dir=prepared_dir)
    unknown = TrainSettings(weights=None, evaluate_on=("holdout",))
    with pytest.raises(SettingsError, match="holdout"):
        train(phantoms, output, unknown, prepared_dir=prepared_dir)
    no_stage = TrainSettings(weights=None, image_size=(32, 32), fine_tune_layers="conv9")
    with pytest.raises(SettingsError, match="conv9"):
        train(phantoms, output, no_stage, prepared_dir=prepared_dir)
    with pytest.raises(SettingsError, match="Received both"):
        train(phantoms, output, resume=True, overwrite=True)
    assert not output.exists()
