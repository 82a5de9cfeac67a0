"""Everything a report says of one model, gathered."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_pneumo.data.audit import Audit
from keras_pneumo.data.pipeline import Splits
from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.metrics import require_metrics
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.report import EvaluationReport
from keras_pneumo.evaluation.style import as_png
from keras_pneumo.inference import operating_threshold, predict_split
from keras_pneumo.inspection.confident import draw_confident
from keras_pneumo.models.classifier import PneumoniaClassifier


def evaluate(
    model: PneumoniaClassifier,
    splits: Splits,
    split: str | Sequence[str] = "test",
    *,
    name: str | None = None,
    data: str | None = None,
    prevalence: float | None = None,
    data_audit: Audit | None = None,
    verbose: Any = "auto",
) -> EvaluationReport:
    """Evaluate a model at its own threshold.

    Args:
        model: The model; its ``threshold`` and where that comes from go into the report.
        splits: The collection, at the model's image size.
        split: One or more names of splits; "all" only by itself.
        name: What the report calls the model; its name by default.
        data: What the report calls the collection; the config's name by default.
        prevalence: Share of PNEUMONIA, in (0, 1), at which the report states what a call is worth
            besides that of the splits.
        data_audit: What ``audit`` returned for the collection, to be shown.
        verbose: As for ``keras.Model.predict``.

    Returns:
        The report: ``print`` it, or ``save`` it with its figures.

    Raises:
        SettingsError: There is no such split, "all" is asked for beside others, or the prevalence
            is out of range.
        PredictionsError: The model gives scores that are no probabilities.

    Examples:
        ```python
        splits = load_splits("chest_xray")
        report = evaluate(PneumoniaResNet50.from_pretrained("runs/first/model"), splits)
        report.save("evaluation")
        ```
    """
    names = [split] if isinstance(split, str) else list(split)
    if "all" in names and len(names) > 1:
        raise SettingsError(
            f'The split "all" holds the others. Received: {", ".join(names)}. '
            'Evaluate "all" by itself, or name the others.'
        )
    # What the report would refuse is refused before the part that takes long.
    require_metrics(None, prevalence)
    predictions = {one: predict_split(model, splits, one, verbose) for one in names}
    return report_on(
        model,
        splits,
        predictions,
        name=name,
        data=data,
        prevalence=prevalence,
        data_audit=data_audit,
    )


def report_on(
    model: PneumoniaClassifier,
    splits: Splits,
    predictions: Mapping[str, Predictions],
    *,
    name: str | None = None,
    data: str | None = None,
    prevalence: float | None = None,
    data_audit: Audit | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> EvaluationReport:
    """Report on predictions that a model has made, with its recipe and its heat maps.

    Args:
        model: The model.
        splits: The collection that it predicted.
        predictions: Its predictions by the name of their split.
        name: As for ``evaluate``.
        data: As for ``evaluate``.
        prevalence: As for ``evaluate``.
        data_audit: As for ``evaluate``.
        pictures: Further pictures, the content of PNG files by their title.

    Returns:
        The report.
    """
    examples = {
        f"Most confident predictions: {split}": as_png(draw_confident(model, splits, split, found))
        for split, found in predictions.items()
    }
    return EvaluationReport(
        model=name or model.name,
        threshold=operating_threshold(model),
        predictions=predictions,
        data=data or splits.config,
        temperature=model.temperature,
        prevalence=prevalence,
        recipe=model.metadata or None,
        data_audit=data_audit.to_dict() if data_audit else None,
        pictures={**examples, **(pictures or {})},
        # An official test split stays as its authors made it; the report counts what it shares.
        allow_shared_patients=splits.config != "class_folders",
    )
