import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils import compute_class_weight

from keras_pneumo import image
from keras_pneumo.data.layout import read_collection
from keras_pneumo.data.pipeline import load_splits
from keras_pneumo.errors import LayoutError, SettingsError

SIZE = (40, 56)  # neither square nor that of the files, which are 64 x 64


@pytest.fixture(scope="module")
def load(phantoms, prepared_dir):
    def load(**changes):
        settings = {"image_size": SIZE, "batch_size": 8, "prepared_dir": prepared_dir, **changes}
        return load_splits(settings.pop("data_dir", phantoms), **settings)

    return load


@pytest.fixture(scope="module")
def splits(load):
    return load()


def images_of(batches):
    return np.concatenate([images for images, _ in batches.as_numpy_iterator()])


def labels_of(batches):
    return np.concatenate([labels for _, labels in batches.as_numpy_iterator()])


def read_files(folder, filenames, resize="stretch"):
    return np.stack([image.read(folder / name, SIZE, resize) for name in filenames])


def filenames_of(splits):
    return {name: set(splits.examples(name).filename) for name in splits.names}


def test_the_splits_and_their_batches(splits):
    assert splits.names == ("train", "validation", "test")
    assert splits.config == "kaggle_grouped"
    assert splits.left_out == {}
    assert splits.train.element_spec == (
        tf.TensorSpec((None, *SIZE, 3), tf.float32),
        tf.TensorSpec((None,), tf.int64),
    )
    for batches in (splits.validation, splits.test, splits.batches("all")):
        assert batches.element_spec == (
            tf.TensorSpec((None, *SIZE, 3), tf.uint8),
            tf.TensorSpec((None,), tf.int64),
        )


@pytest.mark.parametrize("split", ["train", "validation", "test", "all"])
@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_batches_are_the_files_in_the_order_of_the_examples(load, phantoms, split, resize):
    splits = load(resize=resize)
    examples = splits.examples(split)
    expected = read_files(phantoms, examples.filename, resize)
    np.testing.assert_array_equal(images_of(splits.batches(split)), expected)
    np.testing.assert_array_equal(labels_of(splits.batches(split)), examples.label)


def test_validation_and_test_are_the_same_in_every_epoch_whatever_the_augmentation(load):
    splits, plain = load(augmentation="standard"), load(augmentation="none")
    for split in ("validation", "test"):
        first, second = (images_of(getattr(splits, split)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, images_of(getattr(plain, split)))


def test_examples_say_what_the_records_say(splits, phantoms):
    records = {record.filename: record for record in read_collection(phantoms).records}
    examples = splits.examples("all")
    assert len(examples) == len(records) == 60 + 16 + 30
    found = zip(examples.filename, examples.label, examples.patient_id, strict=True)
    for filename, label, patient_id in found:
        record = records[filename]
        assert (label == 1) == (record.label == "PNEUMONIA")
        assert patient_id == record.patient_id


def test_all_is_every_split_once(splits):
    each = filenames_of(splits)
    assert sum(map(len, each.values())) == len(splits.examples("all"))
    assert set.union(*each.values()) == set(splits.examples("all").filename)


def test_no_patient_is_in_two_splits(splits):
    train, validation, test = (set(splits.examples(name).patient_id) for name in splits.names)
    assert train.isdisjoint(validation)
    assert train.isdisjoint(test)
    assert validation.isdisjoint(test)


def test_train_gives_each_image_once_in_a_new_order(load, phantoms):
    splits = load(augmentation="none")
    expected = read_files(phantoms, splits.examples("train").filename)
    first, second = images_of(splits.train), images_of(splits.train)
    again = images_of(load(augmentation="none").train)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, expected)
    assert not np.array_equal(first, second)
    for found in (first, second):
        assert sorted(map(bytes, found.astype("uint8"))) == sorted(map(bytes, expected))


def test_labels_stay_with_their_shuffled_images(load, phantoms):
    splits = load(augmentation="none")
    examples = splits.examples("train")
    images = map(bytes, read_files(phantoms, examples.filename))
    label_of_image = dict(zip(images, examples.label, strict=True))
    for images, labels in splits.train_epoch(0).as_numpy_iterator():
        assert [label_of_image[bytes(one)] for one in images.astype("uint8")] == labels.tolist()


@pytest.mark.parametrize(
    "augmentation", ["standard", "framing", pytest.param("keras_cv", marks=pytest.mark.slow)]
)
def test_an_epoch_repeats_by_its_number(load, augmentation):
    first, again = (load(augmentation=augmentation).train_epoch(3) for _ in range(2))
    np.testing.assert_array_equal(images_of(first), images_of(again))
    np.testing.assert_array_equal(labels_of(first), labels_of(again))


def test_an_epoch_does_not_depend_on_those_before_it(load):
    fresh, used = load(), load()
    for epoch in (0, 1):
        images_of(used.train_epoch(epoch))
    np.testing.assert_array_equal(images_of(fresh.train_epoch(2)), images_of(used.train_epoch(2)))


def test_epochs_and_seeds_differ_in_order_and_augmentation(load):
    plain, other_plain = load(augmentation="none"), load(augmentation="none", seed=1)
    epochs = [plain.train_epoch(0), plain.train_epoch(1), other_plain.train_epoch(0)]
    orders = [images_of(epoch) for epoch in epochs]
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])

    files = set(map(bytes, orders[0]))
    varied = [set(map(bytes, images_of(load().train_epoch(epoch)))) for epoch in (0, 1)]
    assert files.isdisjoint(varied[0] | varied[1])
    assert varied[0].isdisjoint(varied[1])


