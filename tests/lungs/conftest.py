import keras
import numpy as np
import pytest
from PIL import Image, ImageDraw

from keras_pneumo.lungs.segmenter import LungSegmenter

SIDE = 96  # pixels of an image


def draw_chest(seed):
    """Two dark ellipses on a bright trunk, in noise: grey picture and mask, both uint8."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0.45, 0.55, 2) * SIDE
    width, height = rng.uniform(0.09, 0.14) * SIDE, rng.uniform(0.22, 0.32) * SIDE
    mask = Image.new("L", (SIDE, SIDE))
    for centre in (x - 0.2 * SIDE, x + 0.2 * SIDE):
        box = (centre - width, y - height, centre + width, y + height)
        ImageDraw.Draw(mask).ellipse(box, fill=255)
    grey = 180 - 110 * (np.asarray(mask) > 0) + rng.normal(0, 12, (SIDE, SIDE))
    return np.clip(grey, 0, 255).astype(np.uint8), np.asarray(mask)


@pytest.fixture(scope="session")
def chests(tmp_path_factory):
    """A folder with ``images``, a collection in Kaggle's layout, and ``masks``, a PNG for each."""
    folder = tmp_path_factory.mktemp("chests")
    # A tenth is held out by patient, so there are ten of each class.
    names = [f"train/NORMAL/IM-{patient:04d}-0001.png" for patient in range(10)]
    names += [f"train/PNEUMONIA/person{patient}_virus_1.png" for patient in range(10, 26)]
    names += ["test/NORMAL/IM-0100-0001.png", "test/PNEUMONIA/person101_virus_1.png"]
    for seed, name in enumerate(names):
        for kind, pixels in zip(("images", "masks"), draw_chest(seed), strict=True):
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / kind / name)
    return folder


@pytest.fixture(scope="session")
def small_segmenter():
    """Random weights, 32 x 32; only to be used."""
    keras.utils.set_random_seed(0)
    return LungSegmenter(image_size=(32, 32))


@pytest.fixture(scope="session")
def pictures():
    """Five uint8 RGB images of 32 x 32."""
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
