import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi, get_session, get_token, hf_hub_download, snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from servers.hub import HubServer

REPO = "ada/tiny"
WEIGHTS = np.random.default_rng(0).bytes(30_000)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.weights.h5").write_bytes(WEIGHTS)
    return folder


@pytest.fixture
def api(hub):
    return HfApi(token="hf_ada")


def contents(folder):
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def count(hub, method, start="/"):
    return sum(r.method == method and r.path.startswith(start) for r in hub.requests)


def test_a_new_repository_begins_with_one_commit_like_those_of_the_hub(hub, api):
    url = api.create_repo(REPO)
    assert (url.repo_id, url.repo_type) == (REPO, "model")
    assert api.list_repo_files(REPO) == [".gitattributes"]
    assert api.list_repo_refs(REPO).branches[0].target_commit == hub.commits(REPO)[0].oid
    assert api.repo_info(REPO).private is False


def test_a_repository_is_created_once(hub, api):
    first = api.create_repo(REPO, private=True)
    assert api.create_repo(REPO, exist_ok=True) == first
    assert api.repo_info(REPO).private is True
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(REPO)


@pytest.mark.parametrize("repo_type", ["model", "dataset"])
def test_a_folder_goes_up_in_one_commit_and_comes_back(hub, api, folder, repo_type):
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "roc.txt").write_text("0.9")
    api.create_repo(REPO, repo_type=repo_type)
    info = api.upload_folder(
        repo_id=REPO, folder_path=folder, repo_type=repo_type, commit_message="First model"
    )
    newest, oldest = hub.commits(REPO, repo_type=repo_type)
    assert (newest.oid, newest.message) == (info.oid, "First model")
    assert newest.files == set(contents(folder))
    assert oldest.files == {".gitattributes"}
    down = snapshot_download(REPO, repo_type=repo_type)
    assert contents(down) == hub.files(REPO, repo_type=repo_type)
    assert contents(down).items() >= contents(folder).items()


def test_only_the_large_file_is_an_lfs_object_and_the_cache_knows_both_by_hash(hub, api, folder):
    api.create_repo(REPO)
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert count(hub, "PUT") == 1
    files = {file.path: file for file in api.list_repo_tree(REPO)}
    assert files["model.weights.h5"].lfs.size == len(WEIGHTS)
    assert files["config.json"].lfs is None
    down = Path(snapshot_download(REPO))
    blob = (down / "model.weights.h5").resolve().name
    assert blob == files["model.weights.h5"].lfs.sha256
    assert (down / "config.json").resolve().name == files["config.json"].blob_id


def test_the_same_folder_again_makes_no_commit_and_sends_no_object(hub, api, folder):
    api.create_repo(REPO)
    first = api.upload_folder(repo_id=REPO, folder_path=folder)
    again = api.upload_folder(repo_id=REPO, folder_path=folder)
    assert again.oid == first.oid
    assert len(hub.commits(REPO)) == 2
    assert count(hub, "PUT") == 1


def test_a_change_behind_the_clients_back_is_fetched_alone(hub):
    hub.create(REPO, {"a.txt": b"a", "b.txt": b"b"})
    snapshot_download(REPO)
    hub.requests.clear()
    oid = hub.commit(REPO, {"a.txt": b"new"}, message="By hand")
    assert contents(snapshot_download(REPO))["a.txt"] == b"new"
    assert [c.message for c in hub.commits(REPO)] == ["By hand", "Upload files", "initial commit"]
    assert count(hub, "GET", f"/{REPO}/resolve/{oid}/") == 1


@pytest.mark.parametrize("revision", ["branch", "tag", "commit"])
def test_a_snapshot_of_a_revision_is_what_it_was(hub, api, revision):
    hub.create(REPO, {"a.txt": b"old"})
    old = hub.commits(REPO)[0].oid
    hub.commit(REPO, {"a.txt": b"new"})
    api.create_branch(REPO, branch="stable", revision=old)
    api.create_tag(REPO, tag="v1", revision=old)
    name = {"branch": "stable", "tag": "v1", "commit": old}[revision]
    down = snapshot_download(REPO, revision=name)
    assert Path(down).name == old
    assert contents(down)["a.txt"] == b"old"
    assert contents(snapshot_download(REPO))["a.txt"] == b"new"


