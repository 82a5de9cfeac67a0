"""A model and the splits of a collection become predictions."""

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.special import expit
from tqdm import tqdm

from keras_pneumo import image
from keras_pneumo.data.image_files import image_files
from keras_pneumo.data.pipeline import Splits, load_splits
from keras_pneumo.errors import ImageError, WeightsError
from keras_pneumo.evaluation.calibration import fit_temperature_to_logits
from keras_pneumo.evaluation.operating_points import threshold_interval
from keras_pneumo.evaluation.policies import ThresholdPolicy
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.thresholds import Threshold, choose_threshold
from keras_pneumo.models.classifier import PneumoniaClassifier
from keras_pneumo.models.compiled import check_batch_size
from keras_pneumo.models.resnet50 import PneumoniaResNet50  # noqa: F401, so that it can be loaded
from keras_pneumo.pretrained.description import LABELS


@dataclass(frozen=True)
class FilePrediction:
    """What a model says of one image file.

    Attributes:
        file: The path, as given; in a folder, that of the folder as given and the rest.
        threshold: The model's operating threshold, in [0, 1].
        probability: Of PNEUMONIA, in [0, 1]; None if the file cannot be read.
        label: ``"PNEUMONIA"`` if the probability is at least the threshold, else ``"NORMAL"``;
            None if the file cannot be read.
        error: Why the file cannot be read; None if it can.
    """

    file: str
    threshold: float
    probability: float | None = None
    label: str | None = None
    error: str | None = None


def open_model(name: str | Path) -> PneumoniaClassifier:
    """Open a trained model.

    Args:
        name: A ``.keras`` file; the folder of a run or one made by ``save_pretrained``; or what
            else ``PneumoniaClassifier.from_pretrained`` takes, such as ``"owner/name"`` on the
            Hugging Face Hub.

    Returns:
        The model, of whichever class was saved.

    Raises:
        WeightsError: There is no such model.
        HubError: The Hub cannot give it.

    Examples:
        ```python
        model = open_model("runs/first")
        print(model.threshold)
        ```
    """
    path = Path(name)
    if path.suffix == ".keras":
        try:
            model = keras.saving.load_model(path)
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(f"{path} cannot be opened as a Keras model: {error}") from error
        if not isinstance(model, PneumoniaClassifier):
            raise WeightsError(
                f"{path} must hold a model of keras-pneumo. It holds a {type(model).__name__}. "
                "Use Keras itself for other models."
            )
        return model
    return PneumoniaClassifier.from_pretrained(name)


def splits_for(
    model: PneumoniaClassifier,
    data_dir: str | Path,
    *,
    config: str | None = None,
    batch_size: int = 32,
    prepared_dir: str | Path | None = None,
) -> Splits:
    """Open a collection as a model needs it: its image size, its resizing, its splits.

    The splits are those that the model was trained with, where it knows them, so that its
    validation images are not among those of another split.

    Args:
        model: The model.
        data_dir: The folder, see ``load_splits``.
        config: Config of the builder, in place of the one that the model was trained with.
        batch_size: Images in a batch.
        prepared_dir: Where TFDS keeps the prepared data.

    Returns:
        The splits.
    """
    settings = model.metadata.get("settings", {})
    return load_splits(
        data_dir,
        model.image_size,
        batch_size,
        config=config or settings.get("config"),
        split_seed=settings.get("split_seed", 0),
        resize=model.resize,
        prepared_dir=prepared_dir,
    )


def predict_files(
    model: PneumoniaClassifier,
    paths: str | Path | Iterable[str | Path],
    batch_size: int | None = None,
    *,
    progress: bool = False,
) -> Iterator[FilePrediction]:
    """Predict image files one after the other; an unreadable one stops nothing.

    Files are read ahead while the model computes, a few at a time, so that memory does not grow
    with their number.

    Args:
        model: The model.
        paths: The path of an image file, JPEG or PNG of any size, grayscale or RGB; or of a folder
            for all images below it, in sorted order; or an iterable of such paths, which may be
            longer than memory.
        batch_size: Images at a time; it does not change the result. By default 8 on a CPU, whose
            caches hold no more, and 32 elsewhere.
        progress: Show a progress bar on stderr, if that is a terminal.

    Returns:
        An iterator with one entry per file, in their order; ``error`` says why where a file cannot
        be read.

    Raises:
        LayoutError: A folder holds no image, or cannot be listed.
        SettingsError: ``batch_size`` is below 1, or an entry is no path.

    Examples:
        ```python
        for found in predict_files(model, ["a.jpeg", "b.jpeg"]):
            print(found.file, found.probability, found.label)
        ```
    """
    files = image_files(paths)
    total = len(files) if isinstance(files, Sized) else None
    batch_size = check_batch_size(batch_size)
    found = _predictions(model, files, min(batch_size, total or batch_size))
    bar = {"unit": " images", "desc": "Predicting", "disable": None if progress else True}
    return iter(tqdm(found, total=total, **bar))


