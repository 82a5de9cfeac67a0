import json
from collections import Counter

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import roc_auc_score

from keras_pneumo import PneumoniaClassifier, load_splits
from keras_pneumo.errors import SettingsError
from keras_pneumo.inference import predict_split
from keras_pneumo.inspection.alterations import ALTERATIONS
from keras_pneumo.inspection.shortcuts import draw_patients, measure_shortcuts

SIZE = (40, 40)
FEW = {"resamples": 200, "verbose": 0}


class BorderReader(PneumoniaClassifier):
    """Its logit is (m - 115) / 10, where m is the mean of the outer tenth of each side."""

    stage_ends = {}  # noqa: RUF012

    def __init__(self):
        super().__init__(
            weights=None, image_size=SIZE, resize="stretch", dropout=0, dtype=None, name="border"
        )
        self.get_layer("logit").set_weights([np.array([[100 / 36 / 10]]), np.array([-11.5])])

    @staticmethod
    def build_backbone(weights, input_shape):
        images = keras.Input(input_shape)
        third = keras.initializers.Constant(1 / 3)
        grey = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer=third)(images)
        cells = keras.layers.AveragePooling2D(4)(grey)
        border = np.ones((1, 10, 10, 1), "float32")
        border[:, 1:9, 1:9] = 0
        return keras.Model(images, cells * border)

    @staticmethod
    def preprocess(images):
        return images