def test_paths_are_described_deleted_and_listed_by_folder(hub, api):
    hub.create(REPO, {"a.txt": b"a", "in/b.txt": b"b", "in/c.txt": b"c"})
    assert [entry.path for entry in api.list_repo_tree(REPO)] == [".gitattributes", "a.txt", "in"]
    assert [e.path for e in api.get_paths_info(REPO, ["in/b.txt", "none"])] == ["in/b.txt"]
    api.delete_file("a.txt", REPO)
    assert hub.commits(REPO)[0].files == {"a.txt"}
    api.delete_folder("in", REPO)
    assert set(hub.files(REPO)) == {".gitattributes"}
    with pytest.raises(RemoteEntryNotFoundError):
        api.delete_file("a.txt", REPO)


@pytest.mark.parametrize(
    ("asked", "part"), [("2-4", b"cde"), ("7-", b"hij"), ("-3", b"hij"), ("8-99", b"ij")]
)
@pytest.mark.parametrize("path", ["a.txt", "a.h5"])
def test_a_range_of_a_file(hub, asked, part, path):
    hub.create(REPO, {path: b"abcdefghij"})
    url = f"{hub.url}/{REPO}/resolve/main/{path}"
    answer = get_session().get(url, headers={"Range": f"bytes={asked}"})
    assert (answer.status_code, answer.content) == (206, part)
    assert answer.headers["Content-Range"].endswith("/10")
    assert get_session().get(url, headers={"Range": "bytes=10-"}).status_code == 416


def test_a_private_repository_is_missing_to_all_but_its_owner(hub, tmp_path):
    hub.create(REPO, {"a.txt": b"a"}, private=True)
    assert contents(snapshot_download(REPO, token="hf_ada"))["a.txt"] == b"a"
    for token, status in [(False, 401), ("hf_eve", 404)]:
        with pytest.raises(RepositoryNotFoundError) as error:
            snapshot_download(REPO, token=token, cache_dir=tmp_path)
        assert error.value.response.status_code == status


def test_a_gated_repository_is_seen_by_all_but_read_by_its_owner(hub, tmp_path):
    hub.create(REPO, {"a.txt": b"a"}, gated=True)
    assert HfApi().repo_info(REPO).gated == "manual"
    assert contents(snapshot_download(REPO, token="hf_ada"))["a.txt"] == b"a"
    with pytest.raises(GatedRepoError):
        snapshot_download(REPO, token="hf_eve", cache_dir=tmp_path)


@pytest.mark.parametrize(
    "ask",
    [
        lambda folder: snapshot_download(REPO, token="hf_wrong"),
        lambda folder: HfApi().create_repo("ada/new", token="hf_wrong"),
        lambda folder: HfApi().create_repo(REPO, token="hf_wrong", exist_ok=True),
        lambda folder: HfApi().upload_folder(repo_id=REPO, folder_path=folder, token="hf_wrong"),
    ],
    ids=["download", "create", "create-existing", "upload"],
)
def test_a_wrong_token_is_told_from_a_missing_repository(hub, folder, ask):
    hub.create(REPO)
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as error:
        ask(folder)
    assert type(error.value) is HfHubHTTPError
    assert error.value.response.status_code == 401


def test_a_missing_repository_revision_or_file_each_has_its_error(hub, api, folder):
    hub.create(REPO, {"a.txt": b"a"})
    with pytest.raises(RepositoryNotFoundError):
        snapshot_download("ada/none")
    with pytest.raises(RepositoryNotFoundError):
        snapshot_download(REPO, repo_type="dataset")
    with pytest.raises(RepositoryNotFoundError):
        api.upload_folder(repo_id="ada/none", folder_path=folder)
    with pytest.raises(RevisionNotFoundError):
        snapshot_download(REPO, revision="none")
    with pytest.raises(RevisionNotFoundError):
        api.upload_folder(repo_id=REPO, folder_path=folder, revision="none")
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download(REPO, "none.txt")


