"""Images a second from radiographs to features of ResNet-50, and how good the features are.

Each way has a process of its own, with the same images and the same model; they take turns. A
linear probe on the features is asked about patients whom it has not seen.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks import harness
from keras_pneumo.data.layout import read_collection
from keras_pneumo.data.phantom import write_phantom_collection

if TYPE_CHECKING:
    from keras_pneumo.models.resnet50 import PneumoniaResNet50

# TensorFlow is imported where it is used: the other processes have enough of it.

BATCH_SIZE = 32
PREDICT = "Model.predict"
OURS = "extract_features"
BFLOAT16 = "extract_features, bfloat16"
ONE_DNN = "extract_features, oneDNN kernels"

Extract = Callable[[], np.ndarray]

_prepared: dict[str, Extract] = {}  # in the process of a way


@dataclass(frozen=True)
class Sample:
    """Files with what is needed to judge their features."""

    files: list[Path]
    labels: np.ndarray
    patients: np.ndarray


@click.command()
@harness.data_option
@harness.weights_option
@click.option("--images", default=128, show_default=True, type=click.IntRange(min=32))
@click.option("--repetitions", default=5, show_default=True, type=click.IntRange(min=1))
@harness.json_option
def main(
    data: Path | None, weights: str | None, images: int, repetitions: int, json_file: Path | None
) -> None:
    """Compare ways to compute features."""
    harness.publish(compare(data, weights, images, repetitions), json_file)


def compare(
    data: Path | None,
    weights: str | None,
    n_images: int,
    repetitions: int,
    image_size: tuple[int, int] = (224, 224),
) -> dict[str, Any]:
    """Compute features in each way, time it, judge them, and give the record."""
    with TemporaryDirectory() as work, ExitStack() as stack:
        sample = read_sample(data, n_images, Path(work))
        processes = {
            name: stack.enter_context(harness.OwnProcess(ENVIRONMENTS.get(name, {})))
            for name in WAYS
        }
        slower = processes[BFLOAT16].call(slowdown_of_bfloat16, weights, image_size, sample.files)
        names = [name for name in WAYS if name != BFLOAT16 or slower < 10]
        # The first call compiles, and the files are in memory afterwards.
        features = {
            name: processes[name].call(prepare, name, weights, image_size, sample.files)
            for name in names
        }
        measured = harness.in_turns(
            {name: partial(processes[name].call, measure, name) for name in names}, repetitions
        )
        qualities = judge(features, sample)
        peaks = {name: {"peak_mib": processes[name].call(harness.peak_mib)} for name in names}
    return harness.summarize(
        "extract",
        {
            name: [{**figures, **peaks[name], **qualities[name]} for figures in measured[name]]
            for name in names
        },
        figure="images_per_second",
        unit="images per second",
        better="higher",
        of=ONE_DNN,
        over=PREDICT,
        command=f"python -m benchmarks.extract --images {n_images} --repetitions {repetitions}",
        data="collection" if data else "phantoms",
        weights="given" if weights else "random",
        images=n_images,
        left_out="" if BFLOAT16 in names else f"bfloat16, {slower:.0f} times slower than float32",
    )


def read_sample(data: Path | None, n_images: int, work: Path) -> Sample:
    """Take ``n_images`` spread over a collection, or over one that is drawn."""
    folder = data or write_phantom_collection(work / "phantoms", n_images=n_images)
    records = read_collection(folder).records
    chosen = np.linspace(0, len(records) - 1, n_images).round().astype(int)
    return Sample(
        files=[records[position].path for position in chosen],
        labels=np.array([records[position].label == "PNEUMONIA" for position in chosen]),
        patients=np.array([records[position].patient_id for position in chosen]),
    )


def build(weights: str | None, image_size: tuple[int, int]) -> "PneumoniaResNet50":
    """The model, the same in each process as long as its weights are given or not needed."""
    import keras

    from keras_pneumo.models.resnet50 import PneumoniaResNet50

    keras.utils.set_random_seed(0)
    return PneumoniaResNet50(weights=weights, image_size=image_size)


def with_predict(model: "PneumoniaResNet50", files: list[Path]) -> Extract:
    """``keras.Model.predict`` on an array."""
    extractor, images = _extractor(model), _pixels(model, files)
    return lambda: extractor.predict(images, batch_size=BATCH_SIZE, verbose=0)


def with_tf_function(model: "PneumoniaResNet50", files: list[Path]) -> Extract:
    """A loop over batches of an array, in a ``tf.function`` that takes any number of images."""
    import tensorflow as tf

    extractor, images = _extractor(model), _pixels(model, files)
    any_number = tf.TensorSpec((None, *images.shape[1:]), tf.uint8)
    compute = tf.function(lambda batch: extractor(batch, training=False), [any_number])
    starts = range(0, len(images), BATCH_SIZE)
    return lambda: np.concatenate([compute(images[s : s + BATCH_SIZE]) for s in starts])


def with_arrays(model: "PneumoniaResNet50", files: list[Path]) -> Extract:
    """Ours, on an array."""
    images = _pixels(model, files)
    return lambda: model.extract_features(images)


def with_files(model: "PneumoniaResNet50", files: list[Path]) -> Extract:
    """Ours, on files."""
    return lambda: model.extract_features(files)


def with_bfloat16(model: "PneumoniaResNet50", files: list[Path]) -> Extract:
    """Ours, on an array, the backbone in bfloat16 with weights in float32."""
    mixed = type(model)(weights=None, image_size=model.image_size, dtype="mixed_bfloat16")
    mixed.set_weights(model.get_weights())
    return with_arrays(mixed, files)


WAYS: dict[str, Callable[["PneumoniaResNet50", list[Path]], Extract]] = {
    PREDICT: with_predict,
    OURS: with_arrays,
    "extract_features of files": with_files,
    ONE_DNN: with_arrays,
    "tf.function": with_tf_function,
    BFLOAT16: with_bfloat16,
}


# TensorFlow has them, but uses them by itself only on processors with AVX-512. The command
# ``keras-pneumo`` asks for them.
ENVIRONMENTS = {ONE_DNN: {"TF_ENABLE_ONEDNN_OPTS": "1"}}


def slowdown_of_bfloat16(
    weights: str | None, image_size: tuple[int, int], files: list[Path]
) -> float:
    """How many times longer bfloat16 takes; without instructions for it, it is emulated."""
    model = build(weights, image_size)

    def seconds(extract: Extract) -> float:
        extract()
        start = time.perf_counter()
        extract()
        return time.perf_counter() - start

    return seconds(with_bfloat16(model, files[:8])) / seconds(with_arrays(model, files[:8]))


def prepare(
    name: str, weights: str | None, image_size: tuple[int, int], files: list[Path]
) -> np.ndarray:
    """Build the model, compute all features for the first time, and keep what computes them."""
    _prepared[name] = WAYS[name](build(weights, image_size), files)
    return _prepared[name]()


def measure(name: str) -> harness.Figures:
    """Compute all features once more, and say how fast.

    The time of the cores is that of all threads together, and none of what other programs took.
    """
    start, start_of_cores = time.perf_counter(), time.process_time()
    n_images = len(_prepared[name]())
    return {
        "images_per_second": n_images / (time.perf_counter() - start),
        "images_per_core_second": n_images / (time.process_time() - start_of_cores),
    }


def judge(features: dict[str, np.ndarray], sample: Sample) -> dict[str, harness.Figures]:
    """Compare features with those of ``Model.predict``, and with what they are for."""
    expected = features[PREDICT]
    return {
        name: {
            "relative_error": float(np.linalg.norm(found - expected) / np.linalg.norm(expected)),
            "probe_auc": probe_auc(found, sample),
        }
        for name, found in features.items()
    }


def probe_auc(features: np.ndarray, sample: Sample) -> float:
    """ROC AUC of a linear probe, cross-validated by patient."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced"))
    scores = cross_val_predict(
        probe,
        features,
        sample.labels,
        groups=sample.patients,
        cv=StratifiedGroupKFold(5),
        method="decision_function",
    )
    return float(roc_auc_score(sample.labels, scores))


def _extractor(model: "PneumoniaResNet50") -> Any:
    import keras

    return keras.Model(model.input, model.get_layer("features").output)


def _pixels(model: "PneumoniaResNet50", files: list[Path]) -> np.ndarray:
    from keras_pneumo import image

    return np.stack([image.read(file, model.image_size, model.resize) for file in files])


if __name__ == "__main__":
    main()
