"""The weights that the package brings."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import keras_pneumo
from keras_pneumo.data.phantom import AETIOLOGIES, draw_anatomy, draw_phantom
from keras_pneumo.lungs.segment import segment_lungs
from keras_pneumo.lungs.segmenter import WEIGHTS_FILE, LungSegmenter


@pytest.fixture(scope="module")
def preset():
    return LungSegmenter.from_preset()


@pytest.fixture(scope="module")
def anatomies():
    return [draw_anatomy(np.random.default_rng(seed)) for seed in range(12)]


@pytest.fixture(scope="module")
def phantom_chests(anatomies):
    """One phantom of each anatomy: uint8 ``(12, 112, 112, 3)``."""
    drawn = [
        draw_phantom(
            anatomy, AETIOLOGIES[seed % 3], np.random.default_rng(seed), image_size=(112, 112)
        )
        for seed, anatomy in enumerate(anatomies)
    ]
    return np.repeat(np.stack(drawn)[..., None], 3, axis=-1)


def test_it_is_a_small_file_that_says_where_it_comes_from(preset):
    file = Path(keras_pneumo.__file__).parent / "presets" / "lungs" / WEIGHTS_FILE
    assert file.stat().st_size < 500_000
    assert preset.count_params() <= 200_000
    about = preset.metadata
    assert "CC BY 4.0" in about["sources"]["images"]
    assert "CC BY 4.0" in about["sources"]["masks"]
    assert {"images", "patients"} == set(about["data"]["held_out"])
    assert about["recipe"]["seed"] == 0
    assert about["held_out"]["dice_mean"] > 0.94


def test_it_finds_the_lungs_of_phantoms(preset, phantom_chests, anatomies):
    for found, anatomy in zip(segment_lungs(phantom_chests, preset), anatomies, strict=True):
        assert found.plausible, found.doubts
        # A phantom's coordinates run over [-1, 1], and its pose is drawn.
        half_width = anatomy.chest_width / 2
        expected = (0.5 - half_width, 0.5 + anatomy.apex / 2, 0.5 + half_width)
        assert found.box[:3] == pytest.approx(expected, abs=0.1)


def test_it_doubts_what_is_no_frontal_chest(preset, phantom_chests):
    noise = np.random.default_rng(0).integers(0, 256, (6, 112, 112, 3), dtype=np.uint8)
    photographs = [
        np.asarray(Image.fromarray(photograph).resize((112, 112)))
        for photograph in load_sample_images().images
    ]
    lying = phantom_chests.transpose(0, 2, 1, 3)
    for images in (noise, np.stack(photographs), lying, np.full((1, 112, 112, 3), 100, "uint8")):
        assert not any(found.plausible for found in segment_lungs(images, preset))


def test_it_is_the_default_and_minds_no_mirror_and_no_inversion(preset, phantom_chests):
    found = list(segment_lungs(phantom_chests))
    mirrored = segment_lungs(phantom_chests[:, :, ::-1], preset)
    inverted = segment_lungs(255 - phantom_chests, preset)
    for one, left, negative in zip(found, mirrored, inverted, strict=True):
        for other in (left.mask[:, ::-1], negative.mask):
            assert 2 * (one.mask & other).sum() / (one.mask.sum() + other.sum()) > 0.9
