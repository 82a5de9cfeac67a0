"""The architectures that a training can name."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from keras_pneumo.errors import SettingsError

if TYPE_CHECKING:
    from keras_pneumo.models.classifier import PneumoniaClassifier

# Where each class lives, not the class itself: settings are checked without importing Keras.
ARCHITECTURES: dict[str, str] = {
    "resnet50": "keras_pneumo.models.resnet50:PneumoniaResNet50",
}


def check_architecture(name: str) -> str:
    """Return ``name`` if it is one of ``ARCHITECTURES``.

    Args:
        name: The name of an architecture.

    Returns:
        The name.

    Raises:
        SettingsError: There is no such architecture.

    Examples:
        >>> check_architecture("resnet50")
        'resnet50'
    """
    if name not in ARCHITECTURES:
        raise SettingsError(
            f"`model` must be one of {', '.join(map(repr, ARCHITECTURES))}. Received: {name!r}."
        )
    return name


def architecture(name: str) -> "Callable[..., PneumoniaClassifier]":
    """Import the class of an architecture.

    Args:
        name: One of ``ARCHITECTURES``.

    Returns:
        The class: a ``PneumoniaClassifier`` that takes the arguments of ``PneumoniaResNet50``.

    Raises:
        SettingsError: There is no such architecture.

    Examples:
        >>> architecture("resnet50").__name__
        'PneumoniaResNet50'
    """
    make: Callable[..., PneumoniaClassifier] = resolve_name(ARCHITECTURES[check_architecture(name)])
    return make
