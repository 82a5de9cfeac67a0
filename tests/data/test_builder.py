import shutil

import pytest
import tensorflow_datasets as tfds

from keras_pneumo.data.builder import ChestXrayPneumonia
from keras_pneumo.data.layout import read_collection
from keras_pneumo.errors import LayoutError


def prepare(folder, data_dir, config):
    builder = ChestXrayPneumonia(config=config, data_dir=data_dir)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=folder))
    return builder


def stored(builder, split="all"):
    """The examples as they lie on the disk, image bytes included, by their file names."""
    examples = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    return {example["filename"].decode(): example for example in tfds.as_numpy(examples)}


@pytest.fixture(scope="module")
def builder(phantoms, tmp_path_factory):
    return prepare(phantoms, tmp_path_factory.mktemp("prepared"), "kaggle_grouped")


def test_every_image_is_stored_as_the_bytes_of_its_file(builder, phantoms):
    examples = stored(builder)
    assert len(examples) == 60 + 16 + 30
    for filename, example in examples.items():
        assert example["image"] == (phantoms / filename).read_bytes()


def test_every_example_says_what_its_record_says(builder, phantoms):
    examples, features = stored(builder), builder.info.features
    for record in read_collection(phantoms).records:
        example = examples[record.filename]
        assert features["label"].int2str(example["label"]) == record.label
        assert features["aetiology"].int2str(example["aetiology"]) == record.aetiology
        assert example["patient_id"].decode() == record.patient_id


def test_images_are_decoded_to_three_channels(builder):
    image, label = next(iter(builder.as_dataset(split="test", as_supervised=True)))
    assert image.shape == (64, 64, 3)
    assert label.dtype == "int64"


def test_the_grouped_config_keeps_test_and_divides_the_rest_by_patient(builder):
    splits = {name: stored(builder, name) for name in ("train", "validation", "test")}
    assert all(filename.startswith("test/") for filename in splits["test"])
    assert len(splits["test"]) == 30
    assert 4 <= len(splits["validation"]) <= 12
    patients = {
        name: {example["patient_id"] for example in examples.values()}
        for name, examples in splits.items()
    }
    assert patients["train"].isdisjoint(patients["validation"])


def test_the_kaggle_config_keeps_the_folders(phantoms, tmp_path):
    builder = prepare(phantoms, tmp_path, "kaggle")
    for split, folder, n in (
        ("train", "train", 60),
        ("validation", "val", 16),
        ("test", "test", 30),
    ):
        filenames = list(stored(builder, split))
        assert len(filenames) == n
        assert all(filename.startswith(f"{folder}/") for filename in filenames)


def test_val_may_be_missing_where_it_is_not_needed(phantoms, tmp_path):
    folder = shutil.copytree(phantoms, tmp_path / "phantoms")
    for path in (folder / "val").rglob("*.jpeg"):
        path.rename(folder / "train" / path.parent.name / path.name)
    shutil.rmtree(folder / "val")
    builder = prepare(folder, tmp_path / "prepared", "kaggle_grouped")
    assert builder.info.splits.total_num_examples == 60 + 16 + 30
    assert builder.info.splits["validation"].num_examples > 0


def test_a_png_collection_is_read_like_any_other(write_images, tmp_path):
    names = [f"{label}/{n}{label}.png" for label in ("NORMAL", "PNEUMONIA") for n in range(10)]
    folder = write_images(tmp_path / "png", names)
    builder = prepare(folder, tmp_path / "prepared", "class_folders")
    examples = stored(builder)
    assert sorted(examples) == sorted(names)
    assert all(
        example["image"] == (folder / name).read_bytes() for name, example in examples.items()
    )
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }
    assert next(iter(builder.as_dataset(split="train")))["image"].shape == (32, 40, 3)


def test_left_out_files_are_counted_by_reason(kaggle_dir, tmp_path):
    normal, pneumonia = kaggle_dir / "train" / "NORMAL", kaggle_dir / "test" / "PNEUMONIA"
    whole = (pneumonia / "person23_virus_53.jpeg").read_bytes()
    (normal / "IM-0001-0001.jpeg").write_bytes(b"")
    (normal / "IM-0002-0001.jpeg").write_bytes(b"no picture")
    (pneumonia / "person1_virus_1.jpeg").write_bytes(whole[: len(whole) // 2])
    (pneumonia / "person2_virus_2.jpeg").write_bytes(whole[: len(whole) // 3])
    (kaggle_dir / "train" / "stray.jpeg").write_bytes(whole)

    with pytest.warns(
        UserWarning, match=r"5 files in .* are left out: 1 × empty file, 1 × not an"
    ) as warned:
        builder = prepare(kaggle_dir, tmp_path / "prepared", "kaggle")
    (text,) = [str(one.message) for one in warned if "left out" in str(one.message)]
    assert str(kaggle_dir) in text
    assert "1 × outside the class folders, 2 × truncated or corrupt" in text
    assert "keras-pneumo data audit" in text

    counts = {
        "empty file": 1,
        "not an image": 1,
        "outside the class folders": 1,
        "truncated or corrupt": 2,
    }
    again = ChestXrayPneumonia(config="kaggle", data_dir=tmp_path / "prepared")
    assert builder.info.metadata["left_out"] == again.info.metadata["left_out"] == counts
    assert builder.info.splits.total_num_examples == 9


def test_nothing_is_said_where_nothing_is_left_out(builder, recwarn, phantoms, tmp_path):
    prepare(phantoms, tmp_path, "kaggle")
    assert not [one for one in recwarn if "left out" in str(one.message)]
    assert builder.info.metadata["left_out"] == {}


@pytest.mark.parametrize(
    ("config", "missing", "wanted", "found"),
    [
        ("kaggle", "val", "train/, val/, test/", "test, train"),
        ("kaggle", "test", "train/, val/, test/", "train, val"),
        ("kaggle_grouped", "test", "train/, test/", "train, val"),
        ("kaggle_grouped", "train", "train/, test/", "test, val"),
    ],
)
def test_a_missing_split_is_named(kaggle_dir, tmp_path, config, missing, wanted, found):
    shutil.rmtree(kaggle_dir / missing)
    with pytest.raises(LayoutError) as error:
        prepare(kaggle_dir, tmp_path / "prepared", config)
    text = str(error.value)
    assert f"needs the split folders {wanted}" in text
    assert f"Missing: {missing}/ in {kaggle_dir}, which holds the folders {found}" in text


@pytest.mark.parametrize("config", ["labeled_v3", "class_folders"])
def test_a_config_refuses_another_layout(kaggle_dir, tmp_path, config):
    with pytest.raises(LayoutError) as error:
        prepare(kaggle_dir, tmp_path / "prepared", config)
    text = str(error.value)
    assert f"The config '{config}' reads the layout '{config}'" in text
    assert f"{kaggle_dir} has the layout 'kaggle'" in text
