import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_pneumo.data.augment import POLICIES, augmentation
from keras_pneumo.data.phantom import draw_anatomy, draw_phantom
from keras_pneumo.errors import SettingsError


@pytest.fixture(scope="module")
def images():
    """Radiographs as the pipeline gives them, uint8 (4, 64, 64, 3); the first two are the same."""
    rng = np.random.default_rng(0)
    drawn = [
        draw_phantom(draw_anatomy(rng), aetiology, rng, image_size=(64, 64))
        for aetiology in ("none", "bacteria", "virus")
    ]
    return np.repeat(np.stack([drawn[0], *drawn])[..., None], 3, axis=-1)


def two_epochs(images, policy, seed):
    batches = tf.data.Dataset.from_tensor_slices(images).batch(2).map(augmentation(policy, seed))
    assert batches.element_spec == tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    return np.stack([np.concatenate(list(batches.as_numpy_iterator())) for _ in range(2)])


# It takes many seconds to import, once for all of these.
KERAS_CV = [pytest.mark.slow, pytest.mark.xdist_group("keras_cv")]
VARYING = [
    pytest.param(policy, marks=KERAS_CV if policy == "keras_cv" else [])
    for policy in POLICIES
    if policy != "none"
]


@pytest.fixture(scope="module", params=VARYING)
def varied(request, images):
    """Two epochs inside tf.data under a seed, under the same seed again, and under another one."""
    return [two_epochs(images, request.param, seed) for seed in (3, 3, 4)]


def test_varied_images_keep_their_shape_and_range(varied, images):
    first, _again, _other = varied
    assert first.shape == (2, *images.shape)
    assert first.min() >= 0
    assert 1 < first.max() <= 255


def test_the_same_seed_varies_the_same_way_in_every_epoch(varied):
    first, again, _other = varied
    np.testing.assert_array_equal(first, again)


def test_another_seed_varies_every_image_in_another_way(varied):
    first, _again, other = varied
    assert np.abs(first - other).mean((2, 3, 4)).min() > 1


def test_each_epoch_and_each_image_is_varied_anew(varied, images):
    first, _again, _other = varied
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0, 0], first[0, 1])
    assert not np.array_equal(first[0], images)


def varied_by(layer, images):
    return np.asarray(layer(np.asarray(images, "float32"), training=True))


def test_the_policy_none_only_casts(images):
    same = augmentation("none", seed=0)(images).numpy()
    assert same.dtype == np.float32
    np.testing.assert_array_equal(same, images)


def test_the_standard_policy_keeps_the_middle_and_fills_the_border_with_black():
    moved = np.full((32, 50, 50, 3), 200, np.uint8)
    for layer in POLICIES["standard"](0)[:4]:  # those that move pixels
        moved = varied_by(layer, moved)
    assert moved[:, 10:40, 10:40].min() > 199
    assert np.median(moved[:, 0].min((1, 2))) < 1


def test_the_standard_policy_mirrors_sideways_and_never_turns_upside_down():
    gradient = np.zeros((32, 50, 50, 3), np.uint8)
    gradient[:, :25] += 100
    gradient[:, :, :25] += 100
    varied = augmentation("standard", seed=0)(gradient).numpy()
    top, bottom = varied[:, :25].mean((1, 2, 3)), varied[:, 25:].mean((1, 2, 3))
    left, right = varied[:, :, :25].mean((1, 2, 3)), varied[:, :, 25:].mean((1, 2, 3))
    assert (top > bottom).all()
    assert 4 < (left > right).sum() < 28


def contrasts_of(layer):
    """By how much 200 images with two grey levels are spread."""
    halves = np.where(np.arange(8) < 4, 80.0, 120.0)[None, None, :, None]
    return np.ptp(varied_by(layer, halves + np.zeros((200, 8, 8, 3))), (1, 2, 3)) / 40


