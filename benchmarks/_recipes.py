"""The two ways to train that ``two_phase`` compares. Each is called in a process of its own."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Figures
from keras_pneumo.training.settings import TrainSettings

if TYPE_CHECKING:
    import keras

    from keras_pneumo.data.pipeline import Splits
    from keras_pneumo.models.resnet50 import PneumoniaResNet50

# TensorFlow is imported in the functions: what the environment tells it, has to be told before.

BATCH_SIZE = 32
TOP_LAYERS = 10
LEARNING_RATES = {"head": 1e-3, "fine_tune": 1e-5}


def settings(weights: str | None, image_size: tuple[int, int], epochs: int) -> TrainSettings:
    """What every training of a benchmark has in common: ten layers, each epoch to its end."""
    return TrainSettings(
        weights=weights,
        image_size=image_size,
        batch_size=BATCH_SIZE,
        augmentation="none",
        head_epochs=epochs,
        head_learning_rate=LEARNING_RATES["head"],
        fine_tune_layers=TOP_LAYERS,
        fine_tune_epochs=epochs,
        fine_tune_learning_rate=LEARNING_RATES["fine_tune"],
        patience=epochs,
        evaluate_on=("validation",),
    )


def notebook(
    data: Path, weights: str | None, image_size: tuple[int, int], epochs: int, work: Path
) -> Figures:
    """Train as the notebooks do: plain ``fit`` on folders, the whole network in every epoch.

    Goes on after its last whole epoch when it was interrupted. The time of a phase is that of its
    median epoch times the number of its epochs, so that an interruption does not count.
    """
    import keras

    from keras_pneumo.data.pipeline import load_splits
    from keras_pneumo.models.resnet50 import PneumoniaResNet50

    splits = load_splits(data, image_size, BATCH_SIZE, prepared_dir=work / "prepared")
    batches = {name: _from_folder(splits, name, data, work) for name in splits.names}
    keras.utils.set_random_seed(0)
    # The same layers and first weights as ours; from here on a Keras model like any other.
    classifier = PneumoniaResNet50(weights=weights, image_size=image_size)
    model, best = classifier.plain(), work / "best.weights.h5"
    for phase, rate in LEARNING_RATES.items():
        _unfreeze(classifier, 0 if phase == "head" else TOP_LAYERS)
        metrics = ["accuracy", keras.metrics.AUC(name="auc")]
        model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=metrics)
        model.fit(
            batches["train"],
            validation_data=batches["validation"],
            epochs=epochs,
            class_weight=splits.class_weight,
            callbacks=[
                _log_epochs(work / f"{phase}.jsonl"),
                keras.callbacks.ModelCheckpoint(
                    best,
                    monitor="val_auc",
                    mode="max",
                    save_best_only=True,
                    save_weights_only=True,
                    initial_value_threshold=_best_so_far(work),
                ),
                keras.callbacks.BackupAndRestore(work / phase, delete_checkpoint=False),
            ],
            verbose=2,
        )
        model.load_weights(best)
    seconds = {phase: [line["seconds"] for line in _log(work, phase)] for phase in LEARNING_RATES}
    return {
        "seconds": sum(epochs * median(times) for times in seconds.values()),
        **{
            f"{name}_auc": _auc(_labels(batches[name]), model.predict(batches[name], verbose=0))
            for name in ("validation", "test")
        },
    }


def ours(
    data: Path,
    weights: str | None,
    image_size: tuple[int, int],
    epochs: int,
    work: Path,
    *,
    changes: Mapping[str, Any],
) -> Figures:
    """Train with ``keras_pneumo.training.train``; the time is that until it returns."""
    from keras_pneumo.data.pipeline import load_splits
    from keras_pneumo.inference import predict_split, splits_for
    from keras_pneumo.training.train import train

    prepared = work / "prepared"
    changed = replace(settings(weights, image_size, epochs), **changes)
    # Both find the images prepared.
    load_splits(data, image_size, prepared_dir=prepared)
    start = time.perf_counter()
    run = train(
        data, work / "run", changed, prepared_dir=prepared, cache_dir=work / "cache", verbose=2
    )
    seconds = time.perf_counter() - start
    splits = splits_for(run.model, data, prepared_dir=prepared)
    predictions = {
        name: predict_split(run.model, splits, name, verbose=0) for name in ("validation", "test")
    }
    return {
        "seconds": seconds,
        **{f"{name}_auc": _auc(of.y_true, of.y_score) for name, of in predictions.items()},
    }


def _unfreeze(model: "PneumoniaResNet50", top_layers: int) -> None:
    import keras

    for layer in model.backbone.layers[-top_layers:] if top_layers else []:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)


def _from_folder(splits: "Splits", name: str, data: Path, work: Path) -> Any:
    """Batches of one split by ``image_dataset_from_directory``, from links to its files."""
    import keras

    folder = work / "folders" / name
    for filename in splits.examples(name).filename:
        link = folder / Path(filename).parent.name / Path(filename).name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(data.absolute() / filename)
    return keras.utils.image_dataset_from_directory(
        folder,
        label_mode="binary",
        image_size=splits.image_size,
        batch_size=BATCH_SIZE,
        shuffle=name == "train",
        seed=0,
    )


def _labels(batches: Any) -> np.ndarray:
    return np.concatenate([labels for _, labels in batches.as_numpy_iterator()])[:, 0]


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, np.ravel(scores)))


def _log_epochs(path: Path) -> "keras.callbacks.Callback":
    import keras

    start: list[float] = []

    def begin(epoch: int, logs: Any) -> None:
        start[:] = [time.perf_counter(), time.process_time()]

    def end(epoch: int, logs: Any) -> None:
        line = {
            "epoch": epoch + 1,
            "seconds": round(time.perf_counter() - start[0], 1),
            "core_seconds": round(time.process_time() - start[1], 1),
            **{key: round(float(value), 4) for key, value in logs.items()},
        }
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)


def _log(work: Path, phase: str) -> list[dict[str, float]]:
    path = work / f"{phase}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _best_so_far(work: Path) -> float | None:
    aucs = [line["val_auc"] for phase in LEARNING_RATES for line in _log(work, phase)]
    return max(aucs, default=None)
