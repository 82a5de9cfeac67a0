from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from keras_pneumo.evaluation.style import as_png


def pixels(content):
    with Image.open(BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"), np.int16)


def drawn(figure):
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def test_a_plot_is_packed_and_looks_the_same():
    figure = Figure(figsize=(4, 3))
    figure.add_subplot().plot([0, 1, 3, 2], "o-", color="#d1495b")
    packed, plain = as_png(figure), drawn(figure)
    assert len(packed) < len(plain) / 2
    assert np.abs(pixels(packed) - pixels(plain)).max() <= 24
    assert np.abs(pixels(packed) - pixels(plain)).mean() < 0.1


def test_a_picture_of_many_colors_keeps_them_all():
    figure = Figure(figsize=(2, 2))
    noise = np.random.default_rng(0).random((128, 128, 3))
    figure.add_axes((0, 0, 1, 1)).imshow(noise)
    np.testing.assert_array_equal(pixels(as_png(figure)), pixels(drawn(figure)))
