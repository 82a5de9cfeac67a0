"""Weights of a backbone, read from a file that holds all of it or a prefix."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import h5py
import keras

from keras_pneumo.errors import WeightsError


def load_backbone(
    backbone: keras.Model, stage_ends: Mapping[str, str], path: str | Path
) -> tuple[str, ...]:
    """Load ``path`` into ``backbone``, whole or up to the end of a stage.

    What the file does not cover keeps its initialisation and is named in one warning.

    Args:
        backbone: A functional Keras model.
        stage_ends: Each stage's last layer, in order from the input.
        path: A ``.weights.h5`` file saved from the backbone, or from
            ``keras.Model(backbone.input, backbone.get_layer(<end of a stage>).output)``.

    Returns:
        The stages that the file does not cover.

    Raises:
        WeightsError: No such file, or it fits neither the backbone nor a prefix of it.
    """
    path = Path(path)
    if not path.is_file() or not path.name.endswith(".weights.h5"):
        found = "no such file" if not path.exists() else "another kind of file"
        raise WeightsError(
            "`weights` must be 'imagenet', None or the path of a file that ends in '.weights.h5'. "
            f"Received: {str(path)!r} ({found})."
        )
    stages = list(stage_ends)
    found_count = _count_arrays(path)
    counts = {}
    for covered in range(len(stages), 0, -1):
        end = backbone.get_layer(stage_ends[stages[covered - 1]]).output
        prefix = keras.Model(backbone.input, end)
        counts[stages[covered - 1]] = len(prefix.weights)
        if len(prefix.weights) == found_count:
            try:
                prefix.load_weights(path)
            except ValueError as error:
                raise WeightsError(
                    f"{path} has as many arrays as {backbone.name} up to "
                    f"{stages[covered - 1]!r}, but they do not fit: {error}"
                ) from error
            uncovered = tuple(stages[covered:])
            if uncovered:
                warnings.warn(
                    f"{path.name} covers {backbone.name} up to {stages[covered - 1]!r}. Untrained "
                    f"stages keep their random initialisation: {', '.join(uncovered)}. "
                    f"Train them: fine_tune({uncovered[0]!r}, train_batch_norm=True).",
                    stacklevel=5,
                )
            return uncovered
    expected = ", ".join(f"{stage}: {count}" for stage, count in counts.items())
    raise WeightsError(
        f"A weights file must cover {backbone.name} up to the end of a stage (arrays up to each: "
        f"{expected}). Found {found_count} arrays in {path}. Was it saved from another model?"
    )


def _count_arrays(path: Path) -> int:
    arrays = []
    try:
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item: arrays.append(name) if isinstance(item, h5py.Dataset) else None
            )
    except OSError as error:
        raise WeightsError(f"{path} is no readable HDF5 file: {error}. Fetch it again.") from error
    return len(arrays)
