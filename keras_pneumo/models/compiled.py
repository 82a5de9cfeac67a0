"""A model as a compiled function of batches, faster than ``Model.predict`` on few images."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_pneumo.errors import SettingsError


def jit_compile() -> bool | str:
    """Return what to pass to ``compile`` of that name: XLA where it helps."""
    # On a CPU, TensorFlow is as fast without XLA, which compiles anew for every batch shape.
    on_cpu = not tf.config.list_physical_devices("GPU")
    return False if keras.backend.backend() == "tensorflow" and on_cpu else "auto"


def compiled(model: keras.Model) -> Callable[[Any, int], np.ndarray]:
    """Make a model a function of batches, in inference mode, that is compiled once.

    ``Model.predict`` compiles for the size of the first batch, and again when the last is smaller.

    Args:
        model: From images to one output. When its weights change later, so does the function.

    Returns:
        A function of images ``(n, height, width, 3)`` and of the most images that it will be given
        in such a call. It returns an array of n rows.

    Examples:
        >>> inputs = keras.Input((2, 2, 3))
        >>> mean = compiled(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)))
        >>> mean(np.ones((3, 2, 2, 3)), 8).shape
        (3, 3)
    """
    backend, xla = keras.backend.backend(), bool(jit_compile())
    compute = model.predict_on_batch
    if backend == "tensorflow":
        any_number = tf.TensorSpec((None, *model.input_shape[1:]), "float32")
        compute = tf.function(
            partial(model, training=False), [any_number], autograph=False, jit_compile=xla
        )
    # XLA compiles for each number of images.
    pad = xla and backend != "torch"

    def compute_batch(images: Any, batch_size: int) -> np.ndarray:
        n = len(images)
        inputs = np.zeros((batch_size if pad else n, *images.shape[1:]), "float32")
        inputs[:n] = images
        return np.asarray(compute(inputs))[:n]

    return compute_batch


def check_batch_size(batch_size: int | None) -> int:
    """Return ``batch_size``, by default what suits the hardware.

    Raises:
        SettingsError: It is below 1.
    """
    if batch_size is None:
        # What 8 images become between two layers fits into the caches of a processor.
        return 32 if jit_compile() else 8
    if batch_size < 1:
        raise SettingsError(f"`batch_size` must be at least 1. Received: {batch_size!r}.")
    return batch_size


def slices(images: Any, batch_size: int) -> Iterator[Any]:
    """Give ``batch_size`` images of an array at a time; the last time perhaps fewer."""
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size]
