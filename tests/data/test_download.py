import io
import shutil
import sys
import zipfile
from collections import Counter
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image
from servers.kaggle import STORAGE, KaggleServer

from keras_pneumo.cli import main
from keras_pneumo.data.audit import audit
from keras_pneumo.data.download import COUNTS, MIRROR, download
from keras_pneumo.data.layout import read_collection
from keras_pneumo.errors import HubError, OutputError, SettingsError

# As the page of the collection counts them.
OFFICIAL = {
    ("train", "NORMAL"): 1341,
    ("train", "PNEUMONIA"): 3875,
    ("validation", "NORMAL"): 8,
    ("validation", "PNEUMONIA"): 8,
    ("test", "NORMAL"): 234,
    ("test", "PNEUMONIA"): 390,
}


@pytest.fixture
def tmp_path(tmp_path):
    """In memory where there is room: some disks take long for thousands of files."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < 2**28:
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def collection():
    """The content of every file by its name, such as train/NORMAL/IM-0115-0001.jpeg."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 90).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    numbers = count(1)
    files = {}
    for place, total in COUNTS.items():
        patterns = (
            ["IM-{:04}-0001.jpeg", "NORMAL2-IM-{:04}-0001-0002.jpeg"]
            if place.endswith("NORMAL")
            else ["person{}_bacteria_17.jpeg", "person{}_virus_17.jpeg"]
        )
        for index, number in zip(range(total), numbers, strict=False):
            name = f"{place}/{patterns[index % 2].format(number)}".encode()
            # A comment makes each file another one: marker, length, text.
            comment = b"\xff\xfe" + (len(name) + 2).to_bytes(2) + name
            files[name.decode()] = jpeg[:2] + comment + jpeg[2:]
    return files


def shard(rows):
    """A parquet file as the mirror has it, of (name, content, label)."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "image": pa.array(
                [{"bytes": content, "path": name} for name, content, _ in rows], image
            ),
            "label": pa.array([label for _, _, label in rows], pa.int64()),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=500)
    return buffer.getvalue()


def rows_of(collection, folder):
    return [
        (name.rpartition("/")[2], content, int("PNEUMONIA" in name))
        for name, content in collection.items()
        if name.startswith(folder)
    ]


@pytest.fixture(scope="session")
def mirror(collection):
    """The files of the repository on the Hub."""
    train = rows_of(collection, "train")
    return {
        "README.md": b"---\nlicense: cc-by-4.0\n---\n",
        "data/test-00000-of-00001-11.parquet": shard(rows_of(collection, "test")),
        "data/train-00000-of-00002-22.parquet": shard(train[:3000]),
        "data/train-00001-of-00002-33.parquet": shard(train[3000:]),
        "data/validation-00000-of-00001-44.parquet": shard(rows_of(collection, "val")),
    }


@pytest.fixture(scope="session")
def archive(collection):
    """The archive of Kaggle, with the second copy and the clutter that are in the real one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in collection.items():
            file.writestr(f"chest_xray/{name}", content)
        for clutter in (
            "__MACOSX/chest_xray/train/NORMAL/._IM-0001-0001.jpeg",
            "chest_xray/__MACOSX/chest_xray/train/NORMAL/._IM-0001-0001.jpeg",
            "chest_xray/chest_xray/.DS_Store",
            "chest_xray/chest_xray/train/NORMAL/IM-0001-0001.jpeg",
            "chest_xray/chest_xray/train/PNEUMONIA/person9999_virus_1.jpeg",
            "chest_xray/train/.DS_Store",
            "chest_xray/val/NORMAL/.DS_Store",
        ):
            file.writestr(clutter, b"not this one")
    return buffer.getvalue()


@pytest.fixture
def kaggle(archive, tmp_path, monkeypatch):
    pytest.importorskip("kagglesdk", reason="needs a kagglehub that is built on kagglesdk")
    with KaggleServer(archive) as server:
        for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
        monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "README.txt"
    }


def assert_nothing_is_left(tmp_path):
    assert {path.name for path in tmp_path.iterdir()} <= {"cache", "home"}


