import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from keras_pneumo.data.audit import audit
from keras_pneumo.data.audit_plots import (
    draw_audit,
    plot_distribution,
    plot_mean_grey,
    plot_samples,
    plot_sizes,
)
from keras_pneumo.data.integrity import measure, unreadable
from keras_pneumo.data.layout import read_collection
from keras_pneumo.errors import DataError


@pytest.fixture
def spoilt_dir(kaggle_dir):
    """The small collection with two copies, and four files that are no images or not whole."""
    train, test = kaggle_dir / "train", kaggle_dir / "test"
    contents = (train / "NORMAL" / "IM-0115-0001.jpeg").read_bytes()
    (test / "NORMAL" / "IM-0001-0001.jpeg").write_bytes(contents)
    pneumonia = (train / "PNEUMONIA" / "person23_bacteria_80.jpeg").read_bytes()
    (train / "PNEUMONIA" / "person23_bacteria_81.jpeg").write_bytes(pneumonia)
    (train / "NORMAL" / "IM-0200-0001.jpeg").write_bytes(contents[: len(contents) // 2])
    (train / "NORMAL" / "IM-0201-0001.jpeg").write_bytes(b"\xff\xd8\xff no picture")
    (train / "NORMAL" / "IM-0202-0001.jpeg").write_bytes(b"")
    (train / "NORMAL" / "notes.txt").write_text("notes")
    return kaggle_dir


def encoded(image, kind):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_truncated_files_are_found(kaggle_dir, kind, kept):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    contents = encoded(Image.fromarray(pixels), kind)
    path = kaggle_dir / "train" / "NORMAL" / "IM-0115-0001.jpeg"
    path.write_bytes(contents[: int(kept * len(contents))])
    [found] = unreadable(read_collection(kaggle_dir).records)
    assert found.path == path
    assert found.reason.startswith("truncated or corrupt: ")


def test_files_that_spoil_after_listing_are_reported_not_raised(kaggle_dir):
    records = read_collection(kaggle_dir).records
    records[0].path.write_bytes(b"")
    records[1].path.write_bytes(b"no picture")
    records[2].path.unlink()
    problems = [file.problem for file in measure(records)]
    assert problems[:2] == ["empty file", "not an image"]
    assert problems[2].startswith("cannot be opened")
    assert problems[3:] == [None] * (len(records) - 3)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (Image.new("L", (90, 50), 100), "JPEG"),
        (Image.new("RGB", (90, 50), (100, 100, 100)), "JPEG"),
        (Image.new("L", (90, 50), 100), "PNG"),
        (Image.fromarray(np.full((50, 90), 25_700, np.uint16)), "PNG"),
    ],
)
def test_sizes_and_grey_levels_are_those_of_the_image(kaggle_dir, image, kind):
    record = read_collection(kaggle_dir).records[0]
    record.path.write_bytes(encoded(image, kind))
    [file] = measure([record])
    assert (file.width, file.height) == (90, 50)
    assert file.mean == pytest.approx(100, abs=1)


def test_an_unreadable_file_has_no_measurements(kaggle_dir):
    record = read_collection(kaggle_dir).records[0]
    record.path.write_bytes(b"no picture")
    [file] = measure([record])
    assert (file.width, file.height) == (0, 0)
    assert math.isnan(file.mean)


def test_audit_counts_what_is_there(spoilt_dir):
    found = audit(spoilt_dir).to_dict()
    train, test, everything = (found["splits"][name] for name in ("train", "test", "all"))
    assert list(found["splits"]) == ["train", "validation", "test", "all"]
    assert found["images"] == everything["images"] == 11
    assert train["classes"]["PNEUMONIA"] == {
        "images": 3,
        "patients_naive": 2,
        "patients_per_series": 2,
    }
    assert test["series"]["NORMAL2-IM"]["images"] == 1
    assert everything["aetiologies"]["bacteria"]["images"] == 3
    # IM-0115 and person23 are in train and test, with another series in each.
    assert everything["patients_naive"] == everything["patients_per_series"] - 2


def test_audit_lists_what_was_left_out_by_reason(spoilt_dir):
    assert audit(spoilt_dir).to_dict()["left_out"] == {
        "empty file": ["train/NORMAL/IM-0202-0001.jpeg"],
        "not an image": ["train/NORMAL/IM-0201-0001.jpeg", "train/NORMAL/notes.txt"],
        "truncated or corrupt": ["train/NORMAL/IM-0200-0001.jpeg"],
    }


