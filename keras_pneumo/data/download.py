"""The Kaggle collection, downloaded: from its mirror on the Hugging Face Hub, or from Kaggle."""

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from keras_pneumo.data.layout import CLASS_NAMES, read_collection
from keras_pneumo.errors import HubError, OutputError, SettingsError
from keras_pneumo.files import is_occupied, new_directory
from keras_pneumo.hub import fetch

MIRROR = "hf-vision/chest-xray-pneumonia"
KAGGLE_DATASET = "paultimothymooney/chest-xray-pneumonia"
VERSION = 2
COUNTS = {
    "train/NORMAL": 1341,
    "train/PNEUMONIA": 3875,
    "val/NORMAL": 8,
    "val/PNEUMONIA": 8,
    "test/NORMAL": 234,
    "test/PNEUMONIA": 390,
}
N_IMAGES = sum(COUNTS.values())

_FOLDER_OF_SPLIT = {"train": "train", "validation": "val", "test": "test"}
_COLUMNS = ["image", "label"]
_PAGES = {
    "hub": f"https://huggingface.co/datasets/{MIRROR}",
    "kaggle": f"https://www.kaggle.com/datasets/{KAGGLE_DATASET}/versions/{VERSION}",
}
_README = f"""Chest X-Ray Images (Pneumonia), version {VERSION}, {N_IMAGES:,} images

From:    {{page}}
Licence: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/
Cite:    D. S. Kermany, M. Goldbaum, W. Cai et al., "Identifying Medical Diagnoses and Treatable
         Diseases by Image-Based Deep Learning", Cell 172(5), 1122-1131, 2018,
         doi:10.1016/j.cell.2018.02.010
"""


def download(
    directory: str | Path,
    source: str = "hub",
    *,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
) -> Path:
    """Download "Chest X-Ray Images (Pneumonia)", version 2, into the layout of the Kaggle folder.

    The 5,856 files keep their bytes and their names, from which the patients are read. The folder
    appears whole or not at all: its files are counted by split and class first.

    About 1.2 GB are downloaded into a cache and written to the folder from there. An interrupted
    download goes on when it is repeated, and a repeated one downloads nothing. When the folder is
    there, the cache can be freed:

    - of ``huggingface_hub`` (``~/.cache/huggingface/hub`` unless ``HF_HOME`` or ``HF_HUB_CACHE``
      says otherwise): ``hf cache rm dataset/hf-vision/chest-xray-pneumonia``;
    - of ``kagglehub`` (``~/.cache/kagglehub`` unless ``KAGGLEHUB_CACHE`` says otherwise): delete
      the folder ``datasets/paultimothymooney/chest-xray-pneumonia`` in it.

    Args:
        directory: The folder to create. ``~`` is expanded.
        source: ``"hub"``, the mirror ``hf-vision/chest-xray-pneumonia`` on the Hugging Face Hub,
            which needs no account; or ``"kaggle"``, which needs ``kagglehub`` (the extra
            ``kaggle``), and an account if Kaggle asks for one.
        token: For ``"hub"``: an access token, True for the stored one, False for none.
        cache_dir: For ``"hub"``: where the downloaded files are kept.

    Returns:
        The folder: ``train``, ``val`` and ``test``, each with ``NORMAL`` and ``PNEUMONIA``, beside
        a ``README.txt`` with the licence (CC BY 4.0) and the paper to cite.

    Raises:
        SettingsError: ``source`` is unknown, ``kagglehub`` is not installed, or an argument does
            not belong to the source.
        OutputError: ``directory`` has contents. Nothing is downloaded.
        HubError: The source cannot be had, or does not give the collection as it is known.

    Examples:
        ```python
        from keras_pneumo import train
        from keras_pneumo.data.download import download

        train(download("chest_xray"), "runs/first")
        ```

    References:
        D. S. Kermany, M. Goldbaum, W. Cai et al., "Identifying Medical Diagnoses and Treatable
        Diseases by Image-Based Deep Learning", Cell 172(5), 2018.
    """
    directory = Path(directory).expanduser()
    if source not in _PAGES:
        raise SettingsError(f"`source` must be one of {tuple(_PAGES)}. Received: {source!r}.")
    if source == "kaggle" and (token is not None or cache_dir is not None):
        raise SettingsError(
            "`token` and `cache_dir` are for the source 'hub'. kagglehub reads its own from the "
            "environment variables KAGGLE_API_TOKEN and KAGGLEHUB_CACHE: set those."
        )
    if is_occupied(directory):
        raise OutputError(
            f"The collection is put into a new or empty folder. {directory} has contents. Choose "
            f"another folder; `keras-pneumo data audit {directory}` says what is in this one."
        )
    with new_directory(directory) as folder:
        if source == "hub":
            snapshot = fetch(
                MIRROR, ["data/*.parquet"], repo_type="dataset", token=token, cache_dir=cache_dir
            )
            images = _read_mirror(snapshot)
        else:
            images = _read_archive(_fetch_from_kaggle())
        _write(images, folder, source)
        readme = _README.format(page=_PAGES[source])
        (folder / "README.txt").write_text(readme, encoding="utf-8")
    return directory


