"""The last place in the graph of a Keras model that has a height and a width.

Tensors here are symbolic ones, ``keras.KerasTensor``.
"""

from typing import Any

import keras

from keras_pneumo.errors import SettingsError


def unnested(model: keras.Model) -> tuple[Any, Any]:
    """Bring feature maps that a nested model hides into the open.

    A nested model that pools is one step from images to a vector. The graph that is returned goes
    through its layers instead; these are the same objects, called once more.

    Args:
        model: A functional or sequential model with one input and one output.

    Returns:
        The input and the output of a graph that computes the same, the model's own if it hides
        nothing.
    """
    while any(_hides_maps(layer) for layer in model.layers):
        # A clone compiles like its origin, which may need its loss; this twin is not compiled.
        twin = keras.Model(model.inputs, model.outputs)
        model = keras.models.clone_model(
            twin, clone_function=lambda layer: layer, call_function=_call_opened
        )
    return model.inputs[0], model.outputs[0]


def logit_of(probability: Any) -> Any:
    """Find what the last sigmoid of a graph gets, before any layer that only multiplies it.

    Args:
        probability: The output of ``Activation("sigmoid")`` or ``Dense(1, activation="sigmoid")``.

    Returns:
        The logit, shape ``(None, 1)``.

    Raises:
        SettingsError: The graph ends in another layer.
    """
    layer, given = made_by(probability)
    ends = isinstance(layer, (keras.layers.Activation, keras.layers.Dense))
    if not ends or layer.activation is not keras.activations.sigmoid:
        raise SettingsError(
            "The model must end in Activation('sigmoid') or Dense(1, activation='sigmoid'). "
            f"It ends in {_describe(probability)}. If it gives logits, add the activation."
        )
    logit = given[0]
    if isinstance(layer, keras.layers.Dense):
        linear = keras.layers.Dense.from_config({**layer.get_config(), "activation": "linear"})
        logit = linear(given[0])
        linear.set_weights(layer.get_weights())
    layer, given = made_by(logit)
    while _only_multiplies(layer, given):
        logit = given[0]
        layer, given = made_by(logit)
    return logit


def last_maps(logit: Any) -> Any:
    """Go back from the logit to where a height and a width are left.

    Args:
        logit: What ``logit_of`` found.

    Returns:
        The last feature maps, shape ``(None, height, width, channels)``.

    Raises:
        SettingsError: There are none, or several that reach the logit side by side.
    """
    found, seen, open_ends = [], set(), [logit]
    while open_ends:
        tensor = open_ends.pop()
        layer, given = made_by(tensor)
        if id(tensor) in seen or isinstance(layer, keras.layers.InputLayer):
            continue
        seen.add(id(tensor))
        if _is_map(tensor):
            found.append(tensor)
        # What a subclassed model does between its inputs and its outputs is not known.
        elif not isinstance(layer, keras.Model):
            open_ends.extend(given)
    if len(found) != 1:
        raise SettingsError(
            "All paths from the images to the logit must come through the feature maps "
            "(batch, height, width, channels) of one layer. "
            f"Found: {' and '.join(map(_describe, found)) or 'no such layer'}. "
            "Explain a convolutional model, made of functional or sequential models."
        )
    return found[0]


def made_by(tensor: Any) -> tuple[Any, list[Any]]:
    """Return the layer that makes a tensor, and the tensors that the layer is given."""
    # Keras keeps this under a private name and has no public one.
    history = tensor._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    return history.operation, node.input_tensors


def _only_multiplies(layer: Any, given: list[Any]) -> bool:
    return (
        isinstance(layer, keras.layers.Dense)
        and given[0].shape == (None, 1)
        and not layer.use_bias
        and layer.activation is keras.activations.linear
        and keras.ops.convert_to_numpy(layer.kernel).item() > 0
    )


def _is_map(tensor: Any) -> bool:
    return len(tensor.shape) == 4 and tuple(tensor.shape[1:3]) != (1, 1)


def _hides_maps(layer: Any) -> bool:
    # A subclassed model has no symbolic inputs and outputs.
    ends = [getattr(layer, name, None) or [] for name in ("inputs", "outputs")]
    return (
        isinstance(layer, keras.Model)
        and [len(end) for end in ends] == [1, 1]
        and not _is_map(ends[1][0])
    )


def _call_opened(layer: Any, *given: Any, **options: Any) -> Any:
    if not _hides_maps(layer):
        return layer(*given, **options)
    # Its method goes through the layers, where calling the model would be one step again.
    return keras.Model(layer.inputs[0], layer.outputs[0]).call(*given)


def _describe(tensor: Any) -> str:
    layer, _ = made_by(tensor)
    return f"{type(layer).__name__} {layer.name!r}, whose shape is {tuple(tensor.shape)}"
