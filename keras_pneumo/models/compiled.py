"""A model as a compiled function of batches, faster than ``Model.predict`` on few images."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_pneumo.errors import SettingsError


def jit_compile() -> bool:
    """Return what to pass to ``compile`` of that name: True where compiling pays off.

    A bool, since ``Model.jit_compile = "auto"`` counts as True, and on torch that is
    ``torch.compile``: minutes before the first prediction of a ResNet-50.
    """
    # On a CPU, TensorFlow is as fast without XLA, which compiles anew for every batch shape.
    backend = keras.backend.backend()
    on_gpu = backend == "tensorflow" and bool(tf.config.list_physical_devices("GPU"))
    return backend == "jax" or on_gpu


def compiled(model: keras.Model) -> Callable[[Any, int], np.ndarray]:
    """Make a model a function of batches, in inference mode, that is compiled once.

    ``Model.predict`` compiles for the size of the first batch, and again when the last is smaller.

    Args:
        model: From images to one output. When its weights change later, so does the function. Its
            ``jit_compile`` is set.

    Returns:
        A function of images ``(n, height, width, 3)`` and of the most images that it will be given
        in such a call. It returns an array of n rows.

    Examples:
        >>> inputs = keras.Input((2, 2, 3))
        >>> mean = compiled(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)))
        >>> mean(np.ones((3, 2, 2, 3)), 8).shape
        (3, 3)
    """
    xla = model.jit_compile = jit_compile()
    compute = model.predict_on_batch
    if keras.backend.backend() == "tensorflow":
        any_number = tf.TensorSpec((None, *model.input_shape[1:]), "float32")
        compute = tf.function(
            partial(model, training=False), [any_number], autograph=False, jit_compile=xla
        )

    def compute_batch(images: Any, batch_size: int) -> np.ndarray:
        n = len(images)
        # XLA compiles for each number of images.
        inputs = np.zeros((batch_size if xla else n, *images.shape[1:]), "float32")
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
        on_cpu = keras.backend.backend() == "tensorflow" and not jit_compile()
        return 8 if on_cpu else 32
    if batch_size < 1:
        raise SettingsError(f"`batch_size` must be at least 1. Received: {batch_size!r}.")
    return batch_size


def slices(images: Any, batch_size: int) -> Iterator[Any]:
    """Give ``batch_size`` images of an array at a time; the last time perhaps fewer."""
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size]
