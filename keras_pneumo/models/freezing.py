"""Which layers of a backbone train; pure rules on names, without Keras."""

from collections.abc import Mapping, Sequence

from keras_pneumo.errors import SettingsError


def top_layers(
    layer_names: Sequence[str], stage_ends: Mapping[str, str], n_layers: int | str
) -> tuple[str, ...]:
    """Name the layers that ``fine_tune(n_layers)`` speaks of.

    Args:
        layer_names: The backbone's layers in order, input first.
        stage_ends: Each stage's last layer, in order from the input, such as
            ``{"conv4": "conv4_block6_out", "conv5": "conv5_block3_out"}``.
        n_layers: How many layers count from the top, as in ``layer_names[-n:]``; or a stage: its
            layers and all above them; or ``"all"``.

    Returns:
        The names, in order.

    Raises:
        SettingsError: ``n_layers`` is out of range or names no stage.

    Examples:
        >>> top_layers(["input", "a1", "a2", "b1"], {"a": "a2", "b": "b1"}, "b")
        ('b1',)
        >>> top_layers(["input", "a1", "a2", "b1"], {"a": "a2", "b": "b1"}, 2)
        ('a2', 'b1')
    """
    total = len(layer_names)
    if n_layers == "all":
        count = total
    elif isinstance(n_layers, str):
        count = total - _stage_start(layer_names, stage_ends, n_layers)
    elif isinstance(n_layers, int) and not isinstance(n_layers, bool) and 0 <= n_layers <= total:
        count = n_layers
    else:
        raise SettingsError(
            f"`n_layers` must be an integer from 0 to {total}, the name of a stage "
            f"({', '.join(stage_ends)}) or 'all'. Received: {n_layers!r}."
        )
    # Not layer_names[-count:], since [-0:] would be everything.
    return tuple(layer_names[total - count :])


def _stage_start(layer_names: Sequence[str], stage_ends: Mapping[str, str], stage: str) -> int:
    if stage not in stage_ends:
        raise SettingsError(
            f"`n_layers` names a stage of the backbone or is 'all'. Received: {stage!r}. "
            f"The stages are {', '.join(stage_ends)}."
        )
    start = 0
    for name, end in stage_ends.items():
        if name == stage:
            return start
        start = layer_names.index(end) + 1
    raise AssertionError("unreachable: the stage is among stage_ends")
