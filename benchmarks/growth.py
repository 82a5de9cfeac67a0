"""Seconds and memory of a training with its feature cache, for collections of several sizes.

Each training has a process of its own, which spends some seconds once whatever the size, when
TensorFlow starts to compute. Nothing is subtracted for them: so a large collection can seem faster
than a small one, and the seconds of 1,000 further images say more. They stay the same from size
to size if the time is linear.

``peak_anonymous_mib`` is the memory that only the process can free, and flat if the collection's
size does not matter. ``peak_mib`` has the pages of the memory-mapped features, too, which the
system takes back when it wants: it grows with the collection for as long as there is room.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from benchmarks import _recipes, harness
from benchmarks._collections import link_part, read_records
from keras_pneumo.training.settings import TrainSettings

# TensorFlow is imported where it is used: the other processes have enough of it.

SECONDS_BETWEEN_LOOKS = 0.2


def parse_sizes(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """Read ``"500,1000"`` as sizes, smallest first."""
    try:
        sizes = sorted({int(size) for size in value.split(",")})
    except ValueError:
        sizes = []
    if len(sizes) < 2 or sizes[0] < 1:
        raise click.BadParameter("at least two numbers of images are needed, such as 500,1000")
    return sizes


@click.command()
@harness.data_option
@harness.weights_option
@click.option(
    "--sizes",
    default="500,1000,2000,5000",
    show_default=True,
    callback=parse_sizes,
    help="Numbers of images, those for validation and test included.",
)
@click.option(
    "--epochs",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    help="Epochs of each of the two phases.",
)
@click.option("--repetitions", default=1, show_default=True, type=click.IntRange(min=1))
@harness.json_option
def main(
    data: Path | None,
    weights: str | None,
    sizes: list[int],
    epochs: int,
    repetitions: int,
    json_file: Path | None,
) -> None:
    """Train on more and more images."""
    harness.publish(compare(data, weights, sizes, epochs, repetitions), json_file)


def compare(
    data: Path | None,
    weights: str | None,
    sizes: Sequence[int],
    epochs: int,
    repetitions: int,
    image_size: tuple[int, int] = (224, 224),
) -> dict[str, Any]:
    """Train on collections of these sizes, smallest first, and give the record."""
    from keras_pneumo.data.pipeline import load_splits

    settings = _recipes.settings(weights, image_size, epochs)
    names = [f"{size:,} images" for size in sizes]
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        records = read_records(data, max(sizes), work)
        prepared = work / "prepared"
        variants = {}
        for name, size in zip(names, sizes, strict=True):
            folder = link_part(records, size, work / str(size))
            splits = load_splits(folder, image_size, prepared_dir=prepared)
            n_training = len(splits.examples("train"))
            variants[name] = partial(
                harness.in_own_process, train_once, folder, n_training, settings, prepared
            )
        measured = harness.in_turns(variants, repetitions)
    return harness.summarize(
        "growth",
        with_slopes(measured),
        figure="images_per_second",
        unit="training images per second",
        better="higher",
        of=names[-1],
        over=names[0],
        command=f"python -m benchmarks.growth --sizes {','.join(map(str, sizes))} "
        f"--epochs {epochs} --repetitions {repetitions}",
        data="collection" if data else "phantoms",
        weights="given" if weights else "random",
        epochs=epochs,
    )


def train_once(
    folder: Path, n_training: int, settings: TrainSettings, prepared: Path
) -> harness.Figures:
    """Train from nothing but the prepared images; the time is that until ``train`` returns."""
    from keras_pneumo.training.train import train

    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        figures = watch(
            lambda: train(
                folder,
                work / "run",
                settings,
                prepared_dir=prepared,
                cache_dir=work / "cache",
                verbose=0,
            )
        )
    return {
        "images_per_second": n_training / figures["seconds"],
        "training_images": n_training,
        **figures,
    }


def watch(work: Callable[[], object]) -> harness.Figures:
    """Do some work, and say how long it took and how much anonymous memory was held meanwhile.

    What is held only between two looks is missed.
    """
    done = threading.Event()
    peak = anonymous_mib()

    def look() -> None:
        nonlocal peak
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            peak = max(peak, anonymous_mib())

    watcher = threading.Thread(target=look)
    watcher.start()
    start = time.perf_counter()
    try:
        work()
        seconds = time.perf_counter() - start
    finally:
        done.set()
        watcher.join()
    return {"seconds": seconds, "peak_anonymous_mib": peak}


def anonymous_mib() -> float:
    """The memory of this process that is no page of a file, in MiB.

    Where the system does not tell, the most memory that it has held so far, of any kind.
    """
    status = Path("/proc/self/status")
    text = status.read_text(encoding="ascii") if status.exists() else ""
    found = re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 2**10 if found else harness.peak_mib()


def with_slopes(
    measured: Mapping[str, Sequence[harness.Figures]],
) -> dict[str, list[harness.Figures]]:
    """Add the seconds of 1,000 further training images, from the next smaller size to each."""
    slopes: dict[str, list[harness.Figures]] = {
        name: [dict(figures) for figures in repetitions] for name, repetitions in measured.items()
    }
    for smaller, larger in pairwise(slopes.values()):
        for here, there in zip(smaller, larger, strict=True):
            images = there["training_images"] - here["training_images"]
            seconds = there["seconds"] - here["seconds"]
            there["seconds_per_1000_more"] = 1000 * seconds / images
    return slopes


if __name__ == "__main__":
    main()
