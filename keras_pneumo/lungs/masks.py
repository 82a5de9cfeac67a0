"""Masks of the lungs, read from a folder of images or from one file."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from keras_pneumo.data.image_files import image_files
from keras_pneumo.data.layout import Record
from keras_pneumo.errors import DataError
from keras_pneumo.lungs.field import Mask


def read_masks(
    masks: str | Path, records: Iterable[Record], image_size: tuple[int, int]
) -> dict[str, Mask]:
    """Read the masks of the images that have one.

    Args:
        masks: A folder of images, white (128 and more of 255) where the lungs are, each as wide and
            as high as its image. It is named like its image, whatever the suffix: by its path below
            the folder, such as ``train/NORMAL/IM-0115-0001.png``, or by its name alone. Or an
            ``.npz`` file with ``files``, the images' paths below the collection's root, and
            ``mask``, uint8 ``(n, height * width / 8)``, of ``numpy.packbits`` over the pixels of
            each mask at ``image_size``.
        records: The images. Masks of other images are passed over.
        image_size: ``(height, width)`` of the result, in pixels.

    Returns:
        For the filename of each record that has a mask: bool ``(height, width)``, not empty.

    Raises:
        DataError: The masks cannot be read, have another shape, are empty, or fit no image.

    Examples:
        ```python
        collection = read_collection("chest_xray")
        found = read_masks("lung_masks", collection.records, (112, 112))
        print(len(found), "of", len(collection.records))
        ```
    """
    masks, records = Path(masks).expanduser(), list(records)
    if masks.is_dir():
        found, names = _of_folder(masks, records, image_size)
    elif masks.is_file():
        found, names = _of_archive(masks, records, image_size)
    else:
        raise DataError(
            f"Masks must be a folder of images or an .npz file. There is nothing at {masks}. "
            "Check the path."
        )
    if not found:
        raise DataError(
            f"Masks must be named like the images that they are of. None of the {len(names):,} in "
            f"{masks} (such as {names[0]}) fits one of the {len(records):,} images (such as "
            f"{records[0].filename}). Rename them, or give the folder of the collection that they "
            "belong to."
        )
    for filename, mask in found.items():
        if not mask.any():
            raise DataError(
                f"A mask must be white, 128 to 255, where the lungs are. That of {filename} in "
                f"{masks} is so nowhere. Write masks of 0 and 1 as 0 and 255, and leave out those "
                "of images without lungs."
            )
    return found


def _of_folder(
    folder: Path, records: list[Record], image_size: tuple[int, int]
) -> tuple[dict[str, Mask], list[str]]:
    files = map(Path, image_files(folder))
    paths = {path: path.relative_to(folder).with_suffix("") for path in files}
    by_place = {place.as_posix(): path for path, place in paths.items()}
    counts = Counter(place.name for place in paths.values())
    # A name that two masks have says nothing; their places may.
    by_name = {place.name: path for path, place in paths.items() if counts[place.name] == 1}
    found = {}
    for record in records:
        place = Path(record.filename).with_suffix("")
        path = by_place.get(place.as_posix()) or by_name.get(place.name)
        if path:
            found[record.filename] = _read_mask(path, record.path, image_size)
    return found, [path.relative_to(folder).as_posix() for path in paths]


def _read_mask(path: Path, image_path: Path, image_size: tuple[int, int]) -> Mask:
    try:
        with Image.open(path) as opened, Image.open(image_path) as image:
            size, expected = opened.size, image.size
            height, width = image_size
            mask = opened.convert("L").resize((width, height), Image.Resampling.BILINEAR)
    except OSError as error:
        raise DataError(
            f"A mask must be a whole image, and so must its image. {path}: {error}. Replace or "
            "remove the mask."
        ) from error
    if size != expected:
        raise DataError(
            f"A mask must be as wide and as high as its image. {path} is {size[0]} x {size[1]}, "
            f"{image_path} is {expected[0]} x {expected[1]}. Resize the mask to its image."
        )
    return np.asarray(mask) >= 128


def _of_archive(
    path: Path, records: list[Record], image_size: tuple[int, int]
) -> tuple[dict[str, Mask], list[str]]:
    try:
        with np.load(path) as archive:
            names, packed = archive["files"].tolist(), archive["mask"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"A file of masks must be a whole .npz with `files` and `mask`. {path}: {error}. Copy "
            "it again, or write it with numpy.savez_compressed."
        ) from error
    height, width = image_size
    expected = (len(names), -(-height * width // 8))
    if packed.shape != expected or packed.dtype != np.uint8 or not names:
        raise DataError(
            f"`mask` must be uint8 {expected}: for each of the {len(names):,} `files` the packed "
            f"bits of {height} x {width} pixels. Found {packed.dtype} {packed.shape} in {path}. "
            f"Resize the masks to {height} x {width}, and pack each with numpy.packbits."
        )
    row_of_name = {str(name): row for row, name in enumerate(names)}
    found = {}
    for record in records:
        row = row_of_name.get(record.filename)
        if row is not None:
            bits = np.unpackbits(packed[row], count=height * width)
            found[record.filename] = bits.reshape(image_size).astype(bool)
    return found, names
