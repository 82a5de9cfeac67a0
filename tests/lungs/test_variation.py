import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from sklearn.metrics import roc_auc_score

from keras_pneumo.lungs.field import box_of
from keras_pneumo.lungs.variation import vary


@pytest.fixture(scope="module")
def mask():
    mask = np.zeros((48, 48), bool)
    mask[10:38, 6:20] = mask[8:36, 28:42] = True
    return mask


@pytest.fixture(scope="module")
def varied(mask):
    """Two hundred variations of a picture that is its mask: lungs of 60 on 190."""
    picture = np.where(mask, 60, 190).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    return [vary(picture, mask, np.random.default_rng(seed)) for seed in range(200)]


def test_a_variation_depends_on_its_generator_alone(mask, varied):
    picture = np.where(mask, 60, 190).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    for seed in (0, 7):
        again = vary(picture, mask, np.random.default_rng(seed))
        assert all(map(np.array_equal, again, varied[seed]))
    assert not np.array_equal(varied[0][0], varied[1][0])


def test_image_and_mask_move_together(varied):
    for picture, mask in varied:
        # A grey level tells the mask from what is near, but for noise and blur.
        near = binary_dilation(mask, iterations=4)
        area = roc_auc_score(mask[near], picture[near])
        assert max(area, 1 - area) > 0.85


def test_one_in_four_is_inverted(varied):
    body = np.array([np.quantile(picture[~mask], 0.5) for picture, mask in varied])
    lungs = np.array([np.median(picture[mask]) for picture, mask in varied])
    assert 0.15 < (lungs > body).mean() < 0.4


def test_frames_are_tight_and_wide_and_of_any_aspect(varied):
    boxes = np.array([box_of(mask) for _, mask in varied])
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert (widths > 0.9).mean() > 0.15
    assert (widths < 0.65).mean() > 0.03
    assert np.std(widths / heights) > 0.15


def test_half_are_mirrored(mask):
    left = mask & (np.arange(48) < 24)
    picture = np.zeros((96, 96), np.uint8)
    moved_left = 0
    for seed in range(100):
        _, both = vary(picture, mask, np.random.default_rng(seed))
        _, one = vary(picture, left, np.random.default_rng(seed))
        if one.any():
            moved_left += np.argwhere(one)[:, 1].mean() < np.argwhere(both)[:, 1].mean()
    assert 35 < moved_left < 65