def _predictions(
    model: PneumoniaClassifier, files: Iterable[str | Path], batch_size: int
) -> Iterator[FilePrediction]:
    for chunk in image.in_chunks(image.read_ahead(files, partial(_read, model)), batch_size):
        images = [content for _, content in chunk if not isinstance(content, ImageError)]
        scores = iter(model.probabilities(np.stack(images), batch_size) if images else ())
        for file, content in chunk:
            if isinstance(content, ImageError):
                yield FilePrediction(str(file), model.threshold, error=str(content))
            else:
                score = float(next(scores))
                label = LABELS[score >= model.threshold]
                yield FilePrediction(str(file), model.threshold, score, label)


def _read(
    model: PneumoniaClassifier, file: str | Path
) -> tuple[str | Path, np.ndarray | ImageError]:
    try:
        return file, image.read(file, model.image_size, model.resize)
    except ImageError as error:
        return file, error


def predict_split(
    model: PneumoniaClassifier, splits: Splits, split: str, verbose: Any = "auto"
) -> Predictions:
    """Predict every image of a split.

    Args:
        model: The model.
        splits: The collection, at the model's image size.
        split: Name of the split.
        verbose: As for ``keras.Model.predict``.

    Returns:
        Labels, probabilities of PNEUMONIA, patients and file names, one entry per image.

    Raises:
        SettingsError: There is no such split.
        PredictionsError: The model gives scores that are no probabilities.
    """
    examples = splits.examples(split)
    scores = model.predict(splits.batches(split), verbose=verbose)
    return Predictions(
        y_true=examples.label,
        y_score=scores[:, 0],
        patient_id=examples.patient_id,
        filename=examples.filename,
    )


def calibrate(
    model: PneumoniaClassifier,
    splits: Splits,
    policy: str | ThresholdPolicy = "youden",
    *,
    split: str = "validation",
    seed: int = 0,
    verbose: Any = "auto",
) -> Predictions:
    """Fit the model's temperature, then choose its threshold, both on one split.

    The split must have had no part in fitting the weights, and must not be the one that the model
    is judged by. What was found is recorded in ``model.metadata`` as "calibration" and
    "threshold", and saved with the model.

    Args:
        model: The model; its ``temperature``, ``threshold`` and ``metadata`` are set.
        splits: The collection, at the model's image size.
        policy: How the threshold is chosen, see ``ThresholdPolicy``.
        split: Name of the split.
        seed: Of the resamples for the threshold's interval.
        verbose: As for ``keras.Model.predict``.

    Returns:
        The predictions of the calibrated model for the split.

    Raises:
        SettingsError: There is no such split, or no such policy.
        PredictionsError: The split has one class only.

    Examples:
        ```python
        model = open_model("runs/first")
        calibrate(model, splits_for(model, "chest_xray"), "sensitivity=0.95")
        model.save_pretrained("runs/first_sensitive")
        ```
    """
    examples = splits.examples(split)
    # Not the probabilities: float32 rounds those of an overconfident model to 1.
    to_logit = keras.Model(model.input, model.get_layer("logit").output)
    to_logit.jit_compile = model.jit_compile
    logits = to_logit.predict(splits.batches(split), verbose=verbose)[:, 0]
    fitted = fit_temperature_to_logits(examples.label, logits)
    model.temperature = fitted.value
    found = Predictions(
        y_true=examples.label,
        y_score=expit(logits / np.float32(fitted.value)),
        patient_id=examples.patient_id,
        filename=examples.filename,
    )
    threshold = replace(
        choose_threshold(found.y_true, found.y_score, policy, chosen_on=split),
        interval=threshold_interval(
            found.y_true, found.y_score, policy, found.patient_id, seed=seed
        ),
    )
    model.threshold = threshold.value
    model.metadata = {
        **model.metadata,
        "threshold": threshold.to_dict(),
        "calibration": {
            "temperature": model.temperature,
            "fitted_on": split,
            "log_loss_before": fitted.log_loss_before,
            "log_loss_after": fitted.log_loss_after,
            "reason": fitted.reason,
        },
    }
    return found


def operating_threshold(model: PneumoniaClassifier) -> Threshold:
    """The model's threshold with its origin: what training recorded, or a fixed value."""
    recorded = model.metadata.get("threshold")
    if recorded and recorded["value"] == model.threshold:
        return Threshold.from_dict(recorded)
    return Threshold(model.threshold, f"fixed={model.threshold}", "none")