@pytest.fixture(scope="module")
def model():
    return BorderReader()


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Two images a patient, whose class shows in the brightness of the border alone.

    The border of the first patient of the test is black.
    """
    root = tmp_path_factory.mktemp("data") / "borders"
    rng = np.random.default_rng(0)
    for split, patients in {"train": 10, "test": 12}.items():
        for label, (folder, name) in enumerate(
            {"NORMAL": "IM-{}-{}.png", "PNEUMONIA": "person{}_virus_{}.png"}.items()
        ):
            (root / split / folder).mkdir(parents=True)
            for patient in range(patients):
                for number in range(2):
                    level = np.clip(rng.normal(90 + 50 * label, 22), 1, 255)
                    is_first = split == "test" and not label and not patient
                    pixels = np.full(SIZE, 0 if is_first else level)
                    pixels[4:-4, 4:-4] = rng.integers(0, 256, (32, 32))
                    path = root / split / folder / name.format(100 * label + patient, number)
                    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def splits(collection, prepared_dir):
    return load_splits(collection, SIZE, 16, prepared_dir=prepared_dir)


@pytest.fixture(scope="module")
def audit(model, splits):
    return measure_shortcuts(model, splits, "test", **FEW)


def test_a_model_that_reads_the_border_is_caught(audit):
    assert audit.unaltered["roc_auc"].value > 0.85
    rows = {row.name: row for row in audit.rows}
    for name in ("border_10_black", "border_20_black"):
        assert rows[name].metrics["roc_auc"].value == 0.5
        assert rows[name].changes["roc_auc"].high < 0
        assert rows[name].metrics["specificity"].value == 1
        assert rows[name].metrics["recall"].value == 0
    for name in ("centre_60_black", "centre_80_black"):
        assert rows[name].metrics == audit.unaltered
        assert {change.value for change in rows[name].changes.values()} == {0}


def test_its_heat_lies_outside_the_centre(audit):
    found = audit.outside_centre
    assert found.value == found.low == found.high == pytest.approx(1)
    assert found.area == pytest.approx(0.64)
    # The two images with a black border have no heat at all.
    assert found.images == audit.images - 2 == 46


def test_unaltered_is_what_an_evaluation_finds(audit, model, splits):
    found = predict_split(model, splits, "test", verbose=0)
    assert audit.unaltered["roc_auc"].value == roc_auc_score(found.y_true, found.y_score)
    called = found.y_score >= model.threshold
    assert audit.unaltered["recall"].value == called[found.y_true == 1].mean()
    assert audit.unaltered["specificity"].value == 1 - called[found.y_true == 0].mean()
    assert (audit.images, audit.patients) == (len(found), found.n_patients) == (48, 24)


def test_a_change_is_altered_less_unaltered(audit):
    assert [row.name for row in audit.rows] == [one.name for one in ALTERATIONS]
    for row in audit.rows:
        for name, change in row.changes.items():
            expected = row.metrics[name].value - audit.unaltered[name].value
            assert change.value == pytest.approx(expected, abs=1e-12)


def test_probes_get_the_answers_of_the_model(audit, model):
    def answer(mean):
        return 1 / (1 + np.exp(-(mean - 115) / 10))

    probes = {probe.name: probe for probe in audit.probes}
    for name, grey in {"blank_black": 0, "blank_grey": 128, "blank_white": 255}.items():
        found = probes[name]
        assert found.mean == found.lowest == found.highest == pytest.approx(answer(grey), rel=1e-4)
        assert (found.images, found.called_pneumonia) == (1, grey > 115)
    # The border of noise is as bright as its mean, and inversion turns a dark one bright.
    assert probes["noise_uniform"].mean == pytest.approx(answer(127.5), abs=0.05)
    assert probes["noise_gaussian"].called_pneumonia == probes["noise_gaussian"].images == 16
    assert probes["inverted"].images == audit.images
    assert probes["inverted"].highest == pytest.approx(answer(255), rel=1e-4)
    assert probes["inverted"].lowest < probes["inverted"].mean < probes["inverted"].highest


def test_the_batch_size_does_not_change_the_audit(collection, prepared_dir, model):
    small, large = (
        measure_shortcuts(
            model,
            load_splits(collection, SIZE, batch_size, prepared_dir=prepared_dir),
            "test",
            images=15,
            **FEW,
        ).to_dict()
        for batch_size in (5, 48)
    )
    assert small == large
    assert (small["images"], small["patients"]) == (14, 7)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_whole_patients_are_drawn_until_none_fits(patients, images, seed):
    counts = Counter(patients)
    if images < min(counts.values()):
        with pytest.raises(SettingsError, match="whole patients"):
            draw_patients(patients, images, seed)
        return
    chosen = draw_patients(patients, images, seed)
    drawn = {patient for patient, one in zip(patients, chosen, strict=True) if one}
    assert chosen.tolist() == [patient in drawn for patient in patients]
    assert chosen.sum() <= images
    left = [count for patient, count in counts.items() if patient not in drawn]
    assert all(count > images - chosen.sum() for count in left)
    np.testing.assert_array_equal(chosen, draw_patients(patients, images, seed))


def test_another_seed_draws_other_patients():
    drawn = [draw_patients(np.arange(50), 10, seed) for seed in range(2)]
    assert not np.array_equal(*drawn)
    assert draw_patients(np.arange(50), None).all()


def test_one_patient_leaves_undefined_what_needs_more(splits):
    class Even(BorderReader):
        """Its feature maps are equal everywhere."""

        @staticmethod
        def build_backbone(weights, input_shape):
            images = keras.Input(input_shape)
            mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(images)
            return keras.Model(images, keras.layers.UpSampling2D(10)(mean[..., :1]))

    audit = measure_shortcuts(Even(), splits, "test", images=2, **FEW)
    found = json.loads(json.dumps(audit.to_dict(), allow_nan=False))
    assert found["unaltered"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert {row["metrics"]["roc_auc"]["change"] for row in found["rows"]} == {None}
    assert sum(found["unaltered"][name]["value"] is None for name in ("recall", "specificity")) == 1
    assert found["outside_centre"]["value"] == pytest.approx(found["outside_centre"]["area"])
    assert found["outside_centre"]["low"] is None
    assert "–" in str(audit)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"split": "val"}, "validation"),
        ({"images": 0}, "at least 2 here"),
        ({"images": 1}, "whole patients"),
        ({"level": 95}, "level"),
        ({"resamples": 0}, "resamples"),
    ],
)
def test_a_bad_setting_is_refused_before_a_model_is_asked(splits, setting, message):
    class Silent:
        threshold = 0.5

    with pytest.raises(SettingsError, match=message):
        measure_shortcuts(Silent(), splits, **{"split": "test", **setting})


def test_the_dict_is_plain_and_complete(audit):
    found = audit.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found) == [
        *("split", "images", "patients", "threshold", "level", "resamples", "seed"),
        *("unaltered", "rows", "probes", "outside_centre"),
    ]
    names = {"roc_auc", "specificity", "recall"}
    assert found["unaltered"].keys() == names
    for row in found["rows"]:
        assert list(row) == ["group", "name", "title", "metrics"]
        assert row["metrics"].keys() == names
        for metric in row["metrics"].values():
            assert list(metric) == [
                *("value", "low", "high"),
                *("change", "change_low", "change_high"),
            ]
    assert list(found["probes"][0]) == [
        *("name", "title", "images", "mean", "lowest", "highest", "called_pneumonia")
    ]
    assert list(found["outside_centre"]) == ["value", "low", "high", "area", "images"]


def test_the_text_shows_every_row_and_fits_a_terminal(audit):
    text = str(audit)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line != line.rstrip() for line in lines)
    assert lines[0] == "Shortcut audit of test: 48 images of 24 patients, threshold 0.5"
    for row in audit.rows:
        (line,) = [line for line in lines if line.startswith(f"  {row.title}  ")]
        assert f"{row.metrics['roc_auc'].value:.3f}" in line
    (border,) = [line for line in lines if "Border of 10 %" in line]
    assert border.split()[5::2] == ["0.500", "1.000", "0.000"]
    assert "*" in border
    assert "*" not in next(line for line in lines if "Central 80 %" in line)
    for probe in audit.probes:
        assert f"  {probe.title} " in text
    assert "on 0.640 of the area" in text
    assert "mean of 46 images with any heat" in text
