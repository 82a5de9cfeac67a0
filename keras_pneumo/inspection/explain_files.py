"""Image files become pictures of what a model sees in them."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_pneumo import __version__, image
from keras_pneumo.errors import ImageError
from keras_pneumo.files import new_directory
from keras_pneumo.inference import FilePrediction
from keras_pneumo.inspection.explanation_plots import draw_explanations
from keras_pneumo.inspection.gradcam import Explanation, explainer
from keras_pneumo.models.classifier import PneumoniaClassifier
from keras_pneumo.pretrained.description import LABELS

EXPLANATIONS_FILE = "explanations.json"
SCHEMA_VERSION = 1

_AT_A_TIME = 32  # images


@dataclass(frozen=True)
class FileExplanation(FilePrediction):
    """What a model says of one image file, and where that is drawn.

    Attributes:
        picture: Name of the PNG file in the output folder; None if the image cannot be read.
    """

    picture: str | None = None


def explain_files(
    model: PneumoniaClassifier,
    paths: Iterable[str | Path],
    output: str | Path,
    *,
    overwrite: bool = False,
) -> list[FileExplanation]:
    """Draw image files beside their heat maps into a new folder; an unreadable one stops nothing.

    The folder appears whole or not at all. It holds a PNG file per image, named after it (with a
    number where two have the same name), and ``explanations.json``: "schema_version", which is 1,
    "keras_pneumo", the version of this package, and "explanations", what is returned here.

    Args:
        model: The model.
        paths: JPEG or PNG files of any size, grayscale or RGB.
        output: The folder to make.
        overwrite: Replace the folder if it holds such pictures already.

    Returns:
        One entry per file, in their order; ``error`` says why where a file cannot be read.

    Raises:
        OutputError: The folder has contents, and ``overwrite`` is False or they are something else.

    Examples:
        ```python
        for found in explain_files(model, ["a.jpeg", "b.jpeg"], "explanations"):
            print(found.file, found.label, found.picture or found.error)
        ```
    """
    explain = explainer(model)
    found: list[FileExplanation] = []
    with new_directory(output, marker=EXPLANATIONS_FILE, overwrite=overwrite) as folder:
        remaining = iter(paths)
        while chunk := list(islice(remaining, _AT_A_TIME)):
            found += _explain_chunk(model, explain, chunk, folder)
        content = {
            "schema_version": SCHEMA_VERSION,
            "keras_pneumo": __version__,
            "explanations": [asdict(one) for one in found],
        }
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        (folder / EXPLANATIONS_FILE).write_text(text, encoding="utf-8")
    return found


def _explain_chunk(
    model: PneumoniaClassifier,
    explain: Callable[..., Explanation],
    paths: list[str | Path],
    folder: Path,
) -> list[FileExplanation]:
    images: dict[int, NDArray[np.uint8]] = {}
    found: dict[int, FileExplanation] = {}
    for position, path in enumerate(paths):
        try:
            images[position] = image.read(path, model.image_size, model.resize)
        except ImageError as error:
            found[position] = FileExplanation(str(path), model.threshold, error=str(error))
    if images:
        explanation = explain(np.stack(list(images.values())))
        for i, position in enumerate(images):
            one = Explanation(*(part[i : i + 1] for part in explanation))
            found[position] = _draw(model, paths[position], images[position], one, folder)
    return [found[position] for position in range(len(paths))]


def _draw(
    model: PneumoniaClassifier,
    path: str | Path,
    pixels: NDArray[np.uint8],
    explanation: Explanation,
    folder: Path,
) -> FileExplanation:
    probability = float(explanation.probability[0])
    label = LABELS[probability >= model.threshold]
    picture = _free_name(folder, Path(path).stem)
    figure = draw_explanations(pixels[None], explanation, model.threshold, [str(path)])
    figure.savefig(folder / picture)
    return FileExplanation(str(path), model.threshold, probability, label, picture=picture)


def _free_name(folder: Path, stem: str) -> str:
    names = chain([f"{stem}.png"], (f"{stem}_{number}.png" for number in count(2)))
    return next(name for name in names if not (folder / name).exists())
