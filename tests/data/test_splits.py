from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from keras_pneumo.data.duplicates import identical_files
from keras_pneumo.data.layout import Record, read_collection
from keras_pneumo.data.splits import grouped_split, split_by_patient
from keras_pneumo.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def records():
    """Unbalanced classes; children with 1 to 8 images; numbers that both series use."""
    rng = np.random.default_rng(5)
    found = []
    for patient in range(100):
        for series, label, aetiology, share in (
            ("IM", "NORMAL", "none", 0.5),
            ("person_bacteria", "PNEUMONIA", "bacteria", 0.9),
            ("person_virus", "PNEUMONIA", "virus", 0.5),
        ):
            if rng.random() > share:
                continue
            patient_id = f"{series.partition('_')[0]}{patient}"
            for image in range(1 + rng.poisson(1.5)):
                name = f"{label}/{series}{patient}_{image}.jpeg"
                found.append(Record(Path(name), name, None, label, aetiology, patient_id, series))
    return found


def children(label, count, *, images=1, aetiology="none"):
    return [
        Record(Path(name), name, None, label, aetiology, f"{label}{child}", "")
        for child in range(count)
        for name in (f"{label}/{child}_{image}.jpeg" for image in range(images))
    ]


def assert_no_patient_is_divided(records, *, readings=("patient_id", "series_patient")):
    for reading in readings:
        splits = {}
        for record in records:
            splits.setdefault(record.split, set()).add(getattr(record, reading))
        for one, other in combinations(splits.values(), 2):
            assert not one & other, reading


@pytest.mark.parametrize("names", [("train", "validation"), ("train", "validation", "test")])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_patient_is_in_two_splits_under_either_reading(records, names, seed):
    divided = grouped_split(records, names=names, seed=seed)
    assert {record.split for record in divided} == set(names)
    assert_no_patient_is_divided(divided)


