"""Files a second from a folder to batches of images, on one core, apart from any model.

The files are as large as the originals: grayscale JPEGs of 1,300 x 1,000 pixels, made by enlarging
images of a collection or phantoms.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks import harness
from keras_pneumo.data.layout import read_collection
from keras_pneumo.data.phantom import Aetiology, draw_anatomy, draw_phantom

FULL_SIZE = (1000, 1300)  # (height, width)
IMAGE_SIZE = (224, 224)
BATCH_SIZE = 32

PHANTOMS: tuple[tuple[str, Aetiology], ...] = (("NORMAL", "none"), ("PNEUMONIA", "bacteria"))

OURS = "keras-pneumo (bicubic, antialiased)"
DIRECTORY = "image_dataset_from_directory (bilinear)"


@click.command()
@harness.data_option
@click.option("--images", default=256, show_default=True, type=click.IntRange(min=20))
@click.option("--repetitions", default=7, show_default=True, type=click.IntRange(min=1))
@harness.json_option
def main(data: Path | None, images: int, repetitions: int, json_file: Path | None) -> None:
    """Compare ways to load files of the size of the originals."""
    harness.use_one_core()
    harness.publish(compare(data, images, repetitions), json_file)


def compare(data: Path | None, n_images: int, repetitions: int) -> dict[str, Any]:
    """Write the files, load them in each way, and give the record."""
    with TemporaryDirectory() as work:
        folder = write_full_size(read_images(data, n_images), Path(work) / "files")
        sizes = [path.stat().st_size for path in folder.glob("*/*")]
        # Some ways say what they have found, and standard output is for the result.
        with redirect_stdout(sys.stderr):
            variants = {name: _stopwatch(load(folder)) for name, load in LOADERS.items()}
        harness.in_turns(variants, 1)  # graphs are traced, files get into memory
        measured = harness.in_turns(variants, repetitions)
    return harness.summarize(
        "input",
        measured,
        figure="files_per_second",
        unit="files per second of a core",
        better="higher",
        of=OURS,
        over=DIRECTORY,
        command=f"python -m benchmarks.input --images {n_images} --repetitions {repetitions}",
        data="collection" if data else "phantoms",
        images=n_images,
        kib_per_file=round(np.mean(sizes) / 2**10),
    )


def read_images(data: Path | None, n_images: int) -> Iterator[tuple[str, Image.Image]]:
    """Give ``n_images`` with their labels, spread over a collection or drawn."""
    if data is None:
        for number in range(n_images):
            rng = np.random.default_rng(number)
            label, aetiology = PHANTOMS[number % 2]
            pixels = draw_phantom(draw_anatomy(rng), aetiology, rng, image_size=(200, 260))
            yield label, Image.fromarray(pixels)
    else:
        records = read_collection(data).records
        for position in np.linspace(0, len(records) - 1, n_images).round().astype(int):
            with Image.open(records[position].path) as opened:
                yield records[position].label, opened.convert("L")


def write_full_size(images: Iterable[tuple[str, Image.Image]], folder: Path) -> Path:
    """Write images as JPEGs of ``FULL_SIZE`` into ``NORMAL`` and ``PNEUMONIA``."""
    rng = np.random.default_rng(0)
    for number, (label, image) in enumerate(images):
        enlarged = image.resize(FULL_SIZE[::-1], Image.Resampling.BICUBIC)
        # Without the grain of a detector a file would be smaller, and sooner decoded.
        grain = np.asarray(enlarged) + rng.normal(0, 2, FULL_SIZE)
        path = folder / label / f"{number:06d}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(grain.round(), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=90)
    return folder


def with_keras_pneumo(folder: Path) -> Callable[[], Iterable[Any]]:
    """Our batches, from the files as TFDS has prepared them beside the folder."""
    from keras_pneumo.data.pipeline import load_splits

    prepared = folder.with_name("prepared")
    splits = load_splits(folder, IMAGE_SIZE, BATCH_SIZE, prepared_dir=prepared)
    batches = splits.batches("all")
    return lambda: batches


def with_directory(folder: Path) -> Callable[[], Iterable[Any]]:
    """``keras.utils.image_dataset_from_directory``, as it comes."""
    import keras

    batches = keras.utils.image_dataset_from_directory(
        folder, image_size=IMAGE_SIZE, batch_size=BATCH_SIZE, shuffle=False, verbose=False
    )
    return lambda: batches


def with_generator(folder: Path) -> Callable[[], Iterable[Any]]:
    """``ImageDataGenerator``, of which Keras 3 still has what ``tf.keras`` shows."""
    import tensorflow as tf

    generator = tf.keras.preprocessing.image.ImageDataGenerator().flow_from_directory(
        str(folder), target_size=IMAGE_SIZE, batch_size=BATCH_SIZE, shuffle=False
    )
    # Gone through as it is, it would begin again for ever.
    return lambda: (generator[position] for position in range(len(generator)))


def with_tensorflow(folder: Path) -> Callable[[], Iterable[Any]]:
    """The filter of keras-pneumo by TensorFlow's own functions: whole images, three channels."""
    import tensorflow as tf

    def load(path: Any) -> tuple[Any, int]:
        pixels = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        pixels.set_shape((None, None, 3))
        pixels = tf.image.resize(pixels, IMAGE_SIZE, method="bicubic", antialias=True)
        return tf.cast(tf.round(tf.clip_by_value(pixels, 0.0, 255.0)), tf.uint8), 0

    files = tf.data.Dataset.from_tensor_slices([str(path) for path in sorted(folder.glob("*/*"))])
    images = files.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    batches = images.batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)
    return lambda: batches


LOADERS: dict[str, Callable[[Path], Callable[[], Iterable[Any]]]] = {
    DIRECTORY: with_directory,
    OURS: with_keras_pneumo,
    "ImageDataGenerator (nearest pixel)": with_generator,
    "tf.image.resize (bicubic, antialiased)": with_tensorflow,
}


def _stopwatch(batches: Callable[[], Iterable[Any]]) -> Callable[[], harness.Figures]:
    """Make what goes through the batches once and tells the rate.

    The time is that of the core: all threads together, and none of what other programs took.
    """

    def measure() -> harness.Figures:
        start = time.process_time()
        n_files = sum(len(images) for images, _ in batches())
        return {"files_per_second": n_files / (time.process_time() - start)}

    return measure


if __name__ == "__main__":
    main()
