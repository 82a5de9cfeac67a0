"""In which number format a frozen prefix computes: bfloat16 where the hardware has it."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_pneumo.errors import SettingsError

PRECISIONS = ("auto", "float32", "bfloat16")

# Instructions that multiply bfloat16 numbers, as Linux names them. Without one of them it is
# emulated, which is slower than float32.
_CPU_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}


def choose_precision(precision: str) -> str:
    """Choose the number format of a prefix that does not train.

    Args:
        precision: ``"float32"`` or ``"bfloat16"``, taken as it is; or ``"auto"``: bfloat16 on a GPU
            and on a processor that has instructions for it, float32 elsewhere.

    Returns:
        ``"float32"`` or ``"bfloat16"``.

    Raises:
        SettingsError: It is none of these.

    Examples:
        >>> choose_precision("float32")
        'float32'
    """
    if precision not in PRECISIONS:
        raise SettingsError(
            f"`precision` must be one of {', '.join(map(repr, PRECISIONS))}. "
            f"Received: {precision!r}."
        )
    if precision != "auto":
        return precision
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return "bfloat16" if on_gpu or _CPU_FLAGS & _cpu_flags() else "float32"


def in_precision(model: keras.Model, precision: str) -> keras.Model:
    """Return a model whose backbone computes in a number format; it gives float32.

    Args:
        model: The prefix that ``keras_pneumo.models.cut.cut`` gives.
        precision: ``"float32"`` or ``"bfloat16"``.

    Returns:
        The model itself for float32, otherwise a copy: its weights and what is around the backbone
        are float32, the backbone computes in bfloat16.
    """
    if precision == "float32":
        return model

    def mixed(layer: Any) -> Any:
        return layer.from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})

    def mixed_backbone(layer: Any) -> Any:
        # The preprocessing stays as it is: a grey level has 8 bits, and so has bfloat16.
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=mixed)
        return layer.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=mixed_backbone)
    copy.set_weights(model.get_weights())
    return keras.Model(copy.input, keras.layers.Activation("linear", dtype="float32")(copy.output))


def _cpu_flags() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return set()
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    return {
        flag
        for line in lines
        if line.partition(":")[0].strip() in ("flags", "Features")
        for flag in line.partition(":")[2].split()
    }
