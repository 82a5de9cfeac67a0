"""Images and files become lung fields."""

from collections.abc import Iterable, Iterator, Sized
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from keras_pneumo import image
from keras_pneumo.data.image_files import image_files
from keras_pneumo.errors import ImageError, SettingsError
from keras_pneumo.lungs.field import LungField, lung_field
from keras_pneumo.lungs.segmenter import LungSegmenter
from keras_pneumo.models.compiled import check_batch_size, slices


def segment_lungs(
    images: Any,
    model: LungSegmenter | None = None,
    batch_size: int | None = None,
    *,
    progress: bool = False,
) -> Iterator[LungField]:
    """Find the lungs on images one after the other; an unreadable file stops nothing.

    Files are read ahead while the model computes, a few at a time, so that memory does not grow
    with their number. They are stretched to the model's size: fractions of the mask's sides are
    fractions of the image's.

    Args:
        images: An array ``(n, height, width, 3)`` of the model's size, RGB in [0, 255]; or the path
            of an image file, JPEG or PNG of any size; or of a folder for all images below it, in
            sorted order; or an iterable of such paths, which may be longer than memory.
        model: The segmenter; by default the one that this package brings.
        batch_size: Images at a time; it does not change the result. By default 8 on a CPU, whose
            caches hold no more, and 32 elsewhere.
        progress: Show a progress bar on stderr, if that is a terminal.

    Returns:
        An iterator with one entry per image, in their order; ``error`` says why where a file cannot
        be read, and ``doubts`` what is not as on a frontal chest X-ray.

    Raises:
        LayoutError: A folder holds no image, or cannot be listed.
        SettingsError: An array has another shape, ``batch_size`` is below 1, or an entry is no
            path.

    Examples:
        ```python
        for found in segment_lungs("ward_3"):
            print(found.file, found.box, found.error or found.doubts)
        ```
    """
    batch_size = check_batch_size(batch_size)
    model = model or LungSegmenter.from_preset()
    total: int | None
    if hasattr(images, "shape"):
        total = len(images)
        found = _of_array(model, images, batch_size)
    else:
        files = image_files(images)
        total = len(files) if isinstance(files, Sized) else None
        found = _of_files(model, files, min(batch_size, total or batch_size))
    bar = {"unit": " images", "desc": "Lungs", "disable": None if progress else True}
    return iter(tqdm(found, total=total, **bar))


def _of_array(model: LungSegmenter, images: Any, batch_size: int) -> Iterator[LungField]:
    expected = (*model.image_size, 3)
    if len(images.shape) != 4 or tuple(images.shape[1:]) != expected:
        raise SettingsError(
            f"Images must be an array (n, {', '.join(map(str, expected))}) with values in "
            f"[0, 255]. Received shape {tuple(images.shape)}. Resize them, or pass paths."
        )
    return (
        lung_field(probability)
        for some in slices(images, batch_size)
        for probability in model.probabilities(some, min(batch_size, len(images)))
    )


def _of_files(
    model: LungSegmenter, files: Iterable[str | Path], batch_size: int
) -> Iterator[LungField]:
    for chunk in image.in_chunks(image.read_ahead(files, partial(_read, model)), batch_size):
        pictures = [content for _, content in chunk if not isinstance(content, ImageError)]
        found = iter(model.probabilities(np.stack(pictures), batch_size) if pictures else ())
        for file, content in chunk:
            if isinstance(content, ImageError):
                yield LungField(str(file), error=str(content))
            else:
                yield lung_field(next(found), str(file))


def _read(model: LungSegmenter, file: str | Path) -> tuple[str | Path, np.ndarray | ImageError]:
    try:
        return file, image.read(file, model.image_size)
    except ImageError as error:
        return file, error
