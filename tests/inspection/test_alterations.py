import numpy as np
import pytest
from scipy.ndimage import correlate1d

from keras_pneumo.inspection.alteration_plots import draw_alterations
from keras_pneumo.inspection.alterations import (
    ALTERATIONS,
    black_border,
    black_centre,
    blur,
    central_field,
    change_brightness,
    change_contrast,
    change_gamma,
    compress,
    equal_exposure,
    rotate,
    smooth_corners,
    smooth_sides,
)
from keras_pneumo.inspection.probes import draw_probes


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), np.uint8)


@pytest.fixture(scope="module")
def smooth():
    """A grey slope, as JPEG and interpolation like it."""
    slope = np.add.outer(np.arange(32) * 3, np.arange(48) * 2).astype(np.uint8)
    return np.repeat(slope[None, :, :, None], 3, axis=-1)


@pytest.mark.parametrize("one", ALTERATIONS, ids=lambda one: one.name)
def test_every_alteration_changes_a_copy_image_by_image(one):
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 80, 3), np.uint8)
    images.setflags(write=False)
    altered = one.apply(images)
    assert altered.dtype == np.uint8
    assert altered.shape == images.shape
    assert not np.array_equal(altered, images)
    np.testing.assert_array_equal(altered[1:], one.apply(images[1:]))


def test_the_registry_names_each_alteration_once_and_keeps_groups_together():
    assert 24 <= len(ALTERATIONS) <= 28
    for what in ("name", "title"):
        assert len({getattr(one, what) for one in ALTERATIONS}) == len(ALTERATIONS)
    groups = [one.group for one in ALTERATIONS]
    assert groups == sorted(groups, key=groups.index)
    assert list(dict.fromkeys(groups)) == ["Occlusion", "Intensity", "Sharpness", "Geometry"]


def test_border_and_centre_cut_an_image_into_two_parts(images):
    border, centre = black_border(images, 0.1), black_centre(images, 0.1)
    np.testing.assert_array_equal(border[:, 2:18, 3:27], images[:, 2:18, 3:27])
    assert not centre[:, 2:18, 3:27].any()
    np.testing.assert_array_equal(border + centre, images)
    assert not border[:, :2].any()
    assert not border[:, :, 27:].any()


def test_the_central_field_of_a_real_size_is_three_fifths_of_each_side():
    field = central_field(224, 224, 0.2)
    assert field[45:179, 45:179].all()
    assert field.sum() == 134**2


def test_smooth_corners_are_row_medians_and_leave_all_else(images):
    altered = smooth_corners(images, 0.2)
    assert (altered[0, 1, :6, 2] == np.rint(np.median(images[0, 1, :6, 2]))).all()
    assert (altered[2, 19, 24:, 0] == np.rint(np.median(images[2, 19, 24:, 0]))).all()
    np.testing.assert_array_equal(altered[:, 4:16], images[:, 4:16])
    np.testing.assert_array_equal(altered[:, :, 6:24], images[:, :, 6:24])


def test_smooth_sides_are_row_medians_and_leave_all_else(images):
    altered = smooth_sides(images, 0.1)
    assert (altered[1, 10, :3, 1] == np.median(images[1, 10, :3, 1])).all()
    assert (altered[1, 10, 27:, 1] == np.median(images[1, 10, 27:, 1])).all()
    np.testing.assert_array_equal(altered[:, :, 3:27], images[:, :, 3:27])


@pytest.mark.parametrize("smooth_away", [smooth_corners, smooth_sides])
def test_a_letter_on_the_background_is_gone_without_a_trace(smooth_away):
    background = np.full((1, 40, 40, 3), 30, np.uint8)
    lettered = background.copy()
    lettered[:, 1:7, 1:3] = 250
    np.testing.assert_array_equal(smooth_away(lettered, 0.2), background)


def test_contrast_stretches_about_the_mean_of_each_image():
    images = np.stack([np.full((1, 1, 3), 0), np.full((1, 1, 3), 100)], axis=2).astype(np.uint8)
    images = images.reshape(1, 1, 2, 3)
    assert change_contrast(images, 0.5)[0, 0, :, 0].tolist() == [25, 75]
    assert change_contrast(images, 1.5)[0, 0, :, 0].tolist() == [0, 125]


