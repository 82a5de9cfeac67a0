from itertools import count, islice
from threading import Event

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_pneumo import image
from keras_pneumo.data.phantom import draw_anatomy, draw_phantom
from keras_pneumo.errors import ImageError, SettingsError

# A gradient that every mode below can hold, and one of whose sides is not the other.
GREY = np.add.outer(np.arange(48), 2 * np.arange(64)).astype(np.uint8)
MODES = {
    "grayscale.jpeg": Image.fromarray(GREY),
    "rgb.jpeg": Image.fromarray(GREY).convert("RGB"),
    "grayscale.png": Image.fromarray(GREY),
    "rgb.png": Image.fromarray(GREY).convert("RGB"),
    "rgba.png": Image.fromarray(GREY).convert("RGBA"),
    "grey_and_alpha.png": Image.fromarray(GREY).convert("LA"),
    "palette.png": Image.fromarray(GREY).quantize(256),
    "16_bit.png": Image.fromarray(GREY.astype(np.uint16) * 257),
}
COLOUR = np.random.default_rng(0).integers(0, 256, (101, 151, 3), dtype=np.uint8)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # orientation: to be shown turned by 90 degrees
FORMATS = {
    "grayscale.jpeg": (Image.fromarray(COLOUR[..., 0]), {}),
    "rgb.jpeg": (Image.fromarray(COLOUR), {}),
    "progressive.jpeg": (Image.fromarray(COLOUR), {"progressive": True}),
    "cmyk.jpeg": (Image.fromarray(COLOUR).convert("CMYK"), {}),
    "turned.jpeg": (Image.fromarray(COLOUR), {"exif": TURNED}),
    "rgba.png": (Image.fromarray(COLOUR).convert("RGBA"), {}),
    "16_bit.png": (Image.fromarray(COLOUR[..., 0].astype(np.uint16) * 257), {}),
}


@pytest.fixture(scope="module")
def full_size():
    """A radiograph of the size that a detector gives: fine noise, sharp edges, not square."""
    rng = np.random.default_rng(0)
    return draw_phantom(draw_anatomy(rng), "bacteria", rng, image_size=(1000, 1300))


def pillow(path, image_size):
    """What Pillow's antialiased bicubic makes of a file."""
    with Image.open(path) as opened:
        resized = opened.convert("RGB").resize(image_size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=float)


@pytest.mark.parametrize("name", MODES)
def test_every_kind_of_file_becomes_three_equal_channels(tmp_path, name):
    path = tmp_path / name
    MODES[name].save(path, **({"quality": 100} if path.suffix == ".jpeg" else {}))
    found = image.read(path, GREY.shape)
    assert (found.dtype, found.shape) == (np.uint8, (48, 64, 3))
    tolerance = 2 if path.suffix == ".jpeg" else 0
    np.testing.assert_allclose(found, np.stack([GREY] * 3, -1), atol=tolerance)


def by_tensorflow(path, image_size, resize="stretch"):
    """The whole image, decoded and resized by TensorFlow's own functions."""
    if path.suffix == ".jpeg":
        accurate = {"dct_method": "INTEGER_ACCURATE"}
        pixels = tf.io.decode_jpeg(path.read_bytes(), channels=3, **accurate)
    else:
        pixels = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
    keep = resize == "pad"
    pixels = tf.image.resize(
        pixels, image_size, method="bicubic", antialias=True, preserve_aspect_ratio=keep
    )
    pixels = tf.cast(tf.round(tf.clip_by_value(pixels, 0.0, 255.0)), tf.uint8)
    return tf.image.resize_with_crop_or_pad(pixels, *image_size).numpy()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_up_to_four_times_the_target_it_is_what_tensorflow_makes_to_the_bit(tmp_path, name, resize):
    path = tmp_path / name
    picture, options = FORMATS[name]
    picture.save(path, **options)
    for image_size in [(40, 40), (101, 151), (200, 333)]:
        found = image.read(path, image_size, resize)
        np.testing.assert_array_equal(found, by_tensorflow(path, image_size, resize))


@pytest.mark.parametrize("image_size", [(224, 224), (64, 96)])
@pytest.mark.parametrize(("suffix", "largest"), [(".png", 5), (".jpeg", 15)])
def test_a_full_size_image_is_resized_as_pillow_does(
    tmp_path, full_size, suffix, largest, image_size
):
    path = tmp_path / f"radiograph{suffix}"
    Image.fromarray(full_size).save(path)
    found = image.read(path, image_size)
    difference = np.abs(found - pillow(path, image_size))
    assert found.shape == (*image_size, 3)
    # Without antialiasing it is 2 to 3 grey levels, and more than 100 at the burnt-in letters.
    assert difference.mean() < 0.3
    assert difference.max() < largest


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("side", [249, 124, 62])
def test_a_much_larger_jpeg_is_decoded_as_pillow_drafts_it(tmp_path, full_size, mode, side):
    path = tmp_path / "radiograph.jpeg"
    # Sides that 2, 4 and 8 do not divide: a pixel at the end is then only partly in the image.
    Image.fromarray(full_size[:999, :1001]).convert(mode).save(path, subsampling=0)
    found = image.read(path, (side, side))
    with Image.open(path) as opened:
        _, box = opened.draft(mode, (2 * side, 2 * side))
        assert max(opened.size) < 502
        resized = opened.resize((side, side), Image.Resampling.BICUBIC, box)
    expected = np.asarray(resized.convert("RGB"), dtype=int)
    np.testing.assert_allclose(found, expected, atol=1)
    assert np.abs(found - pillow(path, (side, side))).max() > 1