def test_class_weight_is_that_of_scikit_learn(splits):
    labels = splits.examples("train").label
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    assert splits.class_weight == pytest.approx({0: expected[0], 1: expected[1]})
    assert splits.class_weight[0] > splits.class_weight[1]


def test_another_split_seed_divides_anew_and_keeps_test(load):
    first, again, other = (filenames_of(load(split_seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first["validation"] != other["validation"]
    assert first["test"] == other["test"]
    assert set.union(*first.values()) == set.union(*other.values())


def test_the_official_splits_are_there_on_demand(load):
    splits = load(config="kaggle")
    folders = {
        name: {one.split("/")[0] for one in found} for name, found in filenames_of(splits).items()
    }
    assert folders == {"train": {"train"}, "validation": {"val"}, "test": {"test"}}


def test_the_config_follows_the_layout(load, write_images, tmp_path):
    names = [f"{label}/{n}{label}.png" for label in ("NORMAL", "PNEUMONIA") for n in range(10)]
    plain = write_images(tmp_path / "plain", names)
    splits = load(data_dir=plain)
    assert splits.config == "class_folders"
    assert [len(splits.examples(name)) for name in splits.names] == [16, 2, 2]
    assert set(splits.examples("all").filename) == set(names)


def test_preparing_leaves_standard_output_to_results(load, phantoms, tmp_path, capsys):
    load(data_dir=phantoms, prepared_dir=tmp_path)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert str(tmp_path) in printed.err


def test_a_folder_is_prepared_once(load, phantoms, tmp_path):
    def prepared_files():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    load(data_dir=phantoms, prepared_dir=tmp_path)
    before = prepared_files()
    load(data_dir=phantoms, prepared_dir=tmp_path)
    assert before
    assert prepared_files() == before


def test_a_changed_folder_is_prepared_anew(load, phantoms, tmp_path):
    folder = shutil.copytree(phantoms, tmp_path / "phantoms")
    before = load(data_dir=folder)
    name, gone = before.examples("test").filename[:2]
    shutil.copy(folder / gone, folder / name)
    os.utime(folder / name)
    (folder / gone).unlink()

    after = load(data_dir=folder)
    assert len(after.examples("test")) == len(before.examples("test")) - 1
    filenames = after.examples("test").filename
    np.testing.assert_array_equal(images_of(after.test), read_files(folder, filenames))


def test_left_out_files_are_counted(load, phantoms, tmp_path):
    folder = shutil.copytree(phantoms, tmp_path / "phantoms")
    (folder / "test" / "NORMAL" / "IM-9999-0001.jpeg").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 × empty file"):
        load(data_dir=folder, prepared_dir=tmp_path)
    # Prepared already, it is still known.
    assert load(data_dir=folder, prepared_dir=tmp_path).left_out == {"empty file": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": (224, 16)}, "`image_size` must be"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"resize": "crop"}, "`resize` must be one of 'stretch', 'pad'"),
        (
            {"augmentation": "strong"},
            "`augmentation` must be one of 'none', 'standard', 'framing', 'keras_cv'",
        ),
        ({"config": "v3"}, "`config` must be one of kaggle_grouped, kaggle, labeled_v3"),
    ],
    ids=["image_size", "batch_size", "resize", "augmentation", "config"],
)
def test_a_wrong_setting_is_refused_before_anything_is_prepared(load, tmp_path, changes, message):
    with pytest.raises(SettingsError, match=message):
        load(prepared_dir=tmp_path / "prepared", **changes)
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize("ask", ["batches", "examples"])
def test_an_unknown_split_is_refused(splits, ask):
    message = "must be one of train, validation, test, all here. Received: 'val'"
    with pytest.raises(SettingsError, match=message):
        getattr(splits, ask)("val")


def test_a_config_for_another_layout_is_refused(load):
    with pytest.raises(LayoutError, match="'labeled_v3' reads the layout 'labeled_v3'"):
        load(config="labeled_v3")


@pytest.fixture(scope="module")
def real_splits(real_data, prepared_dir):
    return load_splits(real_data, SIZE, prepared_dir=prepared_dir)


def test_no_real_patient_is_in_train_and_validation_under_either_reading(real_splits, real_data):
    records = {record.filename: record for record in read_collection(real_data).records}
    train, validation = (
        [records[name] for name in real_splits.examples(split).filename]
        for split in ("train", "validation")
    )
    for reading in ("patient_id", "series_patient"):
        children = ({getattr(one, reading) for one in split} for split in (train, validation))
        assert set.isdisjoint(*children)
    assert 0.08 < len(validation) / (len(train) + len(validation)) < 0.12


def test_the_real_test_split_is_the_official_one(real_splits):
    examples = real_splits.examples("test")
    assert np.bincount(examples.label).tolist() == [234, 390]
    assert all(filename.startswith("test/") for filename in examples.filename)


def test_real_batches_are_the_files(real_splits, real_data):
    batch, _ = next(real_splits.validation.as_numpy_iterator())
    filenames = real_splits.examples("validation").filename[: len(batch)]
    np.testing.assert_array_equal(batch, read_files(real_data, filenames))
