"""The scores of a model beside the truth: what every evaluation starts from."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_pneumo.errors import PredictionsError
from keras_pneumo.files import replacing

COLUMNS = ("split", "filename", "patient_id", "y_true", "y_score")


@dataclass(frozen=True, eq=False)
class Predictions:
    """The true class and the score of each image of one split; checked when it is made.

    Anything that NumPy can read as such an array is accepted. The arrays are copied and read-only.

    Args:
        y_true: int64, shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: float64, shape (n,): probability of PNEUMONIA in [0, 1].
        patient_id: str, shape (n,): images of one patient share it.
        filename: str, shape (n,): the image, as its collection names it.

    Raises:
        PredictionsError: The arrays differ in length, are empty or not flat, a label is not 0 or 1,
            or a score is not a number in [0, 1].

    Examples:
        >>> found = Predictions([0, 1, 1], [0.1, 0.8, 0.9], ["a", "b", "b"], ["1", "2", "3"])
        >>> len(found), found.n_patients
        (3, 2)
    """

    y_true: NDArray[np.int64]
    y_score: NDArray[np.float64]
    patient_id: NDArray[np.str_]
    filename: NDArray[np.str_]

    def __post_init__(self) -> None:
        """Check the arrays and keep read-only copies."""
        y_true, y_score = labels_and_scores(self.y_true, self.y_score)
        arrays = {
            "y_true": y_true,
            "y_score": y_score,
            "patient_id": np.array(self.patient_id, dtype=np.str_),
            "filename": np.array(self.filename, dtype=np.str_),
        }
        _require_same_length(arrays)
        for name, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.y_true)

    @property
    def n_patients(self) -> int:
        """The number of different patients."""
        return len(np.unique(self.patient_id))


def labels_and_scores(
    y_true: ArrayLike, y_score: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Check labels and scores and return copies of them in the types that everything here works in.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].

    Returns:
        ``y_true`` as int64 and ``y_score`` as float64.

    Raises:
        PredictionsError: The arrays differ in length, are empty or not flat, a label is not 0 or 1,
            or a score is not a number in [0, 1].

    Examples:
        >>> labels_and_scores([True, False], [1, 0])
        (array([1, 0]), array([1., 0.]))
    """
    labels = _numbers("y_true", y_true)
    scores = _numbers("y_score", y_score)
    _require_same_length({"y_true": labels, "y_score": scores})
    _require_all(
        np.isin(labels, (0, 1)), labels, "y_true", "0 (NORMAL) or 1 (PNEUMONIA)", "Map the classes."
    )
    # A comparison with NaN is False, so this finds NaN and infinities too.
    _require_all(
        (scores >= 0) & (scores <= 1),
        scores,
        "y_score",
        "a probability of PNEUMONIA, a number in [0, 1]",
        "Apply a sigmoid if these are logits; look at the training if they are NaN.",
    )
    return labels.astype(np.int64), scores


def write_csv(path: str | Path, predictions: Mapping[str, Predictions]) -> None:
    """Write the predictions of every split to one CSV file; ``read_csv`` reads them exactly.

    The columns are split, filename, patient_id, y_true and y_score, the score in full precision.

    Args:
        path: The UTF-8 file to create or replace.
        predictions: The predictions by the name of their split.

    Raises:
        PredictionsError: There is no split to write.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "predictions.csv"
        >>> write_csv(path, {"test": Predictions([1], [0.75], ["person1"], ["a.jpeg"])})
        >>> print(path.read_text())
        split,filename,patient_id,y_true,y_score
        test,a.jpeg,person1,1,0.75
        <BLANKLINE>
    """
    require_splits(predictions)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for split, found in predictions.items():
            # tolist() gives Python floats, whose text is the shortest that reads back exactly.
            columns = (found.filename, found.patient_id, found.y_true, found.y_score)
            rows = zip(*(column.tolist() for column in columns), strict=True)
            writer.writerows((split, *row) for row in rows)


def read_csv(path: str | Path) -> dict[str, Predictions]:
    """Read the predictions that ``write_csv`` wrote.

    Further columns are ignored, so that a file may carry notes.

    Args:
        path: A UTF-8 CSV file with the columns split, filename, patient_id, y_true and y_score.

    Returns:
        The predictions by split, splits and images in the order of the file.

    Raises:
        PredictionsError: A column is missing, there is no row, or a value is not what it has to be.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "predictions.csv"
        >>> write_csv(path, {"test": Predictions([1], [0.75], ["person1"], ["a.jpeg"])})
        >>> read_csv(path)["test"].y_score
        array([0.75])
    """
    rows: dict[str, list[tuple[int, float, str, str]]] = {}
    # utf-8-sig also reads a file that a spreadsheet program saved with a byte order mark.
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise PredictionsError(
                f"A predictions file must have the columns {', '.join(COLUMNS)}. "
                f"Missing: {', '.join(missing)} in {path}. Write it with `write_csv`."
            )
        for row in reader:
            try:
                values = int(row["y_true"]), float(row["y_score"])
            except (TypeError, ValueError) as error:
                raise PredictionsError(
                    "y_true must be 0 or 1, and y_score a number in [0, 1]. Received: "
                    f"{row['y_true']!r} and {row['y_score']!r} in {path}, line {reader.line_num}. "
                    "Correct that line, or write the file again with `write_csv`."
                ) from error
            rows.setdefault(row["split"], []).append((*values, row["patient_id"], row["filename"]))
    if not rows:
        raise PredictionsError(
            f"A predictions file must have one row or more. Found only the header in {path}. "
            "Write it with `write_csv`."
        )
    return {split: _from_rows(split, of_split, path) for split, of_split in rows.items()}


def require_splits(predictions: Mapping[str, Predictions]) -> None:
    """Refuse a mapping without any split.

    Args:
        predictions: The predictions by the name of their split.

    Raises:
        PredictionsError: The mapping is empty.
    """
    if not predictions:
        raise PredictionsError(
            "`predictions` must hold one split or more. Received: an empty mapping. "
            "Pass a mapping such as {'test': predictions}."
        )


def _from_rows(
    split: str, rows: list[tuple[int, float, str, str]], path: str | Path
) -> Predictions:
    columns = zip(*rows, strict=True)
    names = (field.name for field in fields(Predictions))
    try:
        return Predictions(**dict(zip(names, columns, strict=True)))  # type: ignore[arg-type]
    except PredictionsError as error:
        raise PredictionsError(f"In split {split!r} of {path}: {error}") from error


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PredictionsError(
            f"`{name}` must be a flat sequence of numbers. Received: {error}. "
            "Pass one number per image."
        ) from error
    if array.ndim != 1 or array.size == 0:
        raise PredictionsError(
            f"`{name}` must have the shape (n,) with at least one image. "
            f"Received: an array of shape {array.shape}. "
            "Pass one number per image; `.ravel()` flattens what `model.predict` returns."
        )
    return array


def _require_same_length(arrays: Mapping[str, NDArray]) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        received = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise PredictionsError(
            f"All arrays must have the same shape (n,), one entry per image. Received: {received}. "
            "Make sure that they come from the same images in the same order."
        )


def _require_all(
    fine: NDArray[np.bool_], array: NDArray, name: str, rule: str, next_step: str
) -> None:
    if not fine.all():
        first = int(np.argmin(fine))
        raise PredictionsError(
            f"Each entry of `{name}` must be {rule}. Received: {array[first]} at position {first} "
            f"({int((~fine).sum())} such entries of {len(fine)}). {next_step}"
        )