def test_scaled_decoding_changes_a_picture_less_than_saving_it_at_quality_75(tmp_path, full_size):
    image_size = (224, 224)
    for quality in (75, 100):
        Image.fromarray(full_size).save(tmp_path / f"{quality}.jpeg", quality=quality)
    whole, saved_again = (pillow(tmp_path / f"{quality}.jpeg", image_size) for quality in (100, 75))
    scaled = image.read(tmp_path / "100.jpeg", image_size)
    assert 0 < np.abs(scaled - whole).mean() < np.abs(saved_again - whole).mean()


def test_real_images_are_resized_as_pillow_does(real_data):
    for path in sorted(real_data.rglob("*.jpeg"))[::500]:
        difference = np.abs(image.read(path, (96, 128)) - pillow(path, (96, 128)))
        assert difference.mean() < 2, path


def test_stretch_fills_the_target_and_pad_keeps_the_shape(tmp_path):
    path = tmp_path / "wide.png"
    Image.new("L", (100, 50), 255).save(path)
    stretched = image.read(path, (64, 64), resize="stretch")
    padded = image.read(path, (64, 64), resize="pad")
    assert np.unique(stretched).tolist() == [255]
    assert np.unique(padded[:16]).tolist() == [0]
    assert np.unique(padded[16:48]).tolist() == [255]
    assert np.unique(padded[48:]).tolist() == [0]


def test_a_tall_image_is_padded_at_its_sides(tmp_path):
    path = tmp_path / "tall.png"
    Image.new("L", (50, 100), 255).save(path)
    padded = image.read(path, (64, 96), resize="pad")
    assert padded.shape == (64, 96, 3)
    assert np.flatnonzero(padded[0, :, 0]).tolist() == list(range(32, 64))
    assert np.unique(padded[:, 32:64]).tolist() == [255]


@pytest.mark.parametrize("resize", ["stretch", "pad"])
@pytest.mark.parametrize("name", ["whole.png", "whole.jpeg", "scaled.jpeg"])
def test_decoding_inside_tf_data_gives_what_reading_gives(tmp_path, full_size, name, resize):
    path = tmp_path / name
    Image.fromarray(full_size if name == "scaled.jpeg" else GREY).save(path)
    dataset = tf.data.Dataset.from_tensors(path.read_bytes())
    dataset = dataset.map(lambda contents: image.decode(contents, (40, 36), resize))
    assert dataset.element_spec == tf.TensorSpec((40, 36, 3), tf.uint8)
    np.testing.assert_array_equal(next(iter(dataset)), image.read(path, (40, 36), resize))


def test_overshoot_at_an_edge_is_cut_off_and_not_wrapped(tmp_path):
    path = tmp_path / "edge.png"
    Image.fromarray(np.repeat(np.array([0, 255], np.uint8), 48)[None].repeat(96, 0)).save(path)
    row = image.read(path, (40, 40))[0, :, 0].astype(int)
    assert (np.diff(row) >= -1).all()
    assert (row[0], row[-1]) == (0, 255)


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("missing.jpeg", None, "Cannot open .*No such file.*Check the path"),
        ("empty.jpeg", b"", "must not be empty. Found 0 bytes"),
        ("text.jpeg", b"not a picture, but text", "must be a whole JPEG or PNG.*23 bytes"),
        ("html.png", b"<!doctype html><title>Sign in</title>", "must be a whole JPEG or PNG"),
    ],
)
def test_a_file_that_is_no_image_is_named_with_the_reason(tmp_path, name, contents, message):
    path = tmp_path / name
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(ImageError, match=message) as error:
        image.read(path, (32, 32))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["grayscale.jpeg", "rgb.jpeg", "grayscale.png"])
@pytest.mark.parametrize("times", [1, 10])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_a_truncated_image_is_refused(tmp_path, name, times, share):
    path = tmp_path / name
    MODES[name].resize((64 * times, 48 * times)).save(path)
    contents = path.read_bytes()
    path.write_bytes(contents[: round(share * len(contents))])
    with pytest.raises(ImageError, match=r"truncated or no image\. Replace or remove it"):
        image.read(path, (32, 32))


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(ImageError, match="Cannot open"):
        image.read(tmp_path, (32, 32))


@pytest.mark.parametrize("image_size", [(31, 224), (224, 0), 224, (224,), (1, 2, 3), "ab", None])
def test_an_image_size_that_is_none_is_refused(tmp_path, image_size):
    with pytest.raises(SettingsError, match=r"`image_size` must be \(height, width\)") as error:
        image.read(tmp_path / "not_reached.png", image_size)
    assert repr(image_size) in str(error.value)


def test_an_unknown_way_to_resize_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"'stretch', 'pad'\. Received: 'crop'"):
        image.read(tmp_path / "not_reached.png", (32, 32), resize="crop")


def test_files_are_read_while_the_first_is_in_use():
    second_is_read = Event()

    def read(path):
        if path == "b":
            second_is_read.set()
        return path

    files = image.read_ahead(["a", "b"], read)
    assert next(files) == "a"
    assert second_is_read.wait(10)
    assert list(files) == ["b"]


def test_what_has_no_end_is_read_a_little_ahead():
    taken = []
    endless = (taken.append(number) or str(number) for number in count())
    assert list(islice(image.read_ahead(endless, int), 200)) == list(range(200))
    assert len(taken) < 300
