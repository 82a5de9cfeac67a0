import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_pneumo.data.phantom import (
    AETIOLOGIES,
    JPEG_COMMENT,
    draw_anatomy,
    draw_phantom,
    write_phantom_collection,
)
from keras_pneumo.errors import OutputError, SettingsError

NAMES = {
    "NORMAL": re.compile(r"(?:IM|NORMAL2-IM)-(\d{4})-\d{4}\.jpeg"),
    "PNEUMONIA": re.compile(r"person(\d+)_(?:bacteria|virus)_\d+\.jpeg"),
}


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return write_phantom_collection(
        tmp_path_factory.mktemp("phantom") / "small", n_images=35, image_size=(64, 96), seed=3
    )


@pytest.fixture(scope="module")
def cohort():
    """One image each of many patients: pixels in [0, 255] and labels, 1 for PNEUMONIA."""
    images, labels = [], []
    for patient in range(600):
        rng = np.random.default_rng([7, patient])
        aetiology = ("none", "bacteria", "none", "virus", "none", "bacteria")[patient % 6]
        images.append(draw_phantom(draw_anatomy(rng), aetiology, rng, image_size=(64, 64)))
        labels.append(int(aetiology != "none"))
    return np.stack(images).astype(np.float32), np.array(labels)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _patient(path: Path) -> str:
    """The strictest reading: a number is one child, whatever surrounds it."""
    match = NAMES[path.parent.name].fullmatch(path.name)
    assert match, path.name
    return f"{path.parent.name}-{int(match[1])}"


def _ring(images):
    border = np.ones(images.shape[1:], bool)
    border[5:-5, 5:-5] = False
    return images[:, border]


@pytest.mark.parametrize("aetiology", AETIOLOGIES)
def test_phantom_is_8_bit_gray_of_the_asked_shape_and_uses_the_range(aetiology):
    rng = np.random.default_rng(0)
    phantom = draw_phantom(draw_anatomy(rng), aetiology, rng, image_size=(80, 112))
    assert phantom.shape == (80, 112)
    assert phantom.dtype == np.uint8
    assert phantom.max() - int(phantom.min()) > 120


def test_images_of_one_patient_resemble_each_other_more_than_those_of_two():
    def correlation(a, b):
        return np.corrcoef(a.ravel(), b.ravel())[0, 1]

    same, different = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        one, two = draw_anatomy(rng), draw_anatomy(rng)
        first, again, other = (
            draw_phantom(anatomy, "bacteria", rng, image_size=(64, 64))
            for anatomy in (one, one, two)
        )
        assert not np.array_equal(first, again)
        same.append(correlation(first, again))
        different.append(correlation(first, other))
    assert np.mean(same) > np.mean(different) + 0.03


def test_same_label_is_burnt_into_every_image():
    stack = []
    for aetiology in AETIOLOGIES:
        for seed in range(4):
            rng = np.random.default_rng(seed)
            phantom = draw_phantom(draw_anatomy(rng), aetiology, rng, image_size=(128, 128))
            stack.append(phantom[-60:, :14])
    fixed = (np.stack(stack) == stack[0]).all(axis=0)
    assert fixed.sum() > 150
    assert stack[0][fixed].max() > 180
    assert stack[0][fixed].min() == 0


@pytest.mark.parametrize("changes", [{"image_size": (63, 128)}, {"aetiology": "fungus"}])
def test_phantom_refuses_what_it_cannot_draw(changes):
    rng = np.random.default_rng(0)
    arguments = {"aetiology": "none", "image_size": (64, 64)} | changes
    with pytest.raises(SettingsError, match=str(next(iter(changes)))):
        draw_phantom(
            draw_anatomy(rng),
            arguments["aetiology"],
            rng,
            image_size=arguments["image_size"],
        )


