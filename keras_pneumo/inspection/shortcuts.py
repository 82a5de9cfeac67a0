"""What a trained model leans on, measured by what happens when it is taken away.

A model can score well on radiographs without reading lungs: letters, collimation, exposure or the
sharpness of a scanner may tell the classes of one collection. Here its images are altered, one
property at a time, and its metrics measured again; it is asked about images that show no chest; and
its heat maps are weighed inside and outside the central field.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from keras_pneumo.data.pipeline import Splits
from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.bootstrap import (
    bootstrap_difference,
    bootstrap_metrics,
    patient_weights,
)
from keras_pneumo.evaluation.metrics import predicted_labels
from keras_pneumo.inspection.alterations import ALTERATIONS, Images, central_field
from keras_pneumo.inspection.gradcam import explainer
from keras_pneumo.inspection.probes import draw_probes
from keras_pneumo.inspection.shortcut_audit import (
    AlteredMetrics,
    OutsideCentre,
    ProbeScores,
    ShortcutAudit,
)
from keras_pneumo.models.classifier import PneumoniaClassifier

METRICS = ("roc_auc", "specificity", "recall")
CENTRAL_MARGIN = 0.2  # of each side: the central field is 60 % high and 60 % wide

_BATCH = 32

Array = NDArray[np.float64]


def measure_shortcuts(
    model: PneumoniaClassifier,
    splits: Splits,
    split: str = "validation",
    *,
    images: int | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    verbose: Any = "auto",
) -> ShortcutAudit:
    """Measure what a model leans on: its metrics under alterations, and its heat maps.

    The split is read once; each image is predicted unaltered, under each of ``ALTERATIONS`` and
    inverted (``255 - x``), and explained. That takes about 30 times as long as an evaluation.
    The batch size of ``splits`` does not change the result.

    An interval of a change that excludes 0 says that the alteration matters to the model; one that
    includes 0 does not say that it does not. No correction is made for the number of intervals.

    Args:
        model: The model.
        splits: The collection, at the model's image size; see ``splits_for``.
        split: Name of the split. Take the validation split to learn about the model and change it.
        images: At most so many images, chosen by ``draw_patients``; None for all.
        level: Of the intervals, in (0, 1).
        resamples: Of the bootstrap by patients.
        seed: Of the patients that are drawn, the noise and the bootstrap.
        verbose: 0 shows no progress bar; otherwise there is one on stderr, if that is a terminal.

    Returns:
        The audit. A metric that is not defined on these images, such as the AUC of one class only,
        is NaN.

    Raises:
        SettingsError: There is no such split, or a number is out of range.
        PredictionsError: The model gives scores that are no probabilities.

    References:
        R. Geirhos et al., Shortcut learning in deep neural networks, Nature Machine Intelligence 2
        (2020) 665-673.
        J. R. Zech et al., Variable generalization performance of a deep learning model to detect
        pneumonia in chest radiographs, PLOS Medicine 15 (2018) e1002683.

    Examples:
        ```python
        model = open_model("runs/first")
        audit = measure_shortcuts(model, splits_for(model, "chest_xray"), images=100)
        print(audit.to_text())
        ```
    """
    examples = splits.examples(split)
    chosen = draw_patients(examples.patient_id, images, seed)
    labels, patients = examples.label[chosen], examples.patient_id[chosen]
    threshold = model.threshold
    how: dict[str, Any] = {"names": METRICS, "level": level, "resamples": resamples, "seed": seed}
    # Perfect scores first: what the bootstrap refuses is refused before the part that takes long.
    bootstrap_metrics(labels, labels, threshold, patients, **how)
    scores, outside = _go_through(model, _read(splits, split, chosen), len(labels), verbose)
    before = scores.pop("unaltered")
    inverted = _summary("inverted", "Inverted radiographs", scores.pop("inverted"), threshold)
    metrics = {
        name: bootstrap_metrics(labels, after, threshold, patients, **how)
        for name, after in scores.items()
    }
    changes = {
        name: bootstrap_difference(labels, before, after, threshold, threshold, patients, **how)
        for name, after in scores.items()
    }
    return ShortcutAudit(
        split=split,
        images=len(labels),
        patients=len(np.unique(patients)),
        threshold=threshold,
        level=level,
        resamples=resamples,
        seed=seed,
        unaltered=bootstrap_metrics(labels, before, threshold, patients, **how),
        rows=tuple(
            AlteredMetrics(one.group, one.name, one.title, metrics[one.name], changes[one.name])
            for one in ALTERATIONS
        ),
        probes=(*_ask_probes(model, seed), inverted),
        outside_centre=_mean_outside(model, outside, patients, how),
    )


def draw_patients(patient_id: ArrayLike, images: int | None, seed: int = 0) -> NDArray[np.bool_]:
    """Choose at most so many images, patient by patient.

    Patients come in random order; one whose images do not all fit any more is passed over.

    Args:
        patient_id: Shape (n,): the patient of each image.
        images: The most images to choose; None for all.
        seed: The same seed chooses the same patients.

    Returns:
        bool, shape (n,): whether the image is chosen.

    Raises:
        SettingsError: Not even the patient with the fewest images fits.

    Examples:
        >>> draw_patients(["a", "b", "a", "c"], 2)
        array([False,  True, False,  True])
    """
    _, patient, counts = np.unique(patient_id, return_inverse=True, return_counts=True)
    room = len(patient) if images is None else images
    if room < counts.min():
        raise SettingsError(
            f"`images` must be at least {counts.min()} here, the fewest of one patient, since "
            f"whole patients are drawn. Received: {images!r}. Ask for some hundreds, or pass None "
            f"for all {len(patient):,}."
        )
    chosen = np.zeros(len(counts), bool)
    for one in np.random.default_rng(seed).permutation(len(counts)):
        if counts[one] <= room:
            chosen[one] = True
            room -= counts[one]
    return chosen[patient]


def _read(splits: Splits, split: str, chosen: NDArray[np.bool_]) -> Iterator[Images]:
    """Give the chosen images in batches of one size, on which the last digits of scores depend."""
    images = splits.batches(split).unbatch().map(lambda image, _: image)
    marked = tf.data.Dataset.zip((images, tf.data.Dataset.from_tensor_slices(chosen)))
    kept = marked.filter(lambda _, is_chosen: is_chosen).map(lambda image, _: image)
    # Copied, since PyTorch cannot compile for arrays whose memory is TensorFlow's.
    return map(np.array, kept.batch(_BATCH).prefetch(1).as_numpy_iterator())


def _go_through(
    model: PneumoniaClassifier, batches: Iterable[Images], total: int, verbose: Any
) -> tuple[dict[str, Array], Array]:
    """Predict every image in every way, and give the share of its heat outside the centre."""
    ways: dict[str, Callable[[Images], Images]] = {
        "unaltered": lambda images: images,
        "inverted": lambda images: 255 - images,
        **{one.name: one.apply for one in ALTERATIONS},
    }
    scores: dict[str, list[Array]] = {name: [] for name in ways}
    outside = []
    explain = explainer(model)
    bar = {"disable": None if verbose else True, "unit": " images", "desc": "Measuring"}
    with tqdm(total=total * (len(ways) + 1), **bar) as progress:
        for images in batches:
            for name, alter in ways.items():
                scores[name].append(_probabilities(model, alter(images)))
                progress.update(len(images))
            outside.append(_share_outside(explain(images, _BATCH).heatmap))
            progress.update(len(images))
    return {name: np.concatenate(found) for name, found in scores.items()}, np.concatenate(outside)


def _probabilities(model: PneumoniaClassifier, images: Images) -> Array:
    return np.asarray(model.predict_on_batch(images), np.float64)[:, 0]


def _share_outside(heatmap: NDArray[np.float32]) -> Array:
    outside = ~central_field(heatmap.shape[1], heatmap.shape[2], CENTRAL_MARGIN)
    heat = heatmap.sum(axis=(1, 2), dtype=np.float64)
    heat_outside = heatmap[:, outside].sum(axis=1, dtype=np.float64)
    return np.divide(heat_outside, heat, out=np.full(len(heat), math.nan), where=heat > 0)


def _mean_outside(
    model: PneumoniaClassifier, outside: Array, patients: NDArray[np.str_], how: dict[str, Any]
) -> OutsideCentre:
    area = float(1 - central_field(*model.image_size, CENTRAL_MARGIN).mean())
    heated = np.isfinite(outside)
    outside, patients = outside[heated], patients[heated]
    value = float(outside.mean()) if len(outside) else math.nan
    low = high = math.nan
    # One patient, drawn ever again, would seem certain.
    if len(np.unique(patients)) > 1:
        weights = patient_weights(patients, how["resamples"], how["seed"])
        tail = (1 - how["level"]) / 2
        low, high = np.quantile(weights @ outside / weights.sum(axis=1), [tail, 1 - tail]).tolist()
    return OutsideCentre(value, low, high, area, len(outside))


def _ask_probes(model: PneumoniaClassifier, seed: int) -> Iterator[ProbeScores]:
    probes = draw_probes(*model.image_size, seed)
    scores = _probabilities(model, np.concatenate([probe.images for probe in probes]))
    ends = np.cumsum([len(probe.images) for probe in probes])
    for probe, found in zip(probes, np.split(scores, ends[:-1]), strict=True):
        yield _summary(probe.name, probe.title, found, model.threshold)


def _summary(name: str, title: str, scores: Array, threshold: float) -> ProbeScores:
    return ProbeScores(
        name,
        title,
        images=len(scores),
        mean=float(scores.mean()),
        lowest=float(scores.min()),
        highest=float(scores.max()),
        called_pneumonia=int(predicted_labels(scores, threshold).sum()),
    )