@pytest.mark.parametrize("token", ["hf_eve", "hf_reader"])
def test_who_may_not_write_gets_403(hub, folder, token):
    hub.create(REPO)
    hub.add_user("ada", "hf_reader", can_write=False)
    api = HfApi(token=token)
    with pytest.raises(HfHubHTTPError, match="403 Forbidden"):
        api.create_repo("ada/new")
    with pytest.raises(HfHubHTTPError, match="403 Forbidden"):
        api.upload_folder(repo_id=REPO, folder_path=folder)
    assert len(hub.commits(REPO)) == 1


def test_a_pull_request_of_another_user_leaves_the_branch_alone(hub, folder):
    hub.create(REPO)
    api = HfApi(token="hf_eve")
    info = api.upload_folder(repo_id=REPO, folder_path=folder, create_pr=True)
    assert (info.pr_num, info.pr_revision) == (1, "refs/pr/1")
    assert hub.pull_requests(REPO) == [1]
    assert set(hub.files(REPO)) == {".gitattributes"}
    assert hub.files(REPO, "refs/pr/1")["model.weights.h5"] == WEIGHTS
    down = snapshot_download(REPO, revision="refs/pr/1")
    assert contents(down)["model.weights.h5"] == WEIGHTS
    refs = api.list_repo_refs(REPO, include_pull_requests=True)
    assert [ref.ref for ref in refs.pull_requests] == ["refs/pr/1"]


def test_a_commit_on_a_parent_that_is_no_longer_the_newest_is_refused(hub, api, folder):
    hub.create(REPO)
    before = hub.commits(REPO)[0].oid
    now = hub.commit(REPO, {"a.txt": b"a"})
    with pytest.raises(HfHubHTTPError) as error:
        api.upload_folder(repo_id=REPO, folder_path=folder, parent_commit=before)
    assert error.value.response.status_code == 412
    assert hub.commits(REPO)[0].oid == now
    api.upload_folder(repo_id=REPO, folder_path=folder, parent_commit=now)
    assert hub.commits(REPO)[0].parent.oid == now


def test_a_tag_stays_where_it_is(hub, api, folder):
    hub.create(REPO)
    before = hub.commits(REPO)[0].oid
    api.create_tag(REPO, tag="v1")
    with pytest.raises(HfHubHTTPError, match="v1 is a tag"):
        api.upload_folder(repo_id=REPO, folder_path=folder, revision="v1")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(REPO, tag="v1")
    assert hub.commits(REPO, "v1")[0].oid == before


@pytest.mark.parametrize(
    "metadata",
    [
        "license: [mit",
        "- a list",
        "base_model: not/a/model",
        "datasets: [a b]",
        "model-index: [{results: 3}]",
    ],
)
def test_a_card_with_invalid_metadata_is_refused(hub, api, folder, metadata):
    hub.create(REPO)
    (folder / "README.md").write_text(f"---\n{metadata}\n---\n# Card\n")
    with pytest.raises(ValueError, match="Invalid metadata in README"):
        api.upload_folder(repo_id=REPO, folder_path=folder)
    assert len(hub.commits(REPO)) == 1


def test_a_valid_card_is_taken_and_one_without_metadata_is_warned_of(hub, api):
    hub.create(REPO)
    card = b"---\nlicense: mit\nbase_model: microsoft/resnet-50\n---\n# Card\n"
    api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=REPO)
    assert hub.files(REPO)["README.md"] == card
    with pytest.warns(UserWarning, match="missing yaml metadata"):
        api.upload_file(path_or_fileobj=b"# Card", path_in_repo="README.md", repo_id=REPO)


def test_a_cut_upload_is_sent_again_by_the_client(hub, api, folder):
    hub.create(REPO)
    hub.cut_uploads = 1
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert count(hub, "PUT") == 2
    assert hub.files(REPO)["model.weights.h5"] == WEIGHTS


