"""Minutes to train both phases: the recipe of the notebooks against ours, part by part.

Both train ten epochs of the head on a frozen ResNet-50 and ten more of its last ten layers, on the
same images, from the same first weights, without augmentation. The notebook's time is that of
``fit``; ours is that of ``train``, which also calibrates, evaluates and saves.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from benchmarks import _recipes, harness
from benchmarks._collections import link_part, read_records
from keras_pneumo.files import replacing

NOTEBOOK = "notebook recipe"
OURS = "keras-pneumo train, with oneDNN kernels"


@dataclass(frozen=True)
class Variant:
    """A way to train.

    Attributes:
        changes: Of the settings of ``train``; None for the notebooks' recipe.
        environment: Variables of its process.
    """

    changes: Mapping[str, Any] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


# Each has what the one before it has, and one thing more.
VARIANTS = {
    NOTEBOOK: Variant(),
    "our input side": Variant({"cache": False, "precision": "float32"}),
    "and cached features": Variant({"precision": "float32"}),
    "and the precision of the hardware": Variant({"precision": "auto"}),
    OURS: Variant({"precision": "auto"}, {"TF_ENABLE_ONEDNN_OPTS": "1"}),
}


@click.command()
@harness.data_option
@harness.weights_option
@click.option(
    "--images", default=500, show_default=True, type=click.IntRange(min=0), help="0: all of them."
)
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(min=1), help="A phase")
@click.option("--headline", is_flag=True, help="Only the notebook's recipe, and all of ours.")
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep logs and models here, and go on from there after an interruption.",
)
@click.option("--repetitions", default=1, show_default=True, type=click.IntRange(min=1))
@harness.json_option
def main(work: Path | None, json_file: Path | None, **options: Any) -> None:
    """Compare ways to train both phases."""
    if work:
        harness.publish(compare(work.absolute(), **options), json_file)
    else:
        with TemporaryDirectory() as temporary:
            harness.publish(compare(Path(temporary), **options), json_file)


def compare(
    work: Path,
    *,
    data: Path | None,
    weights: str | None,
    images: int,
    epochs: int,
    headline: bool,
    repetitions: int,
    image_size: tuple[int, int] = (224, 224),
) -> dict[str, Any]:
    """Train in each way, judge the models, and give the record."""
    records = read_records(data, images, work)
    folder = link_part(records, images or len(records), work / "images")
    names = [NOTEBOOK, OURS] if headline else list(VARIANTS)
    arguments = (folder, weights, image_size, epochs)
    variants = {name: _once(work, name, arguments) for name in names}
    flag = " --headline" if headline else ""
    return harness.summarize(
        "two_phase",
        harness.in_turns(variants, repetitions),
        figure="minutes",
        unit="minutes",
        better="lower",
        of=OURS,
        over=NOTEBOOK,
        command=(
            f"python -m benchmarks.two_phase --images {images} --epochs {epochs}{flag}"
            f" --repetitions {repetitions}"
        ),
        data="collection" if data else "phantoms",
        weights="given" if weights else "random",
        images=images,
        epochs=epochs,
    )


def _once(work: Path, name: str, arguments: tuple[Any, ...]) -> Callable[[], harness.Figures]:
    """Make what trains once, and the next time once more; what is on disk is not trained again."""
    repetition = count(1)
    slug = name.replace(",", "").replace(" ", "-")

    def measure() -> harness.Figures:
        folder = work / f"{slug}-{next(repetition)}"
        finished = folder / "figures.json"
        if not finished.exists():
            folder.mkdir(parents=True, exist_ok=True)
            variant = VARIANTS[name]
            figures = harness.in_own_process(
                train, variant.changes, (*arguments, folder), environment=variant.environment
            )
            with replacing(finished) as temporary:
                temporary.write_text(json.dumps(figures) + "\n", encoding="utf-8")
        found: harness.Figures = json.loads(finished.read_text(encoding="utf-8"))
        return found

    return measure


def train(changes: Mapping[str, Any] | None, arguments: tuple[Any, ...]) -> harness.Figures:
    """Train in one way: ours with some changes of its settings, or that of the notebooks."""
    if changes is None:
        figures = _recipes.notebook(*arguments)
    else:
        figures = _recipes.ours(*arguments, changes=changes)
    return {"minutes": figures.pop("seconds") / 60, **figures}


if __name__ == "__main__":
    main()