def assert_is_the_collection(folder, collection):
    assert files_in(folder) == collection
    found = read_collection(folder)
    assert found.layout == "kaggle"
    assert found.skipped == ()
    assert Counter((one.split, one.label) for one in found.records) == OFFICIAL
    readme = (folder / "README.txt").read_text()
    assert "CC BY 4.0" in readme
    assert "Kermany" in readme


def test_an_interrupted_download_goes_on_to_the_whole_collection(hub, mirror, collection, tmp_path):
    folder = tmp_path / "deep" / "chest_xray"
    hub.create(MIRROR, mirror, repo_type="dataset")
    damaged = "data/train-00001-of-00002-33.parquet"
    hub.damage.add(damaged)
    with pytest.raises(HubError, match="again"):
        download(folder)
    assert not folder.exists()

    hub.damage.clear()
    hub.cut_downloads = 1
    hub.requests.clear()
    result = CliRunner().invoke(main, ["data", "download", str(folder)])
    assert result.exit_code == 0, result.output
    last = result.stdout.splitlines()[-1]
    assert last.startswith(f"{folder}: 5,856 images, CC BY 4.0 (cite Kermany et al., Cell 2018, d")
    assert last.endswith(f"Next: keras-pneumo data audit {folder}")
    contents = [one.path for one in hub.requests if one.path.startswith("/cdn/")]
    assert len(contents) == 2  # of one file alone, in two parts
    assert all(path.endswith(damaged) for path in contents)

    assert_is_the_collection(folder, collection)
    found = audit(folder).to_dict()
    assert found["images"] == 5856
    assert found["left_out"] == {}
    assert found["identical_files"]["images"] == 0


@pytest.mark.parametrize("source", ["hub", "kaggle"])
def test_an_occupied_folder_is_refused_before_anything_is_asked(hub, kaggle, source, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"has contents\. Choose another folder"):
        download(tmp_path, source)
    result = CliRunner().invoke(main, ["data", "download", str(tmp_path), "--source", source])
    assert result.exit_code == 1
    assert "has contents" in result.output
    assert hub.requests == []
    assert kaggle.requests == []


def assert_refused(hub, files, message, tmp_path):
    hub.create(MIRROR, files, repo_type="dataset")
    for _ in range(2):
        hub.requests.clear()
        with pytest.raises(HubError, match=message) as caught:
            download(tmp_path / "chest_xray", cache_dir=tmp_path / "cache")
        assert "--source kaggle" in str(caught.value)
        assert_nothing_is_left(tmp_path)
    # What is in the cache is not downloaded again.
    assert not [one for one in hub.requests if one.path.endswith(".parquet")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows, "train/NORMAL has 0 images, expected 1,341; .*; val/NORMAL has 0"),
        (lambda rows: rows[1:], "test/NORMAL has 233 images, expected 234"),
        (lambda rows: [*rows, ("person7_virus_8.jpeg", b"", 1)], "has 391 images, expected 390"),
        (lambda rows: [(n, c, 1 - y) for n, c, y in rows], "test/NORMAL has 390 images, expec"),
        (lambda rows: [(None, c, y) for _, c, y in rows], "an image of test/NORMAL has no file na"),
        (lambda rows: [("", c, y) for _, c, y in rows], "an image of test/NORMAL has no file name"),
        (lambda rows: rows[:1] * 9, r"the name test/NORMAL/IM-\d+-0001.jpeg is there twice"),
        (
            lambda _: [("../../../out.jpeg", b"x", 0), (r"C:\..\..\out.jpeg", b"x", 0)],
            r"test/NORMAL/out\.jpeg is there twice",  # and nowhere else
        ),
    ],
    ids=["no train", "one less", "one more", "swapped", "no names", "empty", "one name", "outside"],
)
def test_a_mirror_with_another_test_split_is_refused(hub, collection, change, message, tmp_path):
    shards = {"data/test-0.parquet": shard(change(rows_of(collection, "test")))}
    assert_refused(hub, shards, message, tmp_path)


