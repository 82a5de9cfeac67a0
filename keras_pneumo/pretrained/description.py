"""``keras_pneumo.json``, which lies beside the weights of a saved model and vouches for them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from keras_pneumo import __version__
from keras_pneumo.errors import WeightsError

LABELS = ("NORMAL", "PNEUMONIA")
DESCRIPTION_FILE = "keras_pneumo.json"
WEIGHTS_FILE = "model.weights.h5"
KERAS_FILES = ("config.json", "metadata.json", WEIGHTS_FILE)
MODEL_FILES = (*KERAS_FILES, DESCRIPTION_FILE)
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Description:
    """What keras-pneumo knows of a saved model, and plain Keras does not.

    Attributes:
        class_name: The class that was saved, such as ``"PneumoniaResNet50"``.
        config: The arguments that build it.
        image_size: ``(height, width)`` of an input, in pixels.
        threshold: The operating threshold, in [0, 1].
        metadata: Where the model comes from: JSON values.
        labels: The names of the classes 0 and 1.
        keras_pneumo: The version that saved it.
    """

    class_name: str
    config: Mapping[str, Any]
    image_size: tuple[int, int]
    threshold: float
    metadata: Mapping[str, Any]
    labels: tuple[str, str] = LABELS
    keras_pneumo: str = __version__

    def write(self, directory: Path) -> None:
        """Write the file into a folder that holds Keras's files already, with their hashes."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "keras_pneumo": self.keras_pneumo,
            "class": self.class_name,
            "config": dict(self.config),
            "labels": list(self.labels),
            "image_size": list(self.image_size),
            "threshold": self.threshold,
            "metadata": dict(self.metadata),
            "sha256": {name: _sha256(directory / name) for name in KERAS_FILES},
        }
        text = json.dumps(content, indent=2) + "\n"
        (directory / DESCRIPTION_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, directory: str | Path) -> Self:
        """Read the file, and check that Keras's files beside it are those that it was written for.

        Args:
            directory: The folder of a saved model.

        Returns:
            The description.

        Raises:
            WeightsError: The folder holds no saved model, one of a newer version, or one of which a
                file is missing, cut short or changed.
        """
        directory = Path(directory)
        path = directory / DESCRIPTION_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise WeightsError(
                f"A saved model is a folder with {', '.join(MODEL_FILES)}. Found in {directory}: "
                f"{_listing(directory)}."
            ) from None
        except ValueError as error:
            raise WeightsError(
                f"{path} is not valid JSON: {error}. Save the model again."
            ) from error
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise WeightsError(
                f"This keras-pneumo ({__version__}) reads schema version {SCHEMA_VERSION} of "
                f"{DESCRIPTION_FILE}. Found {version!r} in {path}. Upgrade keras-pneumo."
            )
        try:
            height, width = content["image_size"]
            found = cls(
                class_name=str(content["class"]),
                config=dict(content["config"]),
                image_size=(int(height), int(width)),
                threshold=float(content["threshold"]),
                metadata=dict(content["metadata"]),
                labels=tuple(content["labels"]),
                keras_pneumo=str(content["keras_pneumo"]),
            )
            expected = {name: content["sha256"][name] for name in KERAS_FILES}
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{path} is not whole: missing or wrong is {error}. Copy or download the whole "
                "folder again."
            ) from error
        for name, sha256 in expected.items():
            _require_intact(directory / name, sha256)
        return found


def _require_intact(path: Path, expected: str) -> None:
    if not path.is_file():
        raise WeightsError(
            f"A saved model is a folder with {', '.join(MODEL_FILES)}. {path.name} is missing in "
            f"{path.parent}. Copy or download the whole folder again."
        )
    if _sha256(path) != expected:
        raise WeightsError(
            f"{path} is not the file that was saved: its SHA-256 is not the one in "
            f"{DESCRIPTION_FILE}. It was cut short, damaged or changed. Copy or download the whole "
            "folder again."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listing(directory: Path) -> str:
    if not directory.exists():
        return "no folder"
    if not directory.is_dir():
        return "a file, not a folder"
    return ", ".join(sorted(path.name for path in directory.iterdir())) or "nothing"