def test_the_standard_policy_lowers_contrast_as_often_as_it_raises_it():
    contrasts = contrasts_of(POLICIES["standard"](0)[-1])
    assert 0.8 - 1e-3 < contrasts.min() < 0.85
    assert 1.15 < contrasts.max() < 1.2 + 1e-3
    assert 70 < (contrasts < 1).sum() < 130


@pytest.mark.parametrize("policy", ["standard", "framing"])
def test_grey_images_stay_grey(policy, images):
    varied = augmentation(policy, seed=0)(images).numpy()
    np.testing.assert_allclose(varied, varied[..., :1].repeat(3, -1), atol=1e-3)


def test_framing_shows_parts_of_every_size_and_shape_and_never_upside_down():
    crop, flip, *_ = POLICIES["framing"](0)
    # The grey level says where a pixel comes from: its row in one channel, its column in another.
    rows, columns = np.mgrid[0:1:64j, 0:1:64j]
    places = np.repeat(np.stack([rows, columns, rows], -1)[None], 200, 0)
    cropped = varied_by(crop, places)
    height, width = (np.ptp(cropped[..., channel], (1, 2)) for channel in (0, 1))
    assert 0.29 < (height * width).min() < 0.35
    assert 0.95 < (height * width).max() <= 1
    shape = height / width
    assert 3 / 4 - 0.01 < shape.min() < 0.8
    assert 1.25 < shape.max() < 4 / 3 + 0.01
    assert (cropped[:, 0, :, 0] < cropped[:, -1, :, 0]).all()
    mirrored = varied_by(flip, cropped)
    turned = mirrored[:, 0, 0, 1] > mirrored[:, 0, -1, 1]
    assert 70 < turned.sum() < 130
    np.testing.assert_array_equal(mirrored[~turned], cropped[~turned])


def test_framing_blurs_half_the_images_down_to_a_quarter_of_their_size():
    blur = POLICIES["framing"](0)[2]
    noise = np.random.default_rng(0).uniform(0, 255, (100, 64, 64, 1)).repeat(3, -1)
    blurred = varied_by(blur, noise)
    # Averages of k x k independent pixels have 1 / k of their spread.
    spread = blurred.std((1, 2, 3)) / noise.std((1, 2, 3))
    assert 30 < (spread > 0.999).sum() < 70
    assert 0.15 < spread.min() < 0.3
    np.testing.assert_allclose(blurred.mean((1, 2)), noise.mean((1, 2)), rtol=0.05)


def test_framing_varies_exposure_display_and_grain():
    _, _, _, gamma, contrast, brightness, noise = POLICIES["framing"](0)
    plain = np.full((200, 8, 8, 3), 100.0)
    exponents = np.log(varied_by(gamma, plain)[:, 0, 0, 0] / 255) / np.log(100 / 255)
    assert 0.55 - 1e-3 < exponents.min() < 0.65
    assert 1.6 < exponents.max() < 1.8 + 1e-3
    shifts = varied_by(brightness, plain)[:, 0, 0, 0] - 100
    assert -51.1 < shifts.min() < -40
    assert 40 < shifts.max() < 51.1
    contrasts = contrasts_of(contrast)
    assert 0.5 - 1e-3 < contrasts.min() < 0.6
    assert 1.4 < contrasts.max() < 1.5 + 1e-3
    grain = (varied_by(noise, np.full((50, 64, 64, 3), 100.0)) - 100).std((1, 2, 3)) / 255
    assert grain.min() < 0.01
    assert 0.05 < grain.max() < 0.062


def test_an_unknown_policy_is_refused():
    message = r"'none', 'standard', 'framing', 'keras_cv'\. Received: 'strong'"
    with pytest.raises(SettingsError, match=message):
        augmentation("strong", seed=0)


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_cv", None)
    with pytest.raises(SettingsError, match=r"pip install 'keras-pneumo\[cv\]'"):
        augmentation("keras_cv", seed=0)
