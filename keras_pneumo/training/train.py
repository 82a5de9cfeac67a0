"""The main job: a folder of chest X-rays becomes a trained, evaluated, saved model."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_pneumo.data.audit import audit
from keras_pneumo.data.layout import fingerprint, read_collection
from keras_pneumo.data.pipeline import Splits, load_splits
from keras_pneumo.errors import OutputError, SettingsError
from keras_pneumo.evaluation.plots import plot_training_curves
from keras_pneumo.evaluation.report import EvaluationReport
from keras_pneumo.evaluation.style import as_png
from keras_pneumo.files import is_occupied, replacing
from keras_pneumo.inference import calibrate, predict_split
from keras_pneumo.models.architectures import architecture
from keras_pneumo.models.classifier import PneumoniaClassifier
from keras_pneumo.models.precision import choose_precision
from keras_pneumo.reporting import report_on
from keras_pneumo.training.feature_cache import default_root
from keras_pneumo.training.fitting import Features
from keras_pneumo.training.phases import train_phases
from keras_pneumo.training.run_directory import RunDirectory, RunState
from keras_pneumo.training.settings import TrainSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedRun:
    """What a training gives.

    Attributes:
        directory: The run's folder; its model is in ``model``, its report in ``evaluation``.
        model: The model of the best epoch, with its operating threshold.
        report: Its evaluation.
        history: Columns with one entry per epoch: phase, epoch, loss, accuracy, auc, val_...
    """

    directory: Path
    model: PneumoniaClassifier
    report: EvaluationReport
    history: dict[str, list[Any]]


def train(
    data_dir: str | Path,
    output: str | Path,
    settings: TrainSettings | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    prepared_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    keep_cache: bool = False,
    verbose: Any = "auto",
) -> TrainedRun:
    """Train a model in two phases, calibrate, evaluate and save it.

    The best epoch by validation AUC is kept. Its temperature and its threshold come from the
    validation split. The same seed gives the same batches in the same order, also across an
    interruption.

    Args:
        data_dir: A folder of chest X-rays, see ``load_splits``.
        output: The run's folder, which must not exist yet.
        settings: The recipe; the defaults of ``TrainSettings``, or, when a run is resumed,
            its own.
        resume: Go on with the run in ``output`` after its last finished epoch. A run that is
            finished is given back as it is; one that never began is begun.
        overwrite: Replace the run in ``output``.
        prepared_dir: Where TFDS keeps the prepared data.
        cache_dir: Where the features are kept that are computed once; by default the folder that
            the environment variable ``KERAS_PNEUMO_CACHE`` names, or ``~/.cache/keras-pneumo``.
        keep_cache: Leave them there at the end, for another run with the same frozen part.
        verbose: As for ``keras.Model.fit``.

    Returns:
        The model, its report and its history.

    Raises:
        OutputError: ``output`` is occupied, or cannot be resumed.
        SettingsError: A setting is out of range, or differs from those of the resumed run.
        LayoutError: The folder is no collection of chest X-rays.
        WeightsError: The initial weights cannot be had.
        TrainingError: The training diverged.

    Examples:
        ```python
        run = train("chest_xray", "runs/first", TrainSettings(head_epochs=3))
        print(run.report)
        ```
    """
    if resume and overwrite:
        raise SettingsError("Choose one of `resume` and `overwrite`. Received both.")
    collection = read_collection(data_dir)
    data = {"name": collection.root.name, "fingerprint": fingerprint(collection)}
    run = None
    if resume and is_occupied(Path(output)):
        run = _reopen(output, settings, data)
        if run.state.finished:
            logger.info("%s is finished already.", run.path)
            return _finished(run)
        settings = run.settings
    else:
        RunDirectory.require_free(output, overwrite)
    settings = settings or TrainSettings()

    splits = load_splits(
        data_dir,
        settings.image_size,
        settings.batch_size,
        config=settings.config,
        split_seed=settings.split_seed,
        resize=settings.resize,
        augmentation=settings.augmentation,
        seed=settings.seed,
        prepared_dir=prepared_dir,
    )
    missing = {"train", "validation", *settings.evaluate_on} - set(splits.names)
    if missing:
        raise SettingsError(
            f"Training needs the splits train, validation and those of `evaluate_on`. "
            f"{splits.config} of {data_dir} has {', '.join(splits.names)}; missing: "
            f"{', '.join(sorted(missing))}. Set `evaluate_on` accordingly."
        )
    # Here, since preparing the data may draw random numbers too.
    keras.utils.set_random_seed(settings.seed)
    dtype = _dtype(settings)
    model = architecture(settings.model)(
        weights=settings.weights,
        image_size=settings.image_size,
        resize=settings.resize,
        dropout=settings.dropout,
        dtype=dtype,
    )
    # A stage that does not exist is found here, and not after phase 1.
    root = Path(cache_dir).expanduser() if cache_dir else default_root()
    features = Features(model, splits, settings, data["fingerprint"], root)
    # Only now, so that a setting that is wrong leaves no run behind.
    run = run or RunDirectory.create(output, settings, data, overwrite)
    state = train_phases(model, splits, run, features, verbose)
    if dtype:
        model = _in_float32(model)
    features.end(keep=keep_cache)
    return _conclude(model, splits, data_dir, run, state, verbose)


def _dtype(settings: TrainSettings) -> str | None:
    """Dtype policy of a backbone that trains whole; a frozen part has its own precision."""
    if settings.fine_tune_layers != "all" or not settings.fine_tune_epochs:
        return None
    precision = choose_precision(settings.precision)
    return None if precision == "float32" else f"mixed_{precision}"


def _in_float32(model: PneumoniaClassifier) -> PneumoniaClassifier:
    """The same model for any machine: bfloat16 is slow where the processor does not have it."""
    twin = type(model).from_config({**model.get_config(), "dtype": "float32"})
    twin.set_weights(model.get_weights())
    return twin


def _reopen(
    output: str | Path, settings: TrainSettings | None, data: dict[str, Any]
) -> RunDirectory:
    run = RunDirectory.open(output)
    if run.data["fingerprint"] != data["fingerprint"]:
        raise OutputError(
            f"A run is resumed with the data it began with. {run.path} began with "
            f"{run.data['name']!r}, whose files differ from these in {data['name']!r}. "
            "Give the same folder, unchanged, or start a new run."
        )
    if settings is not None and settings != run.settings:
        asked, saved = settings.to_dict(), run.settings.to_dict()
        differences = [
            f"{k}: {saved[k]!r}, now {asked[k]!r}" for k in saved if asked[k] != saved[k]
        ]
        raise SettingsError(
            f"A run is resumed with the settings it began with. Of {run.path} differ: "
            f"{'; '.join(differences)}. Leave them out, or start a new run."
        )
    return run


def _conclude(
    model: PneumoniaClassifier,
    splits: Splits,
    data_dir: str | Path,
    run: RunDirectory,
    state: RunState,
    verbose: Any,
) -> TrainedRun:
    settings = run.settings
    model.metadata = _metadata(splits, run, state)
    validation = calibrate(model, splits, settings.threshold, seed=settings.seed, verbose=verbose)
    model.save_pretrained(run.model, overwrite=True)
    predictions = {
        split: validation if split == "validation" else predict_split(model, splits, split, verbose)
        for split in settings.evaluate_on
    }
    curves = as_png(plot_training_curves(state.columns()))
    with replacing(run.curves) as temporary:
        temporary.write_bytes(curves)
    report = report_on(
        model,
        splits,
        predictions,
        name=f"{type(model).__name__} of {run.path.name}",
        data=f"{run.data['name']} ({splits.config})",
        data_audit=audit(data_dir, progress=True),
        pictures={"Training curves": curves},
    )
    report.save(run.evaluation, overwrite=True)
    run.finish()
    return TrainedRun(run.path, model, report, state.columns())


def _metadata(splits: Splits, run: RunDirectory, state: RunState) -> dict[str, Any]:
    settings = run.settings.to_dict()
    if settings["weights"] not in (None, "imagenet"):
        settings["weights"] = Path(settings["weights"]).name  # a path says more than it should
    counts = {}
    for name in splits.names:
        normal, pneumonia = np.bincount(splits.examples(name).label, minlength=2).tolist()
        counts[name] = {"normal": normal, "pneumonia": pneumonia}
    best = state.best
    return {
        "data": {
            **run.data,
            "config": splits.config,
            "splits": counts,
            "left_out": splits.left_out,
        },
        "settings": settings,
        "epochs": len(state.epochs),
        "best_epoch": best.epoch if best else None,
    }


def _finished(run: RunDirectory) -> TrainedRun:
    model = PneumoniaClassifier.from_pretrained(run.model)
    return TrainedRun(run.path, model, EvaluationReport.load(run.evaluation), run.state.columns())
