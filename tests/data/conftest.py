import numpy as np
import pytest
from PIL import Image

KAGGLE = (
    "train/NORMAL/IM-0115-0001.jpeg",
    "train/NORMAL/NORMAL2-IM-0588-0001-0002.jpeg",
    "train/PNEUMONIA/person23_bacteria_80.jpeg",
    "train/PNEUMONIA/person447_virus_921_1.jpeg",
    "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
    "test/NORMAL/IM-0033-0001-0002.jpeg",
    "test/NORMAL/NORMAL2-IM-0115-0001.jpeg",
    "test/PNEUMONIA/person23_virus_53.jpeg",
)


@pytest.fixture
def write_images():
    """Write small images, each with other pixels, under the given names."""

    def write(root, names, size=(40, 32)):
        for index, name in enumerate(names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng(index)
            pixels = rng.integers(0, 256, (size[1], size[0]), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        return root

    return write


@pytest.fixture
def kaggle_dir(tmp_path, write_images):
    return write_images(tmp_path / "kaggle", KAGGLE)