def test_brightness_adds_grey_levels_and_stops_at_black_and_white():
    images = np.array([0, 15, 100, 250], np.uint8).reshape(1, 2, 2, 1).repeat(3, axis=3)
    assert change_brightness(images, 20)[0, ..., 0].ravel().tolist() == [20, 35, 120, 255]
    assert change_brightness(images, -20)[0, ..., 0].ravel().tolist() == [0, 0, 80, 230]


def test_gamma_keeps_black_and_white_and_bends_what_is_between():
    images = np.array([0, 51, 128, 255], np.uint8).reshape(1, 2, 2, 1).repeat(3, axis=3)
    assert change_gamma(images, 2)[0, ..., 1].ravel().tolist() == [0, 10, 64, 255]
    assert change_gamma(images, 0.5)[0, ..., 1].ravel().tolist() == [0, 114, 181, 255]


def test_equal_exposure_gives_mean_and_deviation_and_leaves_no_image_undefined(smooth):
    altered = equal_exposure(np.concatenate([smooth, smooth // 2, 0 * smooth]), 120, 40)
    np.testing.assert_allclose(altered[:2].mean(axis=(1, 2, 3)), 120, atol=0.5)
    np.testing.assert_allclose(altered[:2].std(axis=(1, 2, 3)), 40, atol=0.5)
    assert (altered[2] == 120).all()


def test_blur_is_a_gaussian_in_pixels_of_a_224_pixel_image():
    images = np.random.default_rng(1).integers(0, 256, (1, 112, 448, 3), np.uint8)
    expected = images.astype(float)
    for axis, sigma in ((1, 0.5), (2, 2.0)):
        reach = int(4 * sigma + 0.5)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        expected = correlate1d(expected, kernel / kernel.sum(), axis, mode="nearest")
    assert np.abs(blur(images, 1) - expected).max() <= 0.501


def test_compression_hardly_changes_a_smooth_image_and_more_at_low_quality(images, smooth):
    assert np.abs(compress(smooth, 95).astype(int) - smooth).max() <= 2
    errors = [np.abs(compress(images, quality).astype(int) - images).mean() for quality in (25, 75)]
    assert errors[0] > errors[1]
    assert (np.ptp(compress(smooth, 25), axis=-1) == 0).all()


@pytest.mark.parametrize(
    "nothing",
    [
        lambda images: black_border(images, 0),
        lambda images: change_contrast(images, 1),
        lambda images: change_brightness(images, 0),
        lambda images: change_gamma(images, 1),
        lambda images: blur(images, 0),
        lambda images: rotate(images, 0),
    ],
)
def test_the_neutral_amount_changes_nothing(nothing, images):
    np.testing.assert_array_equal(nothing(images), images)


def test_rotation_is_anticlockwise_about_the_middle_and_brings_in_black():
    square = np.full((1, 41, 41, 3), 200, np.uint8)
    square[:, 18:23, 36:40] = 10
    quarter = rotate(square, 90)
    np.testing.assert_array_equal(quarter[0], np.rot90(square[0]))
    turned = rotate(square, 10)
    assert (turned[0, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
    assert turned[0, 20, 20, 0] == 200


def test_probes_show_no_chest_and_repeat():
    probes, again = draw_probes(24, 16, seed=3), draw_probes(24, 16, seed=3)
    assert [probe.name for probe in probes] == [
        "blank_black",
        "blank_grey",
        "blank_white",
        "noise_uniform",
        "noise_gaussian",
    ]
    for probe, same in zip(probes, again, strict=True):
        assert probe.images.dtype == np.uint8
        assert (np.ptp(probe.images, axis=-1) == 0).all()
        np.testing.assert_array_equal(probe.images, same.images)
    uniform, gaussian = (probe.images for probe in probes[3:])
    assert abs(uniform.mean() - 127.5) < 5
    assert abs(gaussian.mean() - 128) < 3
    assert 55 < gaussian.std() < 64
    assert not np.array_equal(uniform, draw_probes(24, 16, seed=4)[3].images)


def test_the_contact_sheet_shows_every_alteration(smooth):
    figure = draw_alterations(smooth[0])
    shown = {axes.get_title(): axes.images[0].get_array() for axes in figure.axes}
    assert list(shown) == ["Unaltered", *(one.title for one in ALTERATIONS)]
    np.testing.assert_array_equal(shown["Unaltered"], smooth[0])
    np.testing.assert_array_equal(shown["Gamma 2"], change_gamma(smooth, 2)[0])
