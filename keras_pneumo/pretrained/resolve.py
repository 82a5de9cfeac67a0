"""A name becomes the folder of a saved model: a bundled preset, a folder, or a Hub repository."""

from importlib.resources import files
from pathlib import Path

from keras_pneumo import hub
from keras_pneumo.errors import HubError, SettingsError, WeightsError
from keras_pneumo.pretrained.description import DESCRIPTION_FILE, MODEL_FILES


def find_model(
    name: str | Path,
    *,
    revision: str | None = None,
    token: hub.Token = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """Find the folder of a saved model by its name.

    Tried in this order: a preset that this package brings; a folder, which may be that of a run; a
    repository on the Hugging Face Hub, of which the model's files are downloaded into the cache.

    Args:
        name: The name of a preset, a folder, or ``"owner/name"`` on the Hub. ``"hf://owner/name"``
            is looked for on the Hub alone, a ``Path`` among folders alone.
        revision: Of a Hub repository: a branch, a tag or a commit.
        token: As for ``keras_pneumo.hub.fetch``.
        cache_dir: As for ``keras_pneumo.hub.fetch``.
        local_files_only: As for ``keras_pneumo.hub.fetch``.

    Returns:
        The folder, not yet checked.

    Raises:
        WeightsError: There is no such model; the message says what was found where.
        HubError: The Hub cannot give it.
        SettingsError: A revision is given for what is not on the Hub.
    """
    text = str(name)
    found = None
    if not text.startswith("hf://"):
        found = _bundled(text) or _folder(Path(text).expanduser())
    if found:
        if revision is not None:
            raise SettingsError(
                f"`revision` is of a Hub repository. Received {revision!r} for {text}, which is a "
                f"folder. Leave it out, or write hf://{text}."
            )
        return found
    repo_id = text.removeprefix("hf://")
    tried = [
        f"presets: {', '.join(presets()) or 'this version brings none'}",
        "folders: there is none of this name",
    ]
    if isinstance(name, Path) or not hub.is_repo_id(repo_id):
        raise WeightsError(
            f"There is no model {text!r}. Tried: {'; '.join(tried)}; Hub: not asked, since an id "
            "has the form owner/name. Give a folder that `save_pretrained` or a training made, or "
            "such an id."
        )
    try:
        folder = hub.fetch(
            repo_id,
            MODEL_FILES,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
    except HubError as error:
        before = "" if text.startswith("hf://") else f" Tried: {'; '.join(tried)}; Hub:"
        raise HubError(f"There is no model {text!r}.{before} {error}") from error
    if not (folder / DESCRIPTION_FILE).is_file():
        raise WeightsError(
            f"{repo_id} on the Hub holds no model of keras-pneumo: it has no {DESCRIPTION_FILE}. "
            f'Plain Keras may open it: `keras.saving.load_model("hf://{repo_id}")`.'
        )
    return folder


def presets() -> list[str]:
    """Return the names of the presets that this package brings."""
    # Other weights that this package brings lie there too.
    return sorted(path.parent.name for path in _presets().glob(f"*/{DESCRIPTION_FILE}"))


def _presets() -> Path:
    return Path(str(files("keras_pneumo"))) / "presets"


def _bundled(name: str) -> Path | None:
    return _presets() / name if name in presets() else None


def _folder(path: Path) -> Path | None:
    in_run = path / "model"
    if (in_run / DESCRIPTION_FILE).is_file():
        return in_run
    return path if path.exists() else None
