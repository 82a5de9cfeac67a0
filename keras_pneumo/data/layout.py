"""A folder of chest X-rays, read as records without opening an image.

Three layouts are known: the Kaggle v2 collection (``train``, ``val``, ``test``), the labelled v3
release (``train``, ``test``; other file names), and a plain folder of class folders.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_pneumo.errors import LayoutError

CLASS_NAMES = ("NORMAL", "PNEUMONIA")
AETIOLOGIES = ("none", "bacteria", "virus", "unknown")

_SPLIT_OF_FOLDER = {"train": "train", "val": "validation", "test": "test"}
_NESTINGS = ("", "chest_xray", "chest_xray/chest_xray")
SUFFIXES = (".jpeg", ".jpg", ".png")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")

# Only the start of a name is read, so that "IM-0115-0001 (1).jpeg", a copy, stays with its child.
_PERSON = re.compile(r"person(?P<number>\d+)_(?P<aetiology>bacteria|virus)_")
_IM = re.compile(r"(?P<series>(?:NORMAL2-)?IM)-(?P<number>\d+)-")
_V3 = re.compile(r"(?P<series>NORMAL|BACTERIA|VIRUS)-(?P<number>\d+)-")


@dataclass(frozen=True, slots=True)
class Record:
    """One image file, with what its place and its name say.

    The names do not tell whether ``person23_bacteria_80`` and ``person23_virus_53`` show one child
    or two, so both readings are kept: ``patient_id`` takes them as one, ``series_patient`` as two.
    Two images that share a ``series_patient`` always share a ``patient_id``; whoever groups by
    ``patient_id`` is therefore right under both readings.

    Attributes:
        path: The absolute path of the file.
        filename: The path relative to the collection's root with forward slashes, such as
            ``"test/NORMAL/IM-0001-0001.jpeg"``. Unique in a collection.
        split: ``"train"``, ``"validation"`` or ``"test"``; None in a folder of class folders.
        label: One of ``CLASS_NAMES``, taken from the folder.
        aetiology: One of ``AETIOLOGIES``: ``"none"`` for NORMAL; for PNEUMONIA what the
            name says.
        patient_id: The naive reading of the child, such as ``"person23"``, ``"IM-0115"`` or, in
            the v3 release, the number alone. The file's stem when the name says nothing.
        series: The numbering that the name belongs to: ``"person_bacteria"``, ``"person_virus"``,
            ``"IM"``, ``"NORMAL2-IM"``, in the v3 release ``"NORMAL"``, ``"BACTERIA"`` or
            ``"VIRUS"``; empty when the name says nothing.
    """

    path: Path
    filename: str
    split: str | None
    label: str
    aetiology: str
    patient_id: str
    series: str

    @property
    def series_patient(self) -> str:
        """The child when every series has its own numbering, such as ``"NORMAL2-IM-0588"``."""
        if not self.series:
            return self.patient_id
        number = self.patient_id.removeprefix("person").removeprefix("IM-")
        return f"{self.series}-{number}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that was left out, with the reason.

    Attributes:
        path: Its absolute path.
        reason: ``"empty file"``, ``"not an image"`` or another short phrase.
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Collection:
    """The images of one folder.

    Attributes:
        root: The absolute folder that holds the split folders or the class folders.
        layout: ``"kaggle"``, ``"labeled_v3"`` or ``"class_folders"``.
        records: The images, sorted by filename.
        skipped: What lies in the folder and was left out, sorted by path.
    """

    root: Path
    layout: str
    records: tuple[Record, ...]
    skipped: tuple[Skipped, ...]


def read_collection(data_dir: str | Path) -> Collection:
    """List the images of a folder, whichever of the three layouts it has.

    The folder itself, ``chest_xray`` in it and ``chest_xray/chest_xray`` in it are tried in this
    order; the first with a split folder or a class folder is the root. Names of folders are matched
    exactly, the suffixes ``.jpeg``, ``.jpg`` and ``.png`` in any case. Hidden files, ``__MACOSX``,
    ``Thumbs.db``, ``desktop.ini``, and outside the class folders whatever is no image, are passed
    over; anything else that is not read is counted in ``skipped``. The files' first bytes are
    looked at, but no image is decoded; ``keras_pneumo.data.integrity.unreadable`` does that. The
    order does not depend on the file system.

    Args:
        data_dir: The folder. ``~`` is expanded.

    Returns:
        The collection. The splits it has are those of the folder; ask for those you need with
        ``require_splits``.

    Raises:
        LayoutError: There are neither split nor class folders, a split lacks a class, or a class
            folder holds no image.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("NORMAL/IM-0115-0001.jpeg", "PNEUMONIA/person23_virus_53.jpeg"):
        ...     (folder / name).parent.mkdir()
        ...     _ = (folder / name).write_bytes(bytes.fromhex("ffd8ffe0"))
        >>> collection = read_collection(folder)
        >>> collection.layout
        'class_folders'
        >>> [(record.patient_id, record.aetiology) for record in collection.records]
        [('IM-0115', 'none'), ('person23', 'virus')]
    """
    root = _find_root(Path(data_dir).expanduser().absolute())
    folders = _folders(root)
    splits = [name for name in _SPLIT_OF_FOLDER if name in folders]
    records: list[Record] = []
    skipped: list[Skipped] = []
    for split_folder in splits or [""]:
        parent = root / split_folder
        split = _SPLIT_OF_FOLDER.get(split_folder)
        _require_classes(parent)
        for label in CLASS_NAMES:
            images, left_out = _read_class(parent / label)
            records += [_record(path, root, split, label) for path in images]
            skipped += left_out
        if split_folder:
            skipped += _out_of_place(parent, CLASS_NAMES)
    skipped += _out_of_place(root, splits or CLASS_NAMES)
    records.sort(key=lambda record: record.filename)
    skipped.sort(key=lambda one: one.path.as_posix())
    layout = _split_layout(records) if splits else "class_folders"
    return Collection(root, layout, tuple(records), tuple(skipped))


def require_splits(collection: Collection, names: Iterable[str]) -> None:
    """Check that a collection has the splits that are needed.

    Args:
        collection: The collection.
        names: Some of ``"train"``, ``"validation"`` and ``"test"``.

    Raises:
        LayoutError: One of them is missing.
    """
    names = tuple(names)
    found = {record.split for record in collection.records} - {None}
    missing = [name for name in names if name not in found]
    if missing:
        folder_of_split = {split: folder for folder, split in _SPLIT_OF_FOLDER.items()}
        wanted = _listed(f"{folder_of_split.get(name, name)}/" for name in names)
        raise LayoutError(
            f"This needs the split folders {wanted}, each with {_listed(CLASS_NAMES)}. "
            f"Missing: {_listed(f'{folder_of_split.get(name, name)}/' for name in missing)} "
            f"in {collection.root}, which holds the folders {_listed(_folders(collection.root))}. "
            "Add what is missing, or choose a split that is made from what there is."
        )


def fingerprint(collection: Collection) -> str:
    """Identify the files of a collection by their names, sizes and times of change.

    The files are not read. Whatever is derived from a folder can carry this string, so that it is
    never used for another folder, or for the same one after a change. A copy that does not keep
    the times counts as another folder.

    Args:
        collection: The collection.

    Returns:
        16 hexadecimal digits of a SHA-256.
    """
    digest = hashlib.sha256()
    for record in collection.records:
        status = record.path.stat()
        digest.update(f"{record.filename}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    for skipped in collection.skipped:
        digest.update(f"{skipped.path.relative_to(collection.root)}\0{skipped.reason}\n".encode())
    return digest.hexdigest()[:16]


def _find_root(data_dir: Path) -> Path:
    if not data_dir.is_dir():
        what = "a file; unpack it first" if data_dir.exists() else "not there"
        raise LayoutError(f"The data must be a folder of images. {data_dir} is {what}.")
    known = {*_SPLIT_OF_FOLDER, *CLASS_NAMES}
    for nesting in _NESTINGS:
        root = data_dir / nesting
        if root.is_dir() and not known.isdisjoint(_folders(root)):
            return root
    raise LayoutError(
        f"A collection holds the split folders {_listed(_SPLIT_OF_FOLDER)}, or the class folders "
        f"{_listed(CLASS_NAMES)}, directly or inside chest_xray/. {data_dir} holds the folders "
        f"{_listed(_folders(data_dir))}. Names are matched exactly: rename the folders, or "
        "give the folder that holds them."
    )


def _require_classes(folder: Path) -> None:
    found = _folders(folder)
    if not set(CLASS_NAMES) <= set(found):
        raise LayoutError(
            f"Each split needs the class folders {_listed(CLASS_NAMES)}. {folder} holds the "
            f"folders {_listed(found)}. Names are matched exactly: rename the folders, or add "
            "the one that is missing."
        )


def _read_class(folder: Path) -> tuple[list[Path], list[Skipped]]:
    images: list[Path] = []
    skipped: list[Skipped] = []
    for path in _visible(folder):
        reason = _reason_to_skip(path)
        if reason is None:
            images.append(path)
        else:
            skipped.append(Skipped(path, reason))
    if not images:
        reasons = Counter(one.reason for one in skipped)
        raise LayoutError(
            f"A class folder must hold at least one image ({_listed(SUFFIXES)}). {folder} holds "
            f"none; left out: {_listed(f'{n} × {why}' for why, n in reasons.items())}. "
            "Fill the folder, or give another one."
        )
    return images, skipped


def _reason_to_skip(path: Path) -> str | None:
    if path.is_dir():
        return "folder not read"
    if path.suffix.lower() not in SUFFIXES:
        return "not an image"
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    if not start:
        return "empty file"
    return None if start.startswith(_MAGIC) else "not an image"


def _out_of_place(folder: Path, expected: Iterable[str]) -> Iterator[Skipped]:
    expected = set(expected)
    for path in _visible(folder):
        if path.is_dir() and path.name not in expected:
            yield Skipped(path, "folder not read")
        elif path.is_file() and path.suffix.lower() in SUFFIXES:
            yield Skipped(path, "outside the class folders")


def _record(path: Path, root: Path, split: str | None, label: str) -> Record:
    patient_id, series, named_aetiology = _parse(path.stem)
    return Record(
        path=path,
        filename=path.relative_to(root).as_posix(),
        split=split,
        label=label,
        aetiology="none" if label == "NORMAL" else named_aetiology,
        patient_id=patient_id,
        series=series,
    )


def _parse(stem: str) -> tuple[str, str, str]:
    """Read the coarse patient, the series and the aetiology of a PNEUMONIA out of a name."""
    if match := _PERSON.match(stem):
        aetiology = match["aetiology"]
        return f"person{match['number']}", f"person_{aetiology}", aetiology
    if match := _IM.match(stem):
        return f"IM-{match['number']}", match["series"], "unknown"
    if match := _V3.match(stem):
        aetiology = match["series"].lower()
        return match["number"], match["series"], aetiology.replace("normal", "unknown")
    return stem, "", "unknown"


def _split_layout(records: list[Record]) -> str:
    series = Counter(record.series for record in records if record.series)
    v3 = series["NORMAL"] + series["BACTERIA"] + series["VIRUS"]
    return "labeled_v3" if v3 > series.total() - v3 else "kaggle"


def _visible(folder: Path) -> list[Path]:
    noise = {"__macosx", "thumbs.db", "desktop.ini"}
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in noise
    )


def _folders(folder: Path) -> list[str]:
    # From the listing: asking for a name would also match another case on some file systems.
    return [path.name for path in _visible(folder) if path.is_dir()]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "(none)"
