import os
import shutil
from collections import Counter

import pytest

from keras_pneumo.data.layout import fingerprint, read_collection, require_splits
from keras_pneumo.errors import LayoutError

V3 = (
    "train/NORMAL/NORMAL-1003233-0001.jpeg",
    "train/PNEUMONIA/BACTERIA-1008087-0001.jpeg",
    "train/PNEUMONIA/VIRUS-1003233-0002.jpeg",
    "test/NORMAL/NORMAL-1049278-0001.jpeg",
    "test/PNEUMONIA/VIRUS-1092120-0001.jpeg",
)


def by_filename(folder):
    return {record.filename: record for record in read_collection(folder).records}


@pytest.mark.parametrize("nesting", ["", "chest_xray", "chest_xray/chest_xray"])
def test_kaggle_folder_is_found_however_deep(tmp_path, kaggle_dir, nesting):
    root = tmp_path / "outer" / nesting
    shutil.copytree(kaggle_dir, root)
    collection = read_collection(tmp_path / "outer")
    assert collection.root == root
    assert collection.layout == "kaggle"
    assert Counter(record.split for record in collection.records) == {
        "train": 4,
        "validation": 2,
        "test": 3,
    }
    assert all(record.path.is_absolute() for record in collection.records)
    assert all(root / record.filename == record.path for record in collection.records)


def test_records_are_sorted_by_filename(kaggle_dir):
    filenames = [record.filename for record in read_collection(kaggle_dir).records]
    assert filenames == sorted(filenames)
    assert len(set(filenames)) == 9


@pytest.mark.parametrize(
    ("filename", "aetiology", "patient_id", "series", "series_patient"),
    [
        ("train/NORMAL/IM-0115-0001.jpeg", "none", "IM-0115", "IM", "IM-0115"),
        (
            "train/NORMAL/NORMAL2-IM-0588-0001-0002.jpeg",
            "none",
            "IM-0588",
            "NORMAL2-IM",
            "NORMAL2-IM-0588",
        ),
        ("test/NORMAL/IM-0033-0001-0002.jpeg", "none", "IM-0033", "IM", "IM-0033"),
        (
            "train/PNEUMONIA/person23_bacteria_80.jpeg",
            "bacteria",
            "person23",
            "person_bacteria",
            "person_bacteria-23",
        ),
        (
            "train/PNEUMONIA/person447_virus_921_1.jpeg",
            "virus",
            "person447",
            "person_virus",
            "person_virus-447",
        ),
    ],
)
def test_kaggle_names_tell_the_child(
    kaggle_dir, filename, aetiology, patient_id, series, series_patient
):
    record = by_filename(kaggle_dir)[filename]
    assert (record.aetiology, record.patient_id) == (aetiology, patient_id)
    assert (record.series, record.series_patient) == (series, series_patient)


def test_naive_reading_joins_series_that_the_other_reading_parts(kaggle_dir):
    records = by_filename(kaggle_dir)
    for one, other in (
        ("train/NORMAL/IM-0115-0001.jpeg", "test/NORMAL/NORMAL2-IM-0115-0001.jpeg"),
        ("train/PNEUMONIA/person23_bacteria_80.jpeg", "test/PNEUMONIA/person23_virus_53.jpeg"),
    ):
        assert records[one].patient_id == records[other].patient_id
        assert records[one].series_patient != records[other].series_patient


def test_v3_is_told_by_its_names_and_joins_all_prefixes_of_a_number(tmp_path, write_images):
    folder = write_images(tmp_path / "v3", V3)
    assert read_collection(folder).layout == "labeled_v3"
    records = by_filename(folder)
    assert [records[name].aetiology for name in V3] == [
        "none",
        "bacteria",
        "virus",
        "none",
        "virus",
    ]
    assert records[V3[0]].patient_id == records[V3[2]].patient_id == "1003233"
    assert records[V3[0]].series_patient == "NORMAL-1003233"
    assert records[V3[2]].series_patient == "VIRUS-1003233"


def test_plain_class_folders_with_names_that_say_nothing(tmp_path, write_images):
    folder = write_images(tmp_path, ("NORMAL/a.png", "PNEUMONIA/b.JPG", "PNEUMONIA/c.jpeg"))
    collection = read_collection(folder)
    assert collection.layout == "class_folders"
    assert {record.split for record in collection.records} == {None}
    found = [(one.patient_id, one.series_patient, one.aetiology) for one in collection.records]
    assert found == [("a", "a", "none"), ("b", "b", "unknown"), ("c", "c", "unknown")]


def test_a_copied_file_stays_with_its_child(tmp_path, write_images):
    folder = write_images(tmp_path, ("NORMAL/IM-0115-0001 (1).jpeg", "PNEUMONIA/a.jpeg"))
    assert by_filename(folder)["NORMAL/IM-0115-0001 (1).jpeg"].patient_id == "IM-0115"


