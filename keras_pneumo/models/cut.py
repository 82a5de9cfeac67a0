"""A model cut in two: a frozen prefix, computed once, and a tail that trains on its outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_pneumo.models.classifier import PneumoniaClassifier


@dataclass(frozen=True)
class Cut:
    """Two models that share the layers of one: ``tail(prefix(images))`` is what it predicts.

    Attributes:
        boundary: Name of the layer whose output is handed on.
        prefix: From images, as the model takes them, to what the layer gives. Nothing in it trains.
        tail: From there to the probability. Its weights are the model's own.
        to_features: From there to the pooled features; None if they are the boundary.
    """

    boundary: str
    prefix: keras.Model
    tail: keras.Model
    to_features: keras.Model | None


def cut(model: PneumoniaClassifier) -> Cut | None:
    """Cut a model below the lowest layer that trains.

    The boundary is the last place at which all that is computed comes through one tensor: the
    output of the pooling where the head alone trains, otherwise the end of a block of the backbone.
    To train the tail, compile it; the model then has the trained weights, since they are the same
    variables. BatchNormalization that is frozen counts as frozen and works in inference mode on
    both sides.

    Args:
        model: The model, as ``fine_tune`` left it.

    Returns:
        The two parts; None if no layer with weights is frozen below the first that trains.

    Examples:
        >>> from keras_pneumo.models.resnet50 import PneumoniaResNet50
        >>> model = PneumoniaResNet50(weights=None, image_size=(32, 32))
        >>> _ = model.fine_tune("conv5")
        >>> parts = cut(model)
        >>> parts.boundary, parts.tail.input_shape
        ('conv4_block6_out', (None, 2, 2, 1024))
    """
    place = model.layers.index(model.backbone)
    below, above = model.layers[1:place], model.layers[place + 1 :]
    gate = _last_gate(model.backbone.layers)
    if gate is None:
        return None
    if gate is model.backbone.layers[-1]:
        # Nothing in the backbone trains, so the pooling, which has no weights, goes below as well.
        pooling, *above = above
        return Cut(
            boundary=pooling.name,
            prefix=_chain(model.input_shape, [*below, model.backbone, pooling]),
            tail=_chain(pooling.output.shape, above),
            to_features=None,
        )
    lower = keras.Model(model.backbone.input, gate.output)
    upper = keras.Model(gate.output, model.backbone.output)
    return Cut(
        boundary=gate.name,
        prefix=_chain(model.input_shape, [*below, lower]),
        tail=_chain(gate.output.shape, [upper, *above]),
        to_features=_chain(gate.output.shape, [upper, above[0]]),
    )


def _chain(input_shape: Sequence[int | None], layers: Sequence[Any]) -> keras.Model:
    inputs = x = keras.Input(input_shape[1:], dtype="float32")
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def _last_gate(layers: Sequence[Any]) -> Any:
    """The highest layer below all that trains whose output is all that the layers above it use."""
    made_at = {id(layer.output): position for position, layer in enumerate(layers)}
    used_until = [0] * len(layers)
    for position, layer in enumerate(layers[1:], 1):
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        for tensor in given:
            used_until[made_at[id(tensor)]] = position
    gate, open_until, has_weights = None, 0, False
    for position, layer in enumerate(layers):
        if layer.trainable_variables:
            break
        has_weights = has_weights or bool(layer.weights)
        if open_until <= position and has_weights:
            gate = layer
        open_until = max(open_until, used_until[position])
    return gate
