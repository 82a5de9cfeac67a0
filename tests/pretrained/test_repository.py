import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from keras_pneumo.cli import main
from keras_pneumo.errors import HubError, SettingsError, WeightsError
from keras_pneumo.evaluation.thresholds import Threshold
from keras_pneumo.hub import Branch
from keras_pneumo.pretrained.description import MODEL_FILES
from keras_pneumo.pretrained.repository import Repository

NAME = "ada/pneumonia"


@pytest.fixture(scope="module")
def repository(model_directory, report):
    return Repository.gather(model_directory, NAME, report=report, license="mit")


def test_it_holds_the_model_the_card_and_the_curves_and_nothing_of_a_patient(repository):
    pictures = {path for path in repository.contents if path.startswith("evaluation/")}
    assert set(repository.contents) == {*MODEL_FILES, "README.md", *pictures}
    assert {"evaluation/roc.png", "evaluation/confusion_matrix.png"} <= pictures
    assert set(re.findall(r'src="(.*?)"', repository.card)) == pictures
    assert repository.sizes()["model.weights.h5"] == 100_000
    for content in repository.contents.values():
        data = content if isinstance(content, bytes) else content.read_bytes()
        assert b"/image_" not in data
        assert b"_person" not in data


def test_a_push_is_one_commit_of_all_files(hub, repository, model_directory):
    commit = repository.push(token="hf_ada", commit_message="First weights")
    newest, *older = hub.commits(NAME)
    assert (newest.oid, newest.message) == (commit.oid, "First weights")
    assert newest.files == set(repository.contents)
    assert [one.files for one in older] == [{".gitattributes"}]
    there = hub.files(NAME)
    for name in MODEL_FILES:
        assert there[name] == (model_directory / name).read_bytes()
    assert there["README.md"].decode() == repository.card


def test_the_same_again_is_no_new_commit_and_says_so(hub, repository, caplog):
    first = repository.push(token="hf_ada")
    with caplog.at_level("INFO", "keras_pneumo"):
        assert repository.push(token="hf_ada").oid == first.oid
    assert "nothing was written" in caplog.text
    assert len(hub.commits(NAME)) == 2


def test_a_new_repository_is_private_if_asked(hub, repository, tmp_path):
    from keras_pneumo.pretrained.resolve import find_model

    repository.push(token="hf_ada", private=True)
    with pytest.raises(HubError, match="private"):
        find_model(NAME, token=False, cache_dir=tmp_path)


def test_a_card_that_a_person_edited_is_kept_until_told_otherwise(
    hub, repository, model_directory, caplog
):
    repository.push(token="hf_ada")
    edited = hub.files(NAME)["README.md"] + b"\nNote: our scanner was replaced in May.\n"
    hub.commit(NAME, {"README.md": edited})
    newer = Repository.gather(model_directory, NAME, license="apache-2.0")
    newer.push(token="hf_ada")
    assert hub.files(NAME)["README.md"] == edited
    assert "is kept" in caplog.text
    newer.push(token="hf_ada", overwrite_card=True)
    assert hub.files(NAME)["README.md"].decode() == newer.card


def test_a_card_that_nobody_edited_is_replaced(hub, repository, model_directory):
    repository.push(token="hf_ada")
    newer = Repository.gather(model_directory, NAME, license="apache-2.0")
    newer.push(token="hf_ada")
    assert hub.files(NAME)["README.md"].decode() == newer.card


def test_pictures_of_an_earlier_report_go_and_other_files_stay(hub, repository, model_directory):
    repository.push(token="hf_ada")
    hub.commit(NAME, {"evaluation/by_scanner.png": b"png", "notes.txt": b"mine"})
    Repository.gather(model_directory, NAME).push(token="hf_ada")
    assert set(hub.files(NAME)) == {
        ".gitattributes",
        *MODEL_FILES,
        "README.md",
        "evaluation/by_scanner.png",
        "notes.txt",
    }


def test_a_branch_is_made_and_main_is_left_alone(hub, repository):
    repository.push(token="hf_ada", revision="candidate")
    assert "model.weights.h5" in hub.files(NAME, "candidate")
    assert set(hub.files(NAME)) == {".gitattributes"}


