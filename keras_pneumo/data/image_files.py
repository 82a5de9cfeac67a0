"""Paths of image files, those of folders included."""

import os
from collections.abc import Iterable, Sized
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from keras_pneumo.data.layout import SUFFIXES
from keras_pneumo.errors import LayoutError, SettingsError


def image_files(paths: str | Path | Iterable[str | Path]) -> Iterable[str | Path]:
    """List files, and for each folder the images below it.

    An image is what ends in ``.jpeg``, ``.jpg`` or ``.png``; no file is opened. Hidden files and
    folders and ``__MACOSX`` are passed over.

    Args:
        paths: The path of a file or a folder, or an iterable of such paths.

    Returns:
        Files as given, those of a folder in sorted order: a list if ``paths`` has a length,
        otherwise an iterator, which looks into a folder when it comes to it.

    Raises:
        LayoutError: A folder holds no image, or cannot be listed.
        SettingsError: An entry is no path.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.png", "a.JPEG", "notes.txt", ".hidden.png"):
        ...     (folder / name).touch()
        >>> [Path(file).name for file in image_files(folder)]
        ['a.JPEG', 'b.png']
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    files = chain.from_iterable(map(_files_of, paths))
    return list(files) if isinstance(paths, Sized) else files


def _files_of(path: Any) -> list[str | Path]:
    if not isinstance(path, str | Path):
        raise SettingsError(
            "Images must be paths of files and folders or, for features, one array or a tf.data "
            f"pipeline. Received a {type(path).__name__} in a list. Stack arrays with numpy.stack."
        )
    if not Path(path).is_dir():
        return [path]
    found: list[str | Path] = []
    for parent, folders, files in os.walk(path, onerror=_refuse_to_skip):
        folders[:] = filter(_is_visible, folders)
        images = (name for name in files if name.lower().endswith(SUFFIXES))
        found += [Path(parent, name) for name in filter(_is_visible, images)]
    if not found:
        raise LayoutError(
            f"A folder must hold at least one image ({', '.join(SUFFIXES)}), or folders that do. "
            f"{path} holds none. Give another folder, or the files themselves."
        )
    return sorted(found)


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() != "__macosx"


def _refuse_to_skip(error: OSError) -> NoReturn:
    raise LayoutError(
        f"A folder must be readable whole. {error.filename}: {error.strerror}. Make it readable, "
        "or give the files themselves."
    ) from error
