"""Files that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_pneumo.errors import OutputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and rename it to ``path`` on success.

    Whoever reads ``path`` sees the old file or the new one, never a half of it, even if the
    process is killed. The temporary name keeps the suffix, by which many writers choose a format.

    Args:
        path: The file to create or replace. Missing parent folders are made.

    Yields:
        The temporary path to write to.

    Examples:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{''.join(path.suffixes)}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_directory(
    path: str | Path, *, marker: str | None = None, overwrite: bool = False
) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` and rename it to ``path`` on success.

    Args:
        path: The folder to create.
        marker: A file that every folder of this kind has. Told to overwrite or not, a folder
            without it is not deleted, since it holds something else.
        overwrite: Replace a folder that is already there.

    Yields:
        The temporary folder to fill.

    Raises:
        OutputError: ``path`` is occupied, and ``overwrite`` is False or the marker is missing.
    """
    path = Path(path)
    if is_occupied(path):
        if not overwrite:
            raise OutputError(
                f"The output folder must not exist yet or be empty. Found {path} with contents. "
                "Choose another folder, or ask to overwrite it."
            )
        if marker and not (path / marker).is_file():
            raise OutputError(
                f"Only a folder of the same kind is overwritten, which has a file {marker}. "
                f"{path} holds something else. Choose another folder, or empty it yourself."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        # mkdtemp makes private folders; an output folder follows the user's umask instead.
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            old = temporary.with_suffix(".old.tmp")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_occupied(path: Path) -> bool:
    """Whether there is anything at ``path`` that writing there would destroy."""
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
