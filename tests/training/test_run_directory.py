import pytest

from keras_pneumo import TrainSettings
from keras_pneumo.errors import OutputError
from keras_pneumo.training.run_directory import Epoch, RunDirectory, RunState

DATA = {"name": "phantoms", "fingerprint": "0123456789abcdef"}


def epoch(number, val_auc, val_loss=0.5, phase="head"):
    return Epoch(phase, number, 0.5, 0.8, 0.9, val_loss, 0.8, val_auc)


@pytest.mark.parametrize(
    ("epochs", "best"),
    [
        ([epoch(1, 0.8), epoch(2, 0.9), epoch(3, 0.85)], 2),
        ([epoch(1, 0.9, 0.5), epoch(2, 0.9, 0.4)], 2),
        ([epoch(1, 0.9, 0.4), epoch(2, 0.9, 0.4)], 1),
        ([epoch(1, 0.9), epoch(2, 0.8, phase="fine_tune")], 1),
    ],
    ids=["highest AUC", "lower loss among equals", "first among equals", "over both phases"],
)
def test_the_best_epoch(epochs, best):
    assert RunState(tuple(epochs)).best.epoch == best


@pytest.mark.parametrize(
    ("aucs", "done"),
    [
        ([], False),
        ([0.9], False),
        ([0.9, 0.8], False),
        ([0.9, 0.8, 0.8], True),
        ([0.9, 0.8, 0.95, 0.9], False),
        ([0.5, 0.6, 0.7, 0.8, 0.9], True),
    ],
    ids=["nothing yet", "one", "waiting", "out of patience", "better again", "all epochs"],
)
def test_a_phase_ends_by_epochs_or_by_patience(aucs, done):
    state = RunState(tuple(epoch(number, auc) for number, auc in enumerate(aucs, 1)))
    assert state.is_phase_done("head", most_epochs=5, patience=2) is done


def test_the_second_phase_has_its_own_patience():
    state = RunState((epoch(1, 0.9), epoch(2, 0.8), epoch(3, 0.7, phase="fine_tune")))
    assert not state.is_phase_done("fine_tune", most_epochs=5, patience=2)


def test_a_run_is_found_again_with_settings_data_and_state(tmp_path):
    settings = TrainSettings(seed=3, image_size=(64, 64))
    run = RunDirectory.create(tmp_path / "run", settings, DATA, overwrite=False)
    state = RunState((epoch(1, 0.8), epoch(2, 0.9)))
    run.write_state(state)
    found = RunDirectory.open(tmp_path / "run")
    assert (found.settings, found.data, found.state) == (settings, DATA, state)


def test_only_the_checkpoints_that_count_are_kept(tmp_path):
    run = RunDirectory.create(tmp_path / "run", TrainSettings(), DATA, overwrite=False)
    epochs = (epoch(1, 0.9), epoch(2, 0.8), epoch(3, 0.7))
    (run.path / "checkpoints").mkdir()
    for one in epochs:
        run.last_weights(one).touch()
        run.best_weights(one).touch()
    run.write_state(RunState(epochs))
    kept = {path.name for path in (run.path / "checkpoints").iterdir()}
    assert kept == {"best-001.weights.h5", "last-003.weights.h5"}


def test_opening_clears_away_what_was_half_made(tmp_path):
    run = RunDirectory.create(tmp_path / "run", TrainSettings(), DATA, overwrite=False)
    (run.path / ".model.abc.tmp").mkdir()
    (run.path / ".state.1.tmp.json").touch()
    RunDirectory.open(run.path)
    assert [path.name for path in run.path.iterdir()] == ["settings.json"]


def test_a_run_is_not_made_over_another_one_unless_told(tmp_path):
    RunDirectory.create(tmp_path / "run", TrainSettings(), DATA, overwrite=False)
    with pytest.raises(OutputError, match=r"--resume.*--overwrite"):
        RunDirectory.create(tmp_path / "run", TrainSettings(), DATA, overwrite=False)
    replaced = RunDirectory.create(tmp_path / "run", TrainSettings(seed=1), DATA, overwrite=True)
    assert RunDirectory.open(replaced.path).settings.seed == 1


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_never_overwritten(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError):
        RunDirectory.create(tmp_path, TrainSettings(), DATA, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_what_is_no_run_is_not_resumed(tmp_path):
    with pytest.raises(OutputError, match="no run to resume"):
        RunDirectory.open(tmp_path)


def test_a_run_of_another_schema_is_not_resumed(tmp_path):
    run = RunDirectory.create(tmp_path / "run", TrainSettings(), DATA, overwrite=False)
    path = run.path / "settings.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(OutputError, match="schema version 1"):
        RunDirectory.open(run.path)
