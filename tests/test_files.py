import re
import stat

import pytest

from keras_pneumo.errors import OutputError
from keras_pneumo.files import is_occupied, new_directory, replacing


def contents_of(folder):
    return {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}


def write_half(path):
    path.write_text("half")
    raise RuntimeError


def test_replacing_shows_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert contents_of(tmp_path) == {"note.txt": "new"}


def test_replacing_makes_missing_parents(tmp_path):
    with replacing(tmp_path / "a" / "b" / "note.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a" / "b" / "note.txt").read_text() == "new"


@pytest.mark.parametrize("before", [{}, {"note.txt": "old"}], ids=["new", "replaced"])
def test_replacing_leaves_no_trace_of_a_writer_that_raises(tmp_path, before):
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(RuntimeError), replacing(tmp_path / "note.txt") as temporary:
        write_half(temporary)
    assert contents_of(tmp_path) == before


def test_replacing_does_not_lose_the_old_file_when_nothing_was_written(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert contents_of(tmp_path) == {"note.txt": "old"}


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("model.keras", ".keras"), ("model.weights.h5", ".weights.h5"), ("LICENSE", "")],
)
def test_the_temporary_name_keeps_the_suffixes(tmp_path, name, suffix):
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("new")
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(suffix)
        assert temporary.parent == tmp_path
    assert contents_of(tmp_path) == {name: "new"}


def test_a_new_directory_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "outer" / "report"
    with new_directory(path) as temporary:
        (temporary / "a.txt").write_text("a")
        assert not path.exists()
    assert contents_of(path) == {"a.txt": "a"}
    assert [found.name for found in path.parent.iterdir()] == ["report"]


def test_a_new_directory_is_not_there_when_its_writer_raises(tmp_path):
    with pytest.raises(RuntimeError), new_directory(tmp_path / "report") as temporary:
        write_half(temporary / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_an_overwritten_directory_is_kept_when_its_writer_raises(tmp_path):
    path = tmp_path / "report"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), new_directory(path, overwrite=True) as temporary:
        write_half(temporary / "new.txt")
    assert contents_of(tmp_path) == {"old.txt": "old"}


def test_an_overwritten_directory_holds_nothing_old(tmp_path):
    path = tmp_path / "report"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with new_directory(path, overwrite=True) as temporary:
        (temporary / "new.txt").write_text("new")
        assert contents_of(path) == {"old.txt": "old"}
    assert contents_of(tmp_path) == {"new.txt": "new"}
    assert [found.name for found in tmp_path.iterdir()] == ["report"]


def test_an_occupied_directory_is_not_touched_unasked(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    rule = f"must not exist yet or be empty. Found {tmp_path}"
    with pytest.raises(OutputError, match=re.escape(rule)), new_directory(tmp_path):
        pass
    assert contents_of(tmp_path) == {"mine.txt": "mine"}


def test_a_file_in_the_way_counts_as_occupied(tmp_path):
    path = tmp_path / "report"
    path.write_text("mine")
    with pytest.raises(OutputError), new_directory(path):
        pass
    assert path.read_text() == "mine"


def test_an_empty_directory_is_filled(tmp_path):
    path = tmp_path / "report"
    path.mkdir()
    with new_directory(path, marker="marker.json") as temporary:
        (temporary / "a.txt").write_text("a")
    assert contents_of(path) == {"a.txt": "a"}


def test_only_a_directory_with_the_marker_is_overwritten(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "mine.txt").write_text("mine")
    message = re.escape(f"has a file marker.json. {photos} holds something else")
    with (
        pytest.raises(OutputError, match=message),
        new_directory(photos, marker="marker.json", overwrite=True),
    ):
        pass
    assert contents_of(photos) == {"mine.txt": "mine"}

    (photos / "marker.json").write_text("{}")
    with new_directory(photos, marker="marker.json", overwrite=True) as temporary:
        (temporary / "marker.json").write_text("{}")
    assert contents_of(photos) == {"marker.json": "{}"}


def test_a_new_directory_is_as_open_as_any_other(tmp_path):
    (tmp_path / "plain").mkdir()
    with new_directory(tmp_path / "report"):
        pass
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "report")]
    assert modes[0] == modes[1]


def test_what_counts_as_occupied(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert [is_occupied(tmp_path / name) for name in ("nothing", "empty", "file", ".")] == [
        False,
        False,
        True,
        True,
    ]