@pytest.mark.parametrize(("fraction", "expected"), [(0.1, 0.1), (0.15, 1 / 7), (0.5, 0.5)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fraction_and_balance_are_kept(records, fraction, expected, seed):
    divided = grouped_split(records, fraction=fraction, seed=seed)
    held_out = [record for record in divided if record.split == "validation"]
    assert len(held_out) / len(divided) == pytest.approx(expected, abs=0.02)
    for aetiology in ("none", "bacteria", "virus"):
        whole, part = (
            np.mean([record.aetiology == aetiology for record in some])
            for some in (divided, held_out)
        )
        assert part == pytest.approx(whole, abs=0.03)


def test_nothing_but_the_split_changes(records):
    divided = grouped_split(records)

    def content(record):
        return record.filename, record.path, record.label, record.aetiology, record.patient_id

    assert [content(one) for one in divided] == sorted(content(one) for one in records)


def test_same_seed_same_split_in_whatever_order(records):
    assert grouped_split(records, seed=3) == grouped_split(records[::-1], seed=3)


def test_other_seeds_hold_out_other_patients(records):
    # Two folds alone would give two splits, so five of them come from shuffled patients.
    divided = [grouped_split(records, fraction=0.5, seed=seed) for seed in range(5)]
    held_out = {
        frozenset(record.patient_id for record in some if record.split == "validation")
        for some in divided
    }
    assert len(held_out) == 5


def test_the_largest_patient_is_not_always_held_out():
    many = [*children("NORMAL", 20), *children("PNEUMONIA", 20, aetiology="virus")]
    many += [
        Record(Path(name), name, None, "NORMAL", "none", "large", "")
        for name in ("NORMAL/large_1.png", "NORMAL/large_2.png")
    ]
    splits = Counter(
        record.split
        for seed in range(20)
        for record in grouped_split(many, seed=seed)
        if record.filename == "NORMAL/large_1.png"
    )
    assert splits["train"] > splits["validation"]


@pytest.mark.filterwarnings("error")
def test_a_rare_aetiology_is_no_obstacle():
    few = [*children("NORMAL", 20), *children("PNEUMONIA", 19, aetiology="bacteria")]
    few.append(Record(Path("x"), "PNEUMONIA/x.png", None, "PNEUMONIA", "unknown", "x", ""))
    counts = Counter((one.split, one.label) for one in grouped_split(few))
    assert counts["validation", "NORMAL"] == counts["validation", "PNEUMONIA"] == 2


def test_patients_who_share_a_file_stay_together():
    records = [*children("NORMAL", 40), *children("PNEUMONIA", 40, aetiology="virus")]
    # A chain: each file is identical to one of the next patient.
    same = [records[index : index + 2] for index in range(7)]
    for seed in range(10):
        split_of = {
            one.filename: one.split for one in grouped_split(records, seed=seed, identical=same)
        }
        assert len({split_of[one.filename] for one in records[:8]}) == 1


@pytest.mark.parametrize("fraction", [0, -0.1, 0.51, 1, float("nan")])
def test_fraction_outside_its_range_is_refused(records, fraction):
    with pytest.raises(SettingsError, match=r"\(0, 0.5\]"):
        grouped_split(records, fraction=fraction)


def test_three_splits_must_leave_something_for_training(records):
    with pytest.raises(SettingsError, match="leave something for 'train'"):
        grouped_split(records, names=("train", "validation", "test"), fraction=0.5)


def test_too_few_patients_of_a_class_are_counted_in_the_error():
    few = [*children("NORMAL", 3, images=20), *children("PNEUMONIA", 30, aetiology="virus")]
    with pytest.raises(DataError, match=r"at least 10 patients.*'NORMAL': 3"):
        grouped_split(few)
    grouped_split(few, fraction=1 / 3)


def test_no_records_are_too_few():
    with pytest.raises(DataError, match="'NORMAL': 0"):
        grouped_split([])


def test_kaggle_test_is_untouched_and_val_is_divided_anew(tmp_path, write_images):
    names = [f"train/NORMAL/IM-{child:04}-0001.jpeg" for child in range(12)]
    names += [f"train/PNEUMONIA/person{child}_virus_{child}.jpeg" for child in range(12)]
    names += ["val/NORMAL/IM-0001-0002.jpeg", "val/PNEUMONIA/person1_bacteria_9.jpeg"]
    names += ["test/NORMAL/IM-0001-0003.jpeg", "test/PNEUMONIA/person1_virus_99.jpeg"]
    collection = read_collection(write_images(tmp_path, names))
    divided = split_by_patient(collection, fraction=0.25)
    assert [one.filename for one in divided] == [one.filename for one in collection.records]
    assert {one.filename for one in divided if one.split == "test"} == set(names[-2:])
    assert_no_patient_is_divided([one for one in divided if one.split != "test"])
    held_out = Counter(one.label for one in divided if one.split == "validation")
    assert set(held_out) == {"NORMAL", "PNEUMONIA"}
    assert sum(held_out.values()) == pytest.approx(26 / 4, abs=1)


def test_v3_children_with_two_prefixes_stay_together(tmp_path, write_images):
    names = [f"train/NORMAL/NORMAL-{child}-0001.jpeg" for child in range(12)]
    names += [f"train/PNEUMONIA/VIRUS-{child}-0001.jpeg" for child in range(6, 18)]
    names += ["test/NORMAL/NORMAL-90-0001.jpeg", "test/PNEUMONIA/VIRUS-91-0001.jpeg"]
    divided = split_by_patient(read_collection(write_images(tmp_path, names)), fraction=0.25)
    assert {one.split for one in divided} == {"train", "validation", "test"}
    assert_no_patient_is_divided(divided)


def test_class_folders_get_three_splits_and_copies_stay_together(tmp_path, write_images):
    names = [
        f"{label}/{label[0]}{child}.png" for label in ("NORMAL", "PNEUMONIA") for child in range(12)
    ]
    write_images(tmp_path, names)
    copies = [tmp_path / "NORMAL" / f"N{child}.png" for child in range(4)]
    for copy in copies[1:]:
        copy.write_bytes(copies[0].read_bytes())
    collection = read_collection(tmp_path)
    [same] = identical_files(collection.records)
    assert [record.path for record in same] == copies
    for seed in range(4):
        divided = split_by_patient(collection, fraction=0.2, seed=seed)
        assert {one.split for one in divided} == {"train", "validation", "test"}
        assert len({one.split for one in divided if one.path in copies}) == 1


def test_real_collection_is_divided_by_patient(real_data):
    collection = read_collection(real_data)
    divided = split_by_patient(collection)
    free = [record for record in divided if record.split != "test"]
    held_out = [record for record in free if record.split == "validation"]
    assert len(held_out) / len(free) == pytest.approx(0.1, abs=0.005)
    assert_no_patient_is_divided(free)
    assert_no_patient_is_divided(divided, readings=["series_patient"])
    normal = [np.mean([one.label == "NORMAL" for one in part]) for part in (free, held_out)]
    assert normal[0] == pytest.approx(normal[1], abs=0.01)