def test_collection_has_the_documented_counts(collection):
    counts = {
        f"{split}/{name}": len(list((collection / split / name).iterdir()))
        for split in ("train", "val", "test")
        for name in ("NORMAL", "PNEUMONIA")
    }
    assert counts == {
        "train/NORMAL": 10,
        "train/PNEUMONIA": 25,
        "val/NORMAL": 8,
        "val/PNEUMONIA": 8,
        "test/NORMAL": 7,
        "test/PNEUMONIA": 10,
    }
    assert len(list(collection.glob("train/PNEUMONIA/*_bacteria_*"))) == 17
    assert len(list(collection.glob("train/PNEUMONIA/*_virus_*"))) == 8


def test_names_follow_kaggle_and_some_patients_have_several_images(collection):
    images = list(collection.glob("*/*/*"))
    patients = {_patient(path) for path in images}
    assert 0.4 * len(images) < len(patients) < 0.9 * len(images)
    assert {path.name.split("-0")[0] for path in collection.glob("*/NORMAL/*")} == {
        "IM",
        "NORMAL2-IM",
    }


def test_no_patient_is_in_two_splits(collection):
    splits = [
        {_patient(path) for path in (collection / split).glob("*/*")}
        for split in ("train", "val", "test")
    ]
    assert all(splits)
    assert len(set.union(*splits)) == sum(map(len, splits))


def test_no_patient_is_in_two_series(collection):
    series = {}
    for path in collection.glob("*/*/*"):
        name = re.sub(r"[-_]?\d+\.jpeg$", "", path.name)
        series.setdefault(_patient(path), set()).add(re.sub(r"\d+", "", name))
    assert all(len(names) == 1 for names in series.values())


def test_collection_is_grayscale_jpeg_and_says_that_it_is_synthetic(collection):
    for path in collection.glob("*/*/*"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "L", (96, 64))
            assert image.info["comment"] == JPEG_COMMENT.encode()
    assert "SYNTHETIC" in (collection / "README.txt").read_text(encoding="utf-8")


def test_same_arguments_give_the_same_bytes(tmp_path):
    def write(name, seed):
        folder = tmp_path / name
        return _files(write_phantom_collection(folder, n_images=14, image_size=(64, 64), seed=seed))

    first = write("first", 1)
    assert first == write("again", 1)
    assert first != write("other", 2)


def test_an_occupied_directory_is_refused(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OutputError):
        write_phantom_collection(tmp_path, n_images=14, image_size=(64, 64))
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_too_few_images_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(SettingsError, match="n_images"):
        write_phantom_collection(tmp_path / "phantoms", n_images=13)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "statistic",
    [
        pytest.param(lambda images: images.mean(axis=(1, 2)), id="mean"),
        pytest.param(lambda images: images.std(axis=(1, 2)), id="std"),
        pytest.param(lambda images: _ring(images).mean(axis=1), id="border mean"),
        pytest.param(lambda images: _ring(images).std(axis=1), id="border std"),
    ],
)
def test_one_global_number_does_not_tell_the_classes(cohort, statistic):
    images, labels = cohort
    auc = roc_auc_score(labels, statistic(images))
    assert max(auc, 1 - auc) < 0.65


def test_border_alone_does_not_tell_the_classes(cohort):
    images, labels = cohort
    assert _held_out_auc(_ring(images), labels) < 0.65


def test_simple_model_learns_the_classes(cohort):
    images, labels = cohort
    small = images.reshape(len(images), 32, 2, 32, 2).mean(axis=(2, 4)).reshape(len(images), -1)
    assert _held_out_auc(small, labels) > 0.85


def _held_out_auc(features, labels):
    """Train on the first two thirds of the patients, test on the others."""
    features = features - features.mean(axis=1, keepdims=True)
    features = features / features.std(axis=1, keepdims=True)
    cut = 2 * len(features) // 3
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-2, max_iter=500))
    model.fit(features[:cut], labels[:cut])
    return roc_auc_score(labels[cut:], model.decision_function(features[cut:]))