def test_after_a_failed_upload_only_the_missing_object_is_sent(hub, api, folder):
    hub.create(REPO)
    (folder / "second.h5").write_bytes(WEIGHTS[::-1])
    hub.time_out_uploads = 1
    with pytest.raises(RuntimeError, match="Error while uploading"):
        api.upload_folder(repo_id=REPO, folder_path=folder)
    assert len(hub.commits(REPO)) == 1
    assert count(hub, "PUT") == 2
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert count(hub, "PUT") == 3
    assert hub.files(REPO).items() >= contents(folder).items()


def test_an_object_of_which_half_arrives_is_not_kept(hub):
    with socket.create_connection(("127.0.0.1", hub.port)) as connection:
        head = f"PUT /lfs/{'a' * 64} HTTP/1.1\r\nContent-Length: 10\r\n\r\n"
        connection.sendall(head.encode() + b"half.")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100).startswith(b"HTTP/1.0 400")
    assert not hub.objects


def test_an_upload_can_be_made_to_wait(hub, api, folder):
    hub.create(REPO)
    hub.delay = 0.2
    start = time.monotonic()
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert time.monotonic() - start > 0.2


def test_a_cut_download_goes_on_where_it_ended(hub):
    # The client keeps what came in whole pieces of 10 MiB.
    content = bytes(24 * 2**20)
    hub.create(REPO, {"big.h5": content})
    hub.cut_downloads = 1
    path = hf_hub_download(REPO, "big.h5")
    assert Path(path).read_bytes() == content
    ranges = [request.range for request in hub.requests if request.method == "GET"]
    assert ranges == ["", f"bytes={10 * 2**20}-"]


@pytest.mark.parametrize("path", ["a.txt", "a.h5"])
def test_a_damaged_file_has_one_other_byte_which_the_client_does_not_see(hub, path):
    content = b"abcdefghij"
    hub.create(REPO, {path: content, "other.txt": b"other"})
    hub.damage = {path}
    down = contents(snapshot_download(REPO))
    assert down["other.txt"] == b"other"
    assert len(down[path]) == len(content)
    assert sum(a != b for a, b in zip(down[path], content, strict=True)) == 1


def test_a_stopped_server_refuses_and_comes_back_with_all_it_had(hub, tmp_path):
    hub.create(REPO, {"a.txt": b"a"})
    snapshot_download(REPO)
    with socket.create_connection(("127.0.0.1", hub.port)) as connection:
        connection.sendall(b"GET /api/")
        hub.stop()
        connection.settimeout(5)
        with pytest.raises((ConnectionError, StopIteration)):
            next(iter(lambda: connection.recv(100), b""))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", hub.port))
    with pytest.raises(LocalEntryNotFoundError):
        snapshot_download(REPO, cache_dir=tmp_path)
    assert contents(snapshot_download(REPO))["a.txt"] == b"a"
    hub.stop()
    hub.start()
    hub.start()
    assert contents(snapshot_download(REPO, cache_dir=tmp_path))["a.txt"] == b"a"


def test_a_reset_forgets_repositories_faults_and_requests_but_no_user(hub, api):
    hub.create(REPO)
    hub.cut_uploads = hub.delay = 3
    hub.reset()
    assert (hub.cut_uploads, hub.delay, hub.requests) == (0, 0, [])
    assert api.whoami()["name"] == "ada"
    with pytest.raises(RepositoryNotFoundError):
        api.repo_info(REPO)


def test_each_test_begins_with_an_empty_cache_and_no_token(hub):
    assert Path(HF_HUB_CACHE).is_relative_to(os.environ["HF_HOME"])
    assert not list(Path(HF_HUB_CACHE).glob("models--*"))
    assert get_token() is None


def test_servers_do_not_share_a_port():
    servers = [HubServer() for _ in range(20)]
    assert len({server.port for server in servers}) == 20


def test_another_process_meets_the_same_hub(hub, hub_environment):
    code = "import huggingface_hub as h; print(h.whoami()['name'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=hub_environment | {"HF_TOKEN": "hf_eve"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "eve\n"