def test_audit_finds_copies_within_and_across_splits(spoilt_dir):
    identical = audit(spoilt_dir).to_dict()["identical_files"]
    assert identical["groups_within_a_split"] == 1
    assert identical["groups_across_splits"] == 1
    assert identical["groups_across_patients"] == 1
    assert identical["groups_across_classes"] == 0
    assert identical["images"] == 4
    assert ["test/NORMAL/IM-0001-0001.jpeg", "train/NORMAL/IM-0115-0001.jpeg"] in identical[
        "groups"
    ]


def test_audit_finds_patients_in_two_splits_under_both_readings(spoilt_dir):
    shared = {
        tuple(pair["splits"]): (pair["patients_naive"], pair["patients_per_series"])
        for pair in audit(spoilt_dir).to_dict()["patients_in_two_splits"]
    }
    assert shared == {
        ("train", "validation"): (0, 0),
        ("train", "test"): (2, 0),
        ("validation", "test"): (0, 0),
    }


def test_audit_survives_json(spoilt_dir):
    found = audit(spoilt_dir).to_dict()
    assert json.loads(json.dumps(found)) == found


def test_text_has_the_numbers_in_aligned_columns(spoilt_dir):
    lines = audit(spoilt_dir).to_text().splitlines()
    start = lines.index("Images and patients")
    header, *rows = lines[start + 1 : lines.index("", start)]
    assert len({len(line) for line in (header, *rows)}) == 1
    assert rows[0].split() == ["train", "NORMAL", "2", "40.0%", "2", "2"]
    assert rows[-1].split() == ["total", "11", "100.0%", "8", "10"]
    assert "  1 × truncated or corrupt" in lines
    assert max(map(len, lines[2:])) <= 80


def test_a_folder_of_class_folders_has_one_part(tmp_path, write_images):
    found = audit(write_images(tmp_path, ("NORMAL/a.png", "PNEUMONIA/b.png")))
    assert list(found.to_dict()["splits"]) == ["all"]
    assert found.to_dict()["patients_in_two_splits"] == []
    assert "one split at most" in found.to_text()


def test_a_collection_without_a_whole_image_is_audited_too(tmp_path):
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.jpeg").write_bytes(b"\xff\xd8\xff broken")
    found = audit(tmp_path)
    assert found.to_dict()["images"] == 0
    assert "2 × not an image" in found.to_text()
    with pytest.raises(DataError, match="none among the 2 files"):
        draw_audit(found, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_draw_audit_writes_pictures_and_nothing_else(spoilt_dir, tmp_path):
    paths = draw_audit(audit(spoilt_dir), tmp_path / "figures")
    assert sorted(paths) == sorted((tmp_path / "figures").iterdir())
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.width >= 600
            assert image.convert("L").getextrema()[0] < 128


def test_distribution_bars_hold_the_counts(spoilt_dir):
    records = [file.record for file in audit(spoilt_dir).readable]
    [axes] = plot_distribution(records).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "train\n5 images",
        "validation\n2 images",
        "test\n4 images",
    ]
    widths = [bar.get_width() for bar in axes.containers[0]]
    assert widths == pytest.approx([100 * 2 / 5, 100 * 1 / 2, 100 * 3 / 4])


def test_sizes_and_brightness_show_every_image(spoilt_dir):
    files = audit(spoilt_dir).readable
    [axes] = plot_sizes(files).axes
    assert axes.get_title(loc="left") == "All 11 images are 40 × 32 pixels"
    panels = plot_mean_grey(files).axes
    assert [panel.get_title(loc="left") for panel in panels] == ["train", "validation", "test"]
    assert panels[2].get_legend().get_texts()[0].get_text().startswith("NORMAL (3)")


def test_samples_follow_the_seed(tmp_path, write_images):
    names = [f"{label}/{n}.png" for label in ("NORMAL", "PNEUMONIA") for n in range(10, 30)]
    records = read_collection(write_images(tmp_path, names)).records

    def shown(seed):
        figure = plot_samples(list(records), seed=seed)
        return [text.get_text() for axes in figure.axes for text in axes.texts]

    assert shown(0) == shown(0) != shown(1)
    assert len(shown(0)) == 12


def test_real_collection_is_whole_and_its_copies_are_known(real_data):
    found = audit(real_data).to_dict()
    assert found["left_out"] == {}
    train_and_test = [
        pair for pair in found["patients_in_two_splits"] if pair["splits"] == ["train", "test"]
    ]
    assert train_and_test[0]["patients_per_series"] == 0
    assert train_and_test[0]["patients_naive"] == 264
    assert found["identical_files"]["groups_across_splits"] == 0
