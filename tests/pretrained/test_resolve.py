import hashlib
import os
import shutil

import pytest

from keras_pneumo.errors import HubError, SettingsError, WeightsError
from keras_pneumo.pretrained.description import MODEL_FILES, Description
from keras_pneumo.pretrained.resolve import find_model, presets


@pytest.fixture
def published(hub, model_directory):
    """The saved model on the Hub, with a picture that nobody needs for loading."""
    files = {name: (model_directory / name).read_bytes() for name in MODEL_FILES}
    hub.create("ada/pneumonia", {**files, "README.md": b"# A model", "evaluation/roc.png": b"png"})
    return hub


def same_files(folder, model_directory):
    return all(
        (folder / name).read_bytes() == (model_directory / name).read_bytes()
        for name in MODEL_FILES
    )


@pytest.mark.parametrize("name", ["ada/pneumonia", "hf://ada/pneumonia"])
def test_of_a_repository_only_the_files_of_the_model_come(
    published, model_directory, tmp_path, name
):
    folder = find_model(name, cache_dir=tmp_path)
    assert same_files(folder, model_directory)
    assert {path.name for path in folder.rglob("*") if path.is_file()} == set(MODEL_FILES)


def test_a_folder_comes_before_the_hub_and_a_run_is_a_folder(
    published, model_directory, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_directory, "ada/pneumonia/model")
    assert find_model("ada/pneumonia").samefile("ada/pneumonia/model")
    assert find_model("ada/pneumonia/model").samefile("ada/pneumonia/model")
    assert not published.requests
    assert find_model("hf://ada/pneumonia", cache_dir="cache").is_relative_to(tmp_path / "cache")


def test_a_revision_is_a_branch_a_tag_or_a_commit(published, model_directory, tmp_path):
    first = published.commits("ada/pneumonia")[0].oid
    published.commit("ada/pneumonia", {"model.weights.h5": b"trained further" * 1000})
    assert same_files(
        find_model("ada/pneumonia", revision=first, cache_dir=tmp_path), model_directory
    )
    assert not same_files(find_model("ada/pneumonia", cache_dir=tmp_path), model_directory)
    with pytest.raises(HubError, match="no revision 'v9'"):
        find_model("ada/pneumonia", revision="v9", cache_dir=tmp_path)


def test_a_revision_of_a_folder_is_refused(model_directory):
    with pytest.raises(SettingsError, match="hf://"):
        find_model(str(model_directory), revision="main")


def test_the_cache_serves_without_a_network(published, model_directory, tmp_path):
    folder = find_model("ada/pneumonia", cache_dir=tmp_path)
    published.stop()
    assert find_model("ada/pneumonia", cache_dir=tmp_path) == folder
    assert find_model("ada/pneumonia", cache_dir=tmp_path, local_files_only=True) == folder
    with pytest.raises(HubError, match=r"not in the cache.* cannot be reached"):
        find_model("ada/pneumonia", cache_dir=tmp_path / "empty")


def test_local_files_only_asks_no_network(published, tmp_path):
    with pytest.raises(HubError, match="without `local_files_only`"):
        find_model("ada/pneumonia", cache_dir=tmp_path, local_files_only=True)
    assert not published.requests


def test_a_second_time_no_file_is_downloaded(published, tmp_path):
    find_model("ada/pneumonia", cache_dir=tmp_path)
    before = len(published.requests)
    find_model("ada/pneumonia", cache_dir=tmp_path)
    assert not any("/resolve/" in one.path for one in published.requests[before:])


def test_a_private_repository_needs_the_token_of_its_owner(hub, model_directory, tmp_path):
    files = {name: (model_directory / name).read_bytes() for name in MODEL_FILES}
    hub.create("ada/secret", files, private=True)
    assert same_files(find_model("ada/secret", token="hf_ada", cache_dir=tmp_path), model_directory)
    for token in (False, "hf_eve"):
        with pytest.raises(HubError, match="the name is wrong, or it is private"):
            find_model("ada/secret", token=token, cache_dir=tmp_path / "other")
    with pytest.raises(HubError, match="does not accept the token"):
        find_model("ada/secret", token="hf_made_up", cache_dir=tmp_path / "other")


