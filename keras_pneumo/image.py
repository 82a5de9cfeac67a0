"""One image file becomes one model input, by the same function everywhere.

Training, evaluation and single files all come through here, so a model never sees an image that
was resized differently from those it learnt from.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import tensorflow as tf

from keras_pneumo.errors import ImageError, SettingsError

Resize = Literal["stretch", "pad"]


def decode(contents: Any, image_size: tuple[int, int], resize: Resize = "stretch") -> Any:
    """Decode an encoded image and resize it, antialiased; safe inside ``tf.data``.

    Grayscale and RGB files both come out with three channels. Resizing is bicubic (Keys, 1981,
    a = -0.5) with a support that widens with the reduction, like Pillow's.

    Args:
        contents: Scalar string tensor, the bytes of a JPEG or PNG file.
        image_size: ``(height, width)`` of the result, in pixels.
        resize: ``"stretch"`` fills the target and ignores the aspect ratio; ``"pad"`` keeps the
            aspect ratio and adds black borders.

    Returns:
        uint8 tensor ``(height, width, 3)`` in [0, 255].

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no image, or a truncated one.

    Examples:
        >>> contents = tf.io.encode_jpeg(tf.zeros((50, 80, 1), tf.uint8))
        >>> decode(contents, (32, 32)).shape
        TensorShape([32, 32, 3])
    """
    image = tf.io.decode_image(contents, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    keep_aspect = resize == "pad"
    image = tf.image.resize(
        image, image_size, method="bicubic", antialias=True, preserve_aspect_ratio=keep_aspect
    )
    # Bicubic overshoots at edges, and truncation would darken the image by half a grey level.
    image = tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)
    if keep_aspect:
        image = tf.image.resize_with_crop_or_pad(image, *image_size)
    return tf.ensure_shape(image, (*image_size, 3))


def read(path: str | Path, image_size: tuple[int, int], resize: str = "stretch") -> np.ndarray:
    """Read one image file as a model input.

    Args:
        path: A JPEG or PNG file.
        image_size: ``(height, width)`` of the result, in pixels.
        resize: ``"stretch"`` or ``"pad"``, see ``decode``.

    Returns:
        uint8 array ``(height, width, 3)`` in [0, 255].

    Raises:
        ImageError: The file is missing, empty, no image, or truncated.

    Examples:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "black.png"
        >>> _ = file.write_bytes(tf.io.encode_png(tf.zeros((50, 80, 1), tf.uint8)).numpy())
        >>> read(file, (32, 32)).shape
        (32, 32, 3)
    """
    image_size, resize = check_size(image_size), check_resize(resize)
    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ImageError(f"Cannot open {path}: {reason}. Check the path.") from None
    if not contents:
        raise ImageError(f"An image file must not be empty. Found 0 bytes in {path}.")
    try:
        return decode(contents, image_size, resize).numpy()
    except tf.errors.InvalidArgumentError:
        raise ImageError(
            f"An image file must be a whole JPEG or PNG. {path} ({len(contents):,} bytes) cannot "
            "be decoded: it is truncated or no image. Replace or remove it."
        ) from None


def read_batches(
    paths: Iterable[str | Path],
    image_size: tuple[int, int],
    resize: str = "stretch",
    batch_size: int = 32,
) -> Iterator[np.ndarray]:
    """Read image files as batches: uint8 ``(n, height, width, 3)``, n up to ``batch_size``.

    Raises:
        ImageError: At the first file that cannot be read.
    """
    batch = []
    for path in paths:
        batch.append(read(path, image_size, resize))
        if len(batch) == batch_size:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def check_size(image_size: Any) -> tuple[int, int]:
    """Return ``image_size`` as ``(height, width)``, or raise.

    Raises:
        SettingsError: It is not a pair of integers of at least 32, the smallest input that the
            architectures of ``keras.applications`` accept.
    """
    try:
        height, width = (int(side) for side in image_size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 32:
        raise SettingsError(
            "`image_size` must be (height, width) in pixels, both at least 32. "
            f"Received: {image_size!r}. Use for example (224, 224)."
        )
    return height, width


def check_resize(resize: str) -> Resize:
    """Return ``resize``, or raise.

    Raises:
        SettingsError: It is neither ``"stretch"`` nor ``"pad"``.
    """
    if resize not in get_args(Resize):
        raise SettingsError(
            f"`resize` must be one of {', '.join(map(repr, get_args(Resize)))}. "
            f"Received: {resize!r}."
        )
    return cast(Resize, resize)
