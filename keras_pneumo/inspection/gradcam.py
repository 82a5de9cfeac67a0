"""Where in an image a model sees PNEUMONIA: Grad-CAM, on every backend of Keras."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keras_pneumo.errors import SettingsError
from keras_pneumo.inspection.graph import last_maps, logit_of, made_by, unnested

Maps = NDArray[np.float32]


class Explanation(NamedTuple):
    """What ``explain`` says of n images.

    Attributes:
        heatmap: float32 ``(n, H, W)`` in [0, 1], of the size of the images: the positive part of
            ``contribution``, enlarged (bilinear) and divided by its maximum. All 0 where nothing
            speaks for PNEUMONIA. Each image has its own scale: a map says where, not how much.
        contribution: float32 ``(n, h, w)``, of the size of the last feature maps: what each
            position adds to the logit, positive for PNEUMONIA, negative against it.
        probability: float32 ``(n,)``: probability of PNEUMONIA, as the model gives it.
    """

    heatmap: Maps
    contribution: Maps
    probability: NDArray[np.float32]


def explain(model: keras.Model, images: NDArray, batch_size: int = 32) -> Explanation:
    """Find what in images speaks for PNEUMONIA: Grad-CAM of the logit, which the sigmoid gets.

    The contribution of a position is ``sum_k alpha_k A_k`` over the last feature maps A, where
    alpha_k is the mean derivative of the logit by the values of map k. If the head is
    global average pooling and one dense unit, as in ``PneumoniaClassifier``, alpha_k is the unit's
    weight divided by the number of positions, so that no derivative is computed and the
    contributions sum to the logit less the bias: a class activation map (Zhou et al.). Any other
    head is derived by the backend.

    A dense layer that only multiplies the logit, such as the temperature of a
    ``PneumoniaClassifier``, is left out of it.

    Args:
        model: A functional or sequential model with one input and one output, which ends in
            ``Activation("sigmoid")`` or ``Dense(1, activation="sigmoid")``.
        images: Shape ``(n, H, W, 3)``, as the model takes them: RGB in [0, 255] for ours.
        batch_size: Images at a time. It does not change the result.

    Returns:
        Heat maps, contributions and probabilities, in the order of the images.

    Raises:
        SettingsError: The images do not fit the model, the model does not end in a sigmoid, or has
            no last feature maps.

    References:
        R. R. Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based
        localization, ICCV 2017.
        B. Zhou et al., Learning deep features for discriminative localization, CVPR 2016.

    Examples:
        >>> inputs = keras.Input((32, 48, 3))
        >>> maps = keras.layers.Conv2D(4, kernel_size=8, strides=8)(inputs)
        >>> features = keras.layers.GlobalAveragePooling2D()(maps)
        >>> model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(features))
        >>> found = explain(model, np.zeros((2, 32, 48, 3), "uint8"))
        >>> found.heatmap.shape, found.contribution.shape, found.probability.shape
        ((2, 32, 48), (2, 4, 6), (2,))
    """
    return explainer(model)(images, batch_size)


def explainer(model: keras.Model) -> Callable[..., Explanation]:
    """Prepare ``explain`` for many calls, which each would take seconds to prepare anew.

    Args:
        model: As for ``explain``; not to be trained between the calls.

    Returns:
        A function that takes ``images`` and ``batch_size=32`` and does what ``explain`` does.

    Raises:
        SettingsError: The model does not end in a sigmoid, or has no last feature maps.
    """
    expected = _image_shape(model)
    inputs, probability = unnested(model)
    logit = logit_of(probability)
    maps = last_maps(logit)
    alpha = _alpha(maps, logit)
    observed = keras.Model(inputs, [maps, probability])
    # Compiled as the model is, which knows where that pays.
    observed.jit_compile = model.jit_compile

    def explain_images(images: NDArray, batch_size: int = 32) -> Explanation:
        images = np.asarray(images)
        _require_fitting(images, expected, batch_size)
        contributions, probabilities = [], []
        for start in range(0, len(images), batch_size):
            outputs = observed.predict_on_batch(images[start : start + batch_size])
            values, scores = (np.asarray(output, "float32") for output in outputs)
            contributions.append(np.einsum("nhwk,nk->nhw", values, alpha(values)))
            probabilities.append(scores[:, 0])
        contribution = np.concatenate(contributions)
        heatmap = np.stack([_heatmap(one, images.shape[1:3]) for one in contribution])
        return Explanation(heatmap, contribution, np.concatenate(probabilities))

    return explain_images


def _heatmap(contribution: Maps, size: tuple[int, int]) -> Maps:
    height, width = size
    positive = Image.fromarray(np.maximum(contribution, 0))
    # Pillow takes the width first, and a pixel as an area: corners stay where they are.
    enlarged = np.asarray(positive.resize((width, height), Image.Resampling.BILINEAR))
    highest = enlarged.max()
    return enlarged / highest if highest > 0 else np.zeros_like(enlarged)


def _alpha(maps: Any, logit: Any) -> Callable[[Maps], Maps]:
    weights = _weights_of_averages(maps, logit)
    if weights is not None:
        return lambda values: np.tile(weights / math.prod(values.shape[1:3]), (len(values), 1))
    head = keras.Model(maps, logit)
    return lambda values: _gradient(head, values).mean(axis=(1, 2))


def _weights_of_averages(maps: Any, logit: Any) -> NDArray[np.float32] | None:
    unit, given = made_by(logit)
    if not (isinstance(unit, keras.layers.Dense) and unit.activation is keras.activations.linear):
        return None
    layer, given = made_by(given[0])
    while isinstance(layer, keras.layers.Dropout):
        layer, given = made_by(given[0])
    if not (isinstance(layer, keras.layers.GlobalAveragePooling2D) and given[0] is maps):
        return None
    return keras.ops.convert_to_numpy(unit.kernel)[:, 0].astype("float32")


def _gradient(head: keras.Model, values: Maps) -> Maps:
    """Derive the logit of each image by its feature maps.

    The images do not mix, so that the derivative of the sum of their logits has those of all.
    """
    tensor = keras.ops.convert_to_tensor(values)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensor)
            logits = head(tensor, training=False)
        gradient = tape.gradient(logits, tensor)
    elif backend == "jax":
        import jax

        gradient = jax.grad(lambda x: head(x, training=False).sum())(tensor)
    elif backend == "torch":
        import torch

        tensor.requires_grad_()
        (gradient,) = torch.autograd.grad(head(tensor, training=False).sum(), tensor)
    else:
        raise SettingsError(
            "A head that is not linear can only be explained on tensorflow, jax or torch. "
            f"Received the backend {backend!r}. Set KERAS_BACKEND to another one."
        )
    return keras.ops.convert_to_numpy(gradient)


def _image_shape(model: keras.Model) -> tuple[int | None, ...]:
    inputs, outputs = (getattr(model, name, None) or [] for name in ("inputs", "outputs"))
    shapes = [tuple(tensor.shape) for tensor in (*inputs, *outputs)]
    if len(inputs) != 1 or len(shapes[0]) != 4 or shapes[1:] != [(None, 1)]:
        raise SettingsError(
            "The model must be functional or sequential, with one input of images and one output "
            f"of shape (None, 1). Received {len(inputs)} inputs and {len(outputs)} outputs of the "
            f"shapes {shapes}."
        )
    return shapes[0][1:]


def _require_fitting(images: NDArray, expected: tuple[int | None, ...], batch_size: int) -> None:
    sides = list(zip(expected, images.shape[1:], strict=False))
    if images.ndim != 4 or not len(images) or any(a not in (None, b) for a, b in sides):
        raise SettingsError(
            f"The images must be an array (n, {', '.join(map(str, expected))}) with n > 0. "
            f"Received the shape {images.shape}. Resize them to what the model takes."
        )
    if batch_size < 1:
        raise SettingsError(f"`batch_size` must be at least 1. Received: {batch_size!r}.")