def test_noise_is_passed_over_and_the_rest_is_counted(kaggle_dir):
    normal = kaggle_dir / "train" / "NORMAL"
    (kaggle_dir / "__MACOSX" / "train").mkdir(parents=True)
    for noise in (".DS_Store", "._IM-0115-0001.jpeg", "Thumbs.db"):
        (normal / noise).write_bytes(b"noise")
    (normal / "IM-0001-0001.jpeg").write_bytes(b"")
    (normal / "IM-0002-0001.jpeg").write_bytes(b"<html>not found</html>")
    (normal / "notes.txt").write_text("notes")
    (normal / "more").mkdir()
    (kaggle_dir / "train" / "COVID").mkdir()
    shutil.copy(normal / "IM-0115-0001.jpeg", kaggle_dir / "train")
    collection = read_collection(kaggle_dir)
    assert len(collection.records) == 9
    skipped = {
        one.path.relative_to(kaggle_dir).as_posix(): one.reason for one in collection.skipped
    }
    assert skipped == {
        "train/COVID": "folder not read",
        "train/IM-0115-0001.jpeg": "outside the class folders",
        "train/NORMAL/IM-0001-0001.jpeg": "empty file",
        "train/NORMAL/IM-0002-0001.jpeg": "not an image",
        "train/NORMAL/more": "folder not read",
        "train/NORMAL/notes.txt": "not an image",
    }


def test_a_dangling_link_is_counted(kaggle_dir):
    (kaggle_dir / "train" / "NORMAL" / "IM-0001-0001.jpeg").symlink_to(kaggle_dir / "nowhere")
    [skipped] = read_collection(kaggle_dir).skipped
    assert skipped.reason.startswith("cannot be opened")


def test_val_may_be_absent_until_it_is_required(kaggle_dir):
    shutil.rmtree(kaggle_dir / "val")
    collection = read_collection(kaggle_dir)
    require_splits(collection, ("train", "test"))
    with pytest.raises(LayoutError, match=r"Missing: val/ .*folders test, train"):
        require_splits(collection, ("train", "validation", "test"))


def test_class_folders_have_no_splits_to_require(tmp_path, write_images):
    folder = write_images(tmp_path, ("NORMAL/a.png", "PNEUMONIA/b.png"))
    with pytest.raises(LayoutError, match="Missing: train/, test/"):
        require_splits(read_collection(folder), ("train", "test"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("normal/a.png", "Pneumonia/b.png"), "holds the folders Pneumonia, normal"),
        (("a.png",), r"holds the folders \(none\)"),
        (("NORMAL/a.png", "pneumonia/b.png"), "holds the folders NORMAL, pneumonia"),
        (("train/NORMAL/a.png", "train/PNEUMONIA/b.png", "test/NORMAL/c.png"), "test holds"),
    ],
)
def test_missing_folders_are_named(tmp_path, write_images, names, message):
    write_images(tmp_path, names)
    with pytest.raises(LayoutError, match=message):
        read_collection(tmp_path)


def test_a_class_without_an_image_is_an_error_that_says_what_is_there(tmp_path, write_images):
    write_images(tmp_path, ("NORMAL/a.png",))
    (tmp_path / "PNEUMONIA").mkdir()
    (tmp_path / "PNEUMONIA" / "b.png").write_bytes(b"")
    with pytest.raises(LayoutError, match="PNEUMONIA holds none; left out: 1 × empty file"):
        read_collection(tmp_path)


def test_a_missing_folder_and_a_file_are_told_apart(tmp_path):
    with pytest.raises(LayoutError, match="is not there"):
        read_collection(tmp_path / "nowhere")
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(LayoutError, match="unpack it"):
        read_collection(tmp_path / "archive.zip")


def test_fingerprint_follows_names_sizes_and_times(kaggle_dir):
    before = fingerprint(read_collection(kaggle_dir))
    assert before == fingerprint(read_collection(kaggle_dir))
    path = kaggle_dir / "train" / "NORMAL" / "IM-0115-0001.jpeg"
    status = path.stat()

    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    touched = fingerprint(read_collection(kaggle_dir))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(read_collection(kaggle_dir)) == before
    renamed = path.rename(path.with_name("IM-0116-0001.jpeg"))
    other_name = fingerprint(read_collection(kaggle_dir))
    renamed.unlink()
    removed = fingerprint(read_collection(kaggle_dir))
    assert len({before, touched, other_name, removed}) == 4


def test_real_collection_has_the_published_counts(real_data):
    collection = read_collection(real_data)
    counts = Counter((one.split, one.aetiology) for one in collection.records)
    assert collection.layout == "kaggle"
    assert collection.skipped == ()
    assert counts["train", "none"] == 1341
    assert counts["train", "bacteria"] + counts["train", "virus"] == 3875
    assert counts["test", "none"] == 234
    assert (counts["test", "bacteria"], counts["test", "virus"]) == (242, 148)
    assert all(record.series for record in collection.records)
