"""Draw dummy_data/ anew: a few phantoms in each of the three layouts.

Run it from anywhere: ``python datasets/chest_xray_pneumonia/make_dummy_data.py``.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from keras_pneumo.data.phantom import AETIOLOGIES, JPEG_COMMENT, draw_anatomy, draw_phantom

DUMMY_DATA = Path(__file__).parent / "dummy_data"


def kaggle(split: str, first: int, n_normal: int, n_pneumonia: int) -> Iterator[str]:
    for number in range(first, first + n_normal):
        series = "IM" if number % 2 else "NORMAL2-IM"
        yield f"{split}/NORMAL/{series}-{number:04d}-0001.jpeg"
    for number in range(first, first + n_pneumonia):
        aetiology = "virus" if number % 2 else "bacteria"
        yield f"{split}/PNEUMONIA/person{number}_{aetiology}_{2 * number}.jpeg"


def labeled_v3(split: str, first: int, n_normal: int, n_pneumonia: int) -> Iterator[str]:
    for number in range(first, first + n_normal):
        yield f"{split}/NORMAL/NORMAL-{number}-0001.jpeg"
    for number in range(first + n_normal, first + n_normal + n_pneumonia):
        aetiology = "VIRUS" if number % 2 else "BACTERIA"
        yield f"{split}/PNEUMONIA/{aetiology}-{number}-0001.jpeg"


def class_folders(n_normal: int, n_pneumonia: int) -> Iterator[str]:
    for number in range(1, 1 + n_normal):
        yield f"NORMAL/image{number:02d}.jpeg"
    for number in range(1 + n_normal, 1 + n_normal + n_pneumonia):
        yield f"PNEUMONIA/image{number:02d}.jpeg"


def draw(layout: str, filenames: list[str]) -> None:
    shutil.rmtree(DUMMY_DATA / layout, ignore_errors=True)
    for index, filename in enumerate(filenames):
        rng = np.random.default_rng([len(layout), index])
        shown = "none" if "NORMAL/" in filename else AETIOLOGIES[1 + index % 2]
        shown = next((named for named in AETIOLOGIES if named in filename.lower()), shown)
        pixels = draw_phantom(draw_anatomy(rng), shown, rng, image_size=(64, 64))
        path = DUMMY_DATA / layout / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=75, comment=JPEG_COMMENT)


if __name__ == "__main__":
    # Twenty children of each class to divide, one image each: whichever children make the tenth
    # that is held out, it has two NORMAL and two PNEUMONIA.
    draw(
        "kaggle", [*kaggle("train", 1, 17, 17), *kaggle("val", 18, 3, 3), *kaggle("test", 21, 2, 3)]
    )
    draw("labeled_v3", [*labeled_v3("train", 1000101, 20, 20), *labeled_v3("test", 1000201, 2, 3)])
    draw("class_folders", [*class_folders(20, 20)])
