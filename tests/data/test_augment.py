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


def test_the_policy_none_only_casts(images):
    same = augmentation("none", seed=0)(images).numpy()
    assert same.dtype == np.float32
    np.testing.assert_array_equal(same, images)


def test_the_standard_policy_keeps_the_middle_and_fills_the_border_with_black():
    plain = np.full((32, 50, 50, 3), 200, np.uint8)
    varied = augmentation("standard", seed=0)(plain).numpy()
    middle = varied[:, 10:40, 10:40]
    assert middle.min() > 100
    assert np.median(varied[:, 0].min((1, 2))) < 1


def test_the_standard_policy_mirrors_sideways_and_never_turns_upside_down():
    gradient = np.zeros((32, 50, 50, 3), np.uint8)
    gradient[:, :25] += 100
    gradient[:, :, :25] += 100
    varied = augmentation("standard", seed=0)(gradient).numpy()
    top, bottom = varied[:, :25].mean((1, 2, 3)), varied[:, 25:].mean((1, 2, 3))
    left, right = varied[:, :, :25].mean((1, 2, 3)), varied[:, :, 25:].mean((1, 2, 3))
    assert (top > bottom).all()
    assert 4 < (left > right).sum() < 28


def test_the_standard_policy_leaves_grey_images_grey(images):
    varied = augmentation("standard", seed=0)(images).numpy()
    np.testing.assert_allclose(varied, varied[..., :1].repeat(3, -1), atol=1e-3)


def test_an_unknown_policy_is_refused():
    message = r"'none', 'standard', 'keras_cv'\. Received: 'strong'"
    with pytest.raises(SettingsError, match=message):
        augmentation("strong", seed=0)


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_cv", None)
    with pytest.raises(SettingsError, match=r"pip install 'keras-pneumo\[cv\]'"):
        augmentation("keras_cv", seed=0)
