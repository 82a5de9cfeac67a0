"""One image file becomes one model input, by the same function everywhere.

Training, evaluation and single files all come through here, so a model never sees an image that
was resized differently from those it learnt from.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
import tensorflow as tf

from keras_pneumo.errors import ImageError, SettingsError

Resize = Literal["stretch", "pad"]

_Content = TypeVar("_Content")

# A JPEG is decoded at one of these fractions of its size: 1, 1/2, 1/4 or 1/8.
_RATIOS = (1.0, 2.0, 4.0, 8.0)
# A scaled image has at least this many pixels for one of the result, along each side.
_SPARE = 2.0

_FILES_AHEAD = 64


def decode(contents: Any, image_size: tuple[int, int], resize: Resize = "stretch") -> Any:
    """Decode an encoded image and resize it, antialiased; safe inside ``tf.data``.

    Grayscale and RGB files both come out with three channels. Resizing is bicubic (Keys, 1981,
    a = -0.5) with a support that widens with the reduction, like Pillow's.

    A JPEG of four times the target or more is decoded at 1/2, 1/4 or 1/8 of its size, which saves
    time and memory. It is still at least twice the target then, as in Pillow's
    ``Image.thumbnail``, so the filter above makes the picture: for radiographs within 0.2 grey
    levels of the whole image on average.

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
    pixels, extent = tf.cond(
        tf.io.is_jpeg(contents),
        lambda: _decode_jpeg(contents, image_size, resize),
        lambda: _decode_whole(contents),
    )
    image = _resize(pixels, extent, _fitted(extent, image_size, resize))
    # Bicubic overshoots at edges, and truncation would darken the image by half a grey level.
    image = tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)
    if resize == "pad":
        image = tf.image.resize_with_crop_or_pad(image, *image_size)
    return tf.broadcast_to(image, (*image_size, 3))


def _decode_jpeg(contents: Any, image_size: tuple[int, int], resize: Resize) -> tuple[Any, Any]:
    """Decode a JPEG with the channels it has, scaled down where the target is much smaller.

    Returns:
        The pixels, uint8, and the ``(height, width)`` of the image in them, float32: with a
        fraction where its last pixels lie partly beyond the image.
    """
    size = tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.float32)
    ratios = tf.constant(_RATIOS)
    reduction = tf.reduce_min(size / _fitted(size, image_size, resize))
    step = tf.reduce_sum(tf.cast(reduction >= _SPARE * ratios[1:], tf.int32))
    # The ratio is an attribute of the operation, so each has its own.
    # The fast transform, which is the default, makes whole images half a grey level darker.
    decode_at = partial(tf.io.decode_jpeg, contents, dct_method="INTEGER_ACCURATE")
    scaled = [partial(decode_at, ratio=int(ratio)) for ratio in _RATIOS]
    return tf.switch_case(step, scaled), size / ratios[step]


def _decode_whole(contents: Any) -> tuple[Any, Any]:
    pixels = tf.io.decode_image(contents, channels=3, expand_animations=False)
    pixels.set_shape((None, None, 3))
    return pixels, tf.cast(tf.shape(pixels)[:2], tf.float32)


def _fitted(size: Any, image_size: tuple[int, int], resize: Resize) -> Any:
    """Height and width that an image of ``size`` takes up in the result, whole float32."""
    target = tf.constant(image_size, tf.float32)
    return target if resize == "stretch" else tf.round(tf.reduce_min(target / size) * size)


def _resize(pixels: Any, extent: Any, size: Any) -> Any:
    """Resize to ``size`` as ``tf.image.resize`` does, to the same bits in a fraction of the time.

    Its kernel adds up whole rows at once, but columns one pixel after the other: so the columns,
    too, have their turn as rows. Channels lie beside each other in a row.
    """
    height, width = tf.unstack(tf.cast(size, tf.int32))
    rows = tf.reshape(pixels, (tf.shape(pixels)[0], -1))
    rows = _resize_rows(rows, height, size[0] / extent[0])
    columns = tf.reshape(tf.transpose(rows), (tf.shape(pixels)[1], -1))
    columns = _resize_rows(columns, width, size[1] / extent[1])
    return tf.reshape(tf.transpose(tf.reshape(columns, (-1, height))), (height, width, -1))


def _resize_rows(rows: Any, n_rows: Any, scale: Any) -> Any:
    return tf.raw_ops.ScaleAndTranslate(
        images=rows[None, :, None],
        size=(n_rows, 1),
        scale=(scale, 1.0),
        translation=(0.0, 0.0),
        kernel_type="keyscubic",
        antialias=True,
    )[0, :, 0]


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
    decoder = _decoder(check_size(image_size), check_resize(resize))
    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ImageError(f"Cannot open {path}: {reason}. Check the path.") from None
    if not contents:
        raise ImageError(f"An image file must not be empty. Found 0 bytes in {path}.")
    try:
        return decoder(tf.constant(contents)).numpy()
    except tf.errors.InvalidArgumentError:
        raise ImageError(
            f"An image file must be a whole JPEG or PNG. {path} ({len(contents):,} bytes) cannot "
            "be decoded: it is truncated or no image. Replace or remove it."
        ) from None


@lru_cache(maxsize=8)
def _decoder(image_size: tuple[int, int], resize: Resize) -> Callable[[Any], Any]:
    """``decode`` as one graph; operation by operation it takes three times as long."""
    contents = tf.TensorSpec((), tf.string)
    return tf.function(decode).get_concrete_function(contents, image_size, resize)


def read_ahead(
    paths: Iterable[str | Path], read: Callable[[str | Path], _Content]
) -> Iterator[_Content]:
    """Read files on several threads, not many before they are asked for.

    Args:
        paths: The files.
        read: What reads one of them.

    Yields:
        What ``read`` returns, in the order of the files; what it raises is raised.

    Examples:
        >>> list(read_ahead(["a", "b"], str.upper))
        ['A', 'B']
    """
    waiting: deque[Future[_Content]] = deque()
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for path in paths:
            waiting.append(pool.submit(read, path))
            if len(waiting) > _FILES_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def in_chunks(items: Iterable[_Content], size: int) -> Iterator[list[_Content]]:
    """Give lists of ``size`` items; the last one may be shorter."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


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