def _read_mirror(snapshot: Path) -> Iterator[tuple[str, bytes]]:
    for split, folder in _FOLDER_OF_SPLIT.items():
        for path in sorted(snapshot.glob(f"data/{split}-*.parquet")):
            for row in _rows(path):
                place = f"{folder}/{CLASS_NAMES[row['label']]}"
                # Drops folders as any system writes them, so that no name leads elsewhere.
                name = PureWindowsPath(row["image"]["path"] or "").name
                if not name:
                    raise _unexpected("hub", f"an image of {place} has no file name")
                yield f"{place}/{name}", row["image"]["bytes"]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    # Read as a stream: by default pyarrow would hold the whole shard in memory.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
        if not set(_COLUMNS) <= set(file.schema_arrow.names):
            found = ", ".join(file.schema_arrow.names)
            raise _unexpected("hub", f"{path.name} has the columns {found}")
        for batch in file.iter_batches(batch_size=16, columns=_COLUMNS):
            yield from batch.to_pylist()


def _fetch_from_kaggle() -> Path:
    try:
        import kagglehub
        from kagglehub.exceptions import (
            BackendError,
            CredentialError,
            DataCorruptionError,
            UnauthenticatedError,
        )
        from requests import RequestException
    except ImportError as error:
        raise SettingsError(
            "The source 'kaggle' needs kagglehub, which is not installed. Run: pip install "
            "'keras-pneumo[kaggle]'. The source 'hub' needs neither it nor an account."
        ) from error
    try:
        return Path(kagglehub.dataset_download(f"{KAGGLE_DATASET}/versions/{VERSION}"))
    except (CredentialError, UnauthenticatedError) as error:
        raise _refused(error) from error
    except (RequestException, BackendError) as error:
        response = getattr(error, "response", None)
        if response is not None and response.status_code in (401, 403):
            raise _refused(error) from error
        raise HubError(
            "The download from Kaggle did not end. Check the network and do the same again: what "
            "has arrived is kept. Or take the source 'hub'. kagglehub says: "
            f"{_one_line(error)}"
        ) from error
    # kagglehub's word for an archive of no known kind, or a broken kaggle.json, is a ValueError.
    except (DataCorruptionError, zipfile.BadZipFile, ValueError) as error:
        raise HubError(
            "kagglehub cannot use what it has. If that is the download, delete "
            f"{_kaggle_cache()} and do the same again. Or take the source 'hub'. kagglehub says: "
            f"{_one_line(error)}"
        ) from error


def _refused(error: Exception) -> HubError:
    return HubError(
        "Kaggle wants to know who you are. Make a token at https://www.kaggle.com/settings/api and "
        "set KAGGLE_API_TOKEN to it, or save it as ~/.kaggle/access_token. Or take the source "
        f"'hub', which needs no account. kagglehub says: {_one_line(error)}"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _kaggle_cache() -> Path:
    from kagglehub.config import get_cache_folder

    return Path(get_cache_folder(), "datasets", KAGGLE_DATASET)


def _read_archive(folder: Path) -> Iterator[tuple[str, bytes]]:
    # chest_xray holds the splits, and beside them a second copy and __MACOSX, which are not read.
    for place in COUNTS:
        for path in sorted((folder / "chest_xray" / place).glob("[!.]*.jpeg")):
            yield f"{place}/{path.name}", path.read_bytes()


def _write(images: Iterator[tuple[str, bytes]], folder: Path, source: str) -> None:
    for place in COUNTS:
        (folder / place).mkdir(parents=True)
    found: Counter[str] = Counter()
    bar = {"unit": " images", "desc": "Writing", "disable": None}  # None: on a terminal only
    for filename, content in tqdm(images, total=N_IMAGES, **bar):
        try:
            with (folder / filename).open("xb") as file:
                file.write(content)
        except FileExistsError:
            raise _unexpected(source, f"the name {filename} is there twice") from None
        found[filename.rpartition("/")[0]] += 1
    wrong = [
        f"{place} has {found[place]:,} images, expected {expected:,}"
        for place, expected in COUNTS.items()
        if found[place] != expected
    ]
    if wrong:
        raise _unexpected(source, "; ".join(wrong))
    nameless = [one.filename for one in read_collection(folder).records if not one.series]
    if nameless:
        what = f"{len(nameless):,} names tell no patient, such as {nameless[0]}"
        raise _unexpected(source, what)


def _unexpected(source: str, what: str) -> HubError:
    if source == "hub":
        next_step = "Try the source 'kaggle' (on the command line: --source kaggle)."
    else:
        next_step = f"Delete {_kaggle_cache()} and do the same again, or take the source 'hub'."
    return HubError(
        f"The collection is {N_IMAGES:,} images under their original names, from which patients "
        f"are read. What {_PAGES[source]} gave is not that: {what}. No folder was made. {next_step}"
    )