def test_a_pull_request_leaves_main_alone(hub, repository):
    hub.create(NAME)
    commit = repository.push(token="hf_ada", create_pr=True)
    assert commit.pr_revision == "refs/pr/1"
    assert hub.pull_requests(NAME) == [1]
    assert "model.weights.h5" in hub.files(NAME, "refs/pr/1")
    assert set(hub.files(NAME)) == {".gitattributes"}
    with pytest.raises(SettingsError, match="goes to main"):
        repository.push(token="hf_ada", create_pr=True, revision="candidate")


def test_who_may_not_write_is_told_how_to(hub, repository):
    hub.create(NAME)
    for token, message in (
        (None, "No token is stored"),
        ("hf_made_up", "does not accept the token"),
        ("hf_eve", "does not allow this"),
    ):
        with pytest.raises(HubError, match=message):
            repository.push(token=token)
    assert len(hub.commits(NAME)) == 1


def test_without_a_network_it_says_so(hub, repository):
    hub.stop()
    with pytest.raises(HubError, match="cannot be reached"):
        repository.push(token="hf_ada")


def test_what_changed_in_the_meantime_is_not_overwritten(hub):
    branch = Branch.open(NAME, None, token="hf_ada")
    hub.commit(NAME, {"notes.txt": b"Written just now"})
    with pytest.raises(HubError, match="changed on the Hub in the meantime"):
        branch.commit({"notes.txt": b"mine"}, "Mine")
    assert hub.files(NAME)["notes.txt"] == b"Written just now"


def test_an_upload_that_breaks_off_once_is_repeated_by_itself(hub, repository):
    hub.cut_uploads = 1
    repository.push(token="hf_ada")
    assert len(hub.files(NAME)["model.weights.h5"]) == 100_000


def test_an_upload_that_is_killed_leaves_nothing_and_goes_on_when_repeated(
    hub, hub_environment, model_directory, monkeypatch
):
    hub.delay = 30
    program = Path(sys.executable).parent / "keras-pneumo"
    command = [str(program), "push", str(model_directory), NAME]
    process = subprocess.Popen(command, env={**hub_environment, "HF_TOKEN": "hf_ada"})
    while not any(one.method == "PUT" for one in hub.requests):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert set(hub.files(NAME)) == {".gitattributes"}
    hub.delay = 0
    monkeypatch.setenv("HF_TOKEN", "hf_ada")
    result = CliRunner().invoke(main, command[1:])
    assert result.exit_code == 0, result.output
    assert len(hub.commits(NAME)) == 2


def test_a_report_of_another_threshold_is_refused(model_directory, report):
    other = replace(report, threshold=Threshold(0.7, "fixed=0.7", "none"))
    with pytest.raises(SettingsError, match=r"threshold of 0\.7"):
        Repository.gather(model_directory, NAME, report=other)


def test_a_name_that_is_no_id_is_refused_before_anything_is_drawn(model_directory, report):
    with pytest.raises(SettingsError, match="owner/name"):
        Repository.gather(model_directory, "pneumonia", report=report)


def test_a_dry_run_of_a_run_shows_files_sizes_and_card_and_asks_no_network(
    hub, repository, model_directory, report, tmp_path
):
    # A run as far as publishing looks at it.
    (tmp_path / "model").symlink_to(model_directory)
    report.save(tmp_path / "evaluation")
    arguments = ["push", str(tmp_path), NAME, "--license", "mit", "--dry-run"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "100,000  model.weights.h5" in result.output
    assert "evaluation/roc.png" in result.output
    assert repository.card in result.output
    assert not hub.requests


def test_a_folder_without_a_model_is_refused(tmp_path):
    result = CliRunner().invoke(main, ["push", str(tmp_path), NAME, "--dry-run"])
    assert result.exit_code == 1
    assert "A saved model is a folder" in result.output
    with pytest.raises(WeightsError, match="Found in"):
        Repository.gather(tmp_path, NAME)