def test_a_gated_repository_says_where_to_ask(hub, tmp_path):
    hub.create("ada/gated", {"config.json": b"{}"}, gated=True)
    with pytest.raises(HubError, match="ask for access on http"):
        find_model("ada/gated", token=False, cache_dir=tmp_path)


def test_the_lungs_that_the_package_brings_are_no_model_of_the_family():
    assert "lungs" not in presets()


def test_a_missing_repository_says_what_was_tried(hub, tmp_path):
    with pytest.raises(HubError) as caught:
        find_model("ada/nothing", cache_dir=tmp_path)
    message = str(caught.value)
    assert message.index("presets:") < message.index("folders:") < message.index("Hub:")
    assert "hf auth login" in message


@pytest.mark.parametrize("name", ["pneumonia", "runs/first/model", "ada/two words"])
def test_what_cannot_be_an_id_is_not_asked_for(hub, name):
    with pytest.raises(WeightsError, match="the form owner/name"):
        find_model(name)
    assert not hub.requests


def test_a_path_is_never_an_id(hub, tmp_path):
    from pathlib import Path

    with pytest.raises(WeightsError, match="no model 'ada/pneumonia'"):
        find_model(Path("ada/pneumonia"), cache_dir=tmp_path)
    assert not hub.requests


def test_a_repository_of_something_else_is_named_as_such(hub, tmp_path):
    hub.create("ada/bert", {"config.json": b"{}", "model.safetensors": b"0" * 100})
    with pytest.raises(WeightsError, match=r"no keras_pneumo.json.*keras.saving.load_model"):
        find_model("ada/bert", cache_dir=tmp_path)


@pytest.mark.parametrize("name", ["model.weights.h5", "keras_pneumo.json"])
def test_a_file_damaged_on_the_way_is_found_deleted_and_had_anew(
    published, model_directory, tmp_path, name
):
    published.damage.add(name)
    with pytest.raises(HubError, match=f"{name} of ada/pneumonia is damaged"):
        find_model("ada/pneumonia", cache_dir=tmp_path)
    published.damage.clear()
    folder = find_model("ada/pneumonia", cache_dir=tmp_path)
    assert same_files(folder, model_directory)
    assert Description.read(folder).threshold == 0.4


def share_content(cache_dir):
    """Lay the cache out as the client does where repositories share content, under other names."""
    for blob in list((cache_dir / "models--ada--pneumonia" / "blobs").iterdir()):
        other_name = hashlib.sha256(blob.name.encode()).hexdigest()
        store = cache_dir / "blobs" / other_name[:2] / other_name
        store.parent.mkdir(parents=True, exist_ok=True)
        blob.rename(store)
        blob.symlink_to(os.path.relpath(store, blob.parent))


def test_shared_content_is_checked_by_the_name_that_the_repository_has_for_it(
    published, model_directory, tmp_path
):
    folder = find_model("ada/pneumonia", cache_dir=tmp_path)
    share_content(tmp_path)
    assert find_model("ada/pneumonia", cache_dir=tmp_path) == folder
    weights = (folder / "model.weights.h5").resolve()
    weights.write_bytes(weights.read_bytes()[::-1])
    with pytest.raises(HubError, match="damaged"):
        find_model("ada/pneumonia", cache_dir=tmp_path)
    assert not weights.exists()
    assert same_files(find_model("ada/pneumonia", cache_dir=tmp_path), model_directory)


def test_a_download_that_breaks_off_goes_on(published, model_directory, tmp_path):
    published.cut_downloads = 1
    assert same_files(find_model("ada/pneumonia", cache_dir=tmp_path), model_directory)