def test_a_mirror_with_names_that_tell_no_patient_is_refused(hub, mirror, collection, tmp_path):
    rows = rows_of(collection, "test")
    numbered = shard([(f"{i}.jpeg", content, y) for i, (_, content, y) in enumerate(rows)])
    hub.create(
        MIRROR, mirror | {"data/test-00000-of-00001-11.parquet": numbered}, repo_type="dataset"
    )
    with pytest.raises(
        HubError, match=r"624 names tell no patient, such as test/NORMAL/0\.jpeg\. "
    ):
        download(tmp_path / "chest_xray", cache_dir=tmp_path / "cache")
    assert_nothing_is_left(tmp_path)


def test_a_mirror_with_other_columns_is_refused(hub, tmp_path):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"pixels": [1], "label": [0]}), buffer)
    message = r"train-0\.parquet has the columns pixels, label"
    assert_refused(hub, {"data/train-0.parquet": buffer.getvalue()}, message, tmp_path)


@pytest.mark.parametrize("source", ["hub", "kaggle"])
def test_without_a_network_one_error_says_so(hub, kaggle, source, tmp_path):
    hub.stop()
    kaggle.__exit__()
    with pytest.raises(HubError, match="network"):
        download(tmp_path / "chest_xray", source)
    hub.start()
    assert_nothing_is_left(tmp_path)


def test_the_archive_of_kaggle_becomes_the_same_folder_in_two_goes(
    kaggle, collection, tmp_path, monkeypatch
):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_ada")
    kaggle.token = "KGAT_ada"
    kaggle.cut_downloads = 1
    with pytest.raises(HubError, match="do the same again: what has arrived is kept"):
        download(tmp_path / "chest_xray", "kaggle")
    assert_nothing_is_left(tmp_path)

    folder = download(tmp_path / "chest_xray", "kaggle")
    assert_is_the_collection(folder, collection)
    asked = {
        "ownerSlug": "paultimothymooney",
        "datasetSlug": "chest-xray-pneumonia",
        "datasetVersionNumber": 2,
    }
    assert asked.items() <= kaggle.requests[0].body.items()
    last = kaggle.requests[-1]
    assert last.path == STORAGE
    assert last.first_byte > 1e6  # not from the start again

    kaggle.requests.clear()
    for kept in (tmp_path / "cache").glob("**/chest_xray/train/*/*[1-9].jpeg"):
        kept.unlink()
    with pytest.raises(HubError, match=r"train/NORMAL has \d+ images, expected 1,341; .* Delete /"):
        download(tmp_path / "other", "kaggle")
    assert kaggle.requests == []


@pytest.mark.parametrize("where", ["at home", "in a notebook of Kaggle"])
def test_without_credentials_where_kaggle_wants_them_the_error_says_how(
    kaggle, where, tmp_path, monkeypatch
):
    kaggle.token = "KGAT_ada"
    if where != "at home":
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
        monkeypatch.setenv("KAGGLE_DATA_PROXY_URL", "http://localhost")
    with pytest.raises(
        HubError, match=r"KAGGLE_API_TOKEN .* the source 'hub', which needs no acco"
    ):
        download(tmp_path / "chest_xray", "kaggle")
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("damage", ["on the way", "at Kaggle"])
def test_a_damaged_archive_is_an_error_that_says_what_to_delete(kaggle, tmp_path, damage):
    if damage == "on the way":
        kaggle.damage = True
    else:
        kaggle.archive = b"no archive"
    with pytest.raises(HubError) as caught:
        download(tmp_path / "chest_xray", "kaggle")
    cache = tmp_path / "cache" / "datasets" / "paultimothymooney" / "chest-xray-pneumonia"
    assert f"delete {cache}" in str(caught.value)
    assert_nothing_is_left(tmp_path)


def test_without_kagglehub_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(SettingsError, match=r"pip install 'keras-pneumo\[kaggle\]'"):
        download(tmp_path / "chest_xray", "kaggle")
    assert_nothing_is_left(tmp_path)


def test_settings_that_mean_nothing_are_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"\('hub', 'kaggle'\)\. Received: 'mendeley'"):
        download(tmp_path / "chest_xray", "mendeley")
    with pytest.raises(SettingsError, match="KAGGLEHUB_CACHE"):
        download(tmp_path / "chest_xray", "kaggle", cache_dir=tmp_path)
