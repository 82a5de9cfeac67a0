"""LungSegmenter: a small U-Net that outputs where the lungs are."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import h5py
import keras
import numpy as np

from keras_pneumo import __version__, image
from keras_pneumo.errors import SettingsError, WeightsError
from keras_pneumo.files import new_directory
from keras_pneumo.models.compiled import compiled, jit_compile

DESCRIPTION_FILE = "lungs.json"
WEIGHTS_FILE = "lungs.weights.h5"
SCHEMA_VERSION = 1

# Of the three levels, at a half, a quarter and an eighth of the input, and of what lies below them.
_FILTERS = (32, 64, 112)
_FILTERS_BELOW = 192
# ITU-R BT.601, as Pillow's and TensorFlow's conversions to grey.
_LUMA = (0.299, 0.587, 0.114)


@keras.saving.register_keras_serializable(package="keras_pneumo")
class LungSegmenter(keras.Model):
    """U-Net that outputs, for each pixel of a chest X-ray, the probability of the lung field.

    The lung field is both lungs, with what of them lies behind the heart. A functional
    ``keras.Model`` of built-in layers: grey and normalisation to mean 0 and variance 1
    of each image inside the graph, then separable convolutions on three levels with skip
    connections. Brightness and contrast of an image therefore change nothing but what they clip.
    Input: float32 or uint8 ``(batch, height, width, 3)``, RGB in [0, 255]. Output: float32
    ``(batch, height, width, 1)`` in [0, 1].

    Args:
        image_size: ``(height, width)`` in pixels, multiples of 16 of at least 32.
        dtype: Dtype policy of the convolutions, such as ``"mixed_bfloat16"``; by default the global
            policy. Normalisation and output stay in float32.
        name: Name of the model.

    Attributes:
        metadata: Where the weights come from (data, recipe, figures on held-out patients): plain
            JSON values, saved with the weights.

    Raises:
        SettingsError: ``image_size`` is out of range.

    Examples:
        >>> model = LungSegmenter(image_size=(32, 32))
        >>> model.predict(np.zeros((2, 32, 32, 3), "uint8"), verbose=0).shape
        (2, 32, 32, 1)

    References:
        Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015,
        arXiv:1505.04597; Chollet, "Xception", 2016, arXiv:1610.02357, for the convolutions.
    """

    def __init__(
        self,
        image_size: tuple[int, int] = (112, 112),
        dtype: Any = None,
        name: str = "lung_segmenter",
    ) -> None:
        image_size = image.check_size(image_size)
        if any(side % 16 for side in image_size):
            raise SettingsError(
                "`image_size` of a LungSegmenter must be multiples of 16, since it halves images "
                f"four times. Received: {image_size!r}. Use for example (112, 112)."
            )

        # === Layers ===
        policy = dtype or keras.config.dtype_policy()
        inputs = keras.Input((*image_size, 3), name="image", dtype="float32")
        # A fixed 1 x 1 convolution, so that the saved graph holds built-in layers only.
        grey = keras.layers.Conv2D(
            1,
            1,
            use_bias=False,
            kernel_initializer=keras.initializers.Constant([[[[share / 255] for share in _LUMA]]]),
            trainable=False,
            dtype="float32",
            name="grey",
        )
        # Radiographs have no unit: what is bright is decided by the display, image by image.
        normalisation = keras.layers.LayerNormalization(
            axis=(1, 2, 3),
            epsilon=1e-5,
            center=False,
            scale=False,
            dtype="float32",
            name="exposure",
        )

        # === Functional model ===
        # The first level has half the resolution of the input: an outline is smooth, and the whole
        # resolution takes most of the time.
        x = keras.layers.Conv2D(
            _FILTERS[0], 5, 2, "same", use_bias=False, dtype=policy, name="stem"
        )(normalisation(grey(inputs)))
        x = _activated(_normalised(x, "stem", policy), "stem", policy)
        skips = []
        for level, filters in enumerate(_FILTERS, start=1):
            x = _block(x, filters, f"down{level}", policy)
            skips.append(x)
            x = keras.layers.MaxPooling2D(2, dtype=policy, name=f"down{level}_pool")(x)
        x = _block(x, _FILTERS_BELOW, "below", policy)
        for level, filters, skip in reversed(list(zip((1, 2, 3), _FILTERS, skips, strict=True))):
            x = keras.layers.UpSampling2D(2, dtype=policy, name=f"up{level}_size")(x)
            x = keras.layers.Concatenate(dtype=policy, name=f"up{level}_join")([x, skip])
            x = _block(x, filters, f"up{level}", policy)
        x = keras.layers.Conv2DTranspose(1, 4, 2, "same", dtype="float32", name="logit")(x)
        outputs = keras.layers.Activation("sigmoid", dtype="float32", name="probability")(x)
        super().__init__(inputs=inputs, outputs=outputs, name=name)

        # === Config ===
        self.image_size = image_size
        self.metadata = {}
        self.jit_compile = jit_compile()
        # A function, since Keras would save a second model that it finds as an attribute.
        self._compute_outputs = compiled(self.plain())

    @property
    def metadata(self) -> dict[str, Any]:
        """Where the weights come from: a copy, set it whole to change it."""
        return dict(self._metadata)

    @metadata.setter
    def metadata(self, value: Mapping[str, Any]) -> None:
        # A read-only view, which Keras does not try to track as state of the model.
        self._metadata = MappingProxyType(json.loads(json.dumps(value)))

    def probabilities(self, images: Any, batch_size: int) -> np.ndarray:
        """Compute what ``predict`` does for one batch, without what that needs to begin.

        Args:
            images: Array ``(n, height, width, 3)`` in [0, 255], n up to ``batch_size``.
            batch_size: The most images that this is called with.

        Returns:
            float32 array ``(n, height, width)``: the probabilities of the lung field, in [0, 1].
        """
        return self._compute_outputs(images, batch_size)[..., 0]

    def plain(self) -> keras.Model:
        """The same graph and weights as a plain functional model of built-in layers."""
        return keras.Model(self.input, self.output, name=self.name)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, and the metadata."""
        return {**self._constructor_config(), "metadata": self.metadata}

    def _constructor_config(self) -> dict[str, Any]:
        return {
            "image_size": list(self.image_size),
            "dtype": self.get_layer("stem").dtype_policy.name,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Self:
        """Build the model that ``get_config`` describes, with random weights."""
        config = dict(config)
        metadata = config.pop("metadata", {})
        model = cls(**config)
        model.metadata = metadata
        return model

    def save_to_preset(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Save the weights, in float16, and ``lungs.json`` beside them.

        float16 halves the file, and changes probabilities by less than a thousandth. ``lungs.json``
        holds the arguments of the model, its metadata, and the SHA-256 of the weights.

        Args:
            directory: The folder to make.
            overwrite: Replace it if it holds a segmenter already.

        Returns:
            The folder.

        Raises:
            OutputError: The folder is occupied, and ``overwrite`` is False or it is no segmenter.
        """
        with new_directory(directory, marker=DESCRIPTION_FILE, overwrite=overwrite) as temporary:
            whole = temporary / "whole.weights.h5"
            self.plain().save_weights(whole)
            _halve(whole, temporary / WEIGHTS_FILE)
            whole.unlink()
            content = {
                "schema_version": SCHEMA_VERSION,
                "keras_pneumo": __version__,
                "class": type(self).__name__,
                "config": {**self._constructor_config(), "dtype": "float32"},
                "sha256": {WEIGHTS_FILE: _sha256(temporary / WEIGHTS_FILE)},
                "metadata": self.metadata,
            }
            text = json.dumps(content, indent=2, allow_nan=False) + "\n"
            (temporary / DESCRIPTION_FILE).write_text(text, encoding="utf-8")
        return Path(directory)

    @classmethod
    def from_preset(cls, folder: str | Path | None = None) -> Self:
        """Load a trained segmenter: the one that this package brings, or one from a folder.

        Args:
            folder: What ``save_to_preset`` or ``keras-pneumo lungs train`` made; by default that of
                this package.

        Returns:
            The model in float32, with its ``metadata``; not compiled.

        Raises:
            WeightsError: There is no such segmenter, it is of a newer version, or one of its files
                is missing or changed.

        Examples:
            ```python
            model = LungSegmenter.from_preset()
            print(model.metadata["held_out"])
            ```
        """
        bundled = Path(str(files("keras_pneumo"))) / "presets" / "lungs"
        directory = bundled if folder is None else Path(folder)
        content = _read_description(directory)
        weights = directory / WEIGHTS_FILE
        try:
            model = cls(**content["config"])
            intact = weights.is_file() and _sha256(weights) == content["sha256"][WEIGHTS_FILE]
            model.metadata = content["metadata"]
        except (KeyError, TypeError, SettingsError) as error:
            raise WeightsError(
                f"{directory / DESCRIPTION_FILE} does not describe a {cls.__name__}: missing or "
                f"wrong is {error}. Copy the whole folder again, or train again."
            ) from error
        if not intact:
            raise WeightsError(
                f"{weights} must be the file that was saved, with the SHA-256 that is in "
                f"{DESCRIPTION_FILE}. It is missing, cut short or changed. Copy the whole folder "
                "again, or train again."
            )
        try:
            with warnings.catch_warnings():
                # Keras only warns where the file does not fit; a half-loaded model helps nobody.
                warnings.simplefilter("error", UserWarning)
                model.plain().load_weights(weights)
        except (OSError, ValueError, KeyError, UserWarning) as error:
            raise WeightsError(
                f"{weights} does not hold the weights of a {cls.__name__}: {error}"
            ) from error
        return model


def _block(x: Any, filters: int, name: str, policy: Any) -> Any:
    """Two convolutions, the second one on a shortcut (He et al., 2015, arXiv:1512.03385)."""
    first = _activated(_convolved(x, filters, f"{name}a", policy), f"{name}a", policy)
    second = _convolved(first, filters, f"{name}b", policy)
    joined = keras.layers.Add(dtype=policy, name=f"{name}_add")([first, second])
    return _activated(joined, f"{name}b", policy)


def _convolved(x: Any, filters: int, name: str, policy: Any) -> Any:
    x = keras.layers.SeparableConv2D(
        filters, 3, padding="same", use_bias=False, dtype=policy, name=name
    )(x)
    return _normalised(x, name, policy)


def _normalised(x: Any, name: str, policy: Any) -> Any:
    # Statistics that follow fast: a training is a few thousand steps.
    return keras.layers.BatchNormalization(momentum=0.97, dtype=policy, name=f"{name}_bn")(x)


def _activated(x: Any, name: str, policy: Any) -> Any:
    return keras.layers.Activation("relu", dtype=policy, name=f"{name}_relu")(x)


def _halve(whole: Path, halved: Path) -> None:
    """Write the arrays of a weights file in float16."""
    # A layout that every HDF5 since 2008 reads; in the default one, groups take as much as weights.
    with h5py.File(whole) as source, h5py.File(halved, "w", libver=("v108", "v108")) as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                target.create_dataset(name, data=item[...].astype("float16"))
            else:
                target.require_group(name)
            target[name].attrs.update(item.attrs)

        source.visititems(copy)


def _read_description(directory: Path) -> dict[str, Any]:
    path = directory / DESCRIPTION_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(
            f"A segmenter is a folder with {DESCRIPTION_FILE} and {WEIGHTS_FILE}. "
            f"{path}: {error.strerror}. Give a folder that `keras-pneumo lungs train` made."
        ) from None
    except ValueError as error:
        raise WeightsError(f"{path} is not valid JSON: {error}. Copy the file again.") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise WeightsError(
            f"This keras-pneumo ({__version__}) reads schema version {SCHEMA_VERSION} of "
            f"{DESCRIPTION_FILE}. Found {version!r} in {path}. Upgrade keras-pneumo."
        )
    return dict(content)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
