"""All numbers of one split, as plain values."""

import math
from typing import Any

from keras_pneumo.evaluation.bootstrap import Estimate, bootstrap_metrics
from keras_pneumo.evaluation.calibration import scale_temperature
from keras_pneumo.evaluation.intervals import delong_interval
from keras_pneumo.evaluation.metrics import binary_metrics, confusion_counts
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.thresholds import Threshold

_MOVED_BY_TEMPERATURE = (
    "brier_score",
    "log_loss",
    "expected_calibration_error",
    "adaptive_calibration_error",
)


def split_numbers(
    found: Predictions,
    threshold: Threshold,
    *,
    temperature: float,
    prevalence: float | None,
    level: float,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Count, measure and resample one split.

    Args:
        found: The predictions.
        threshold: The operating point.
        temperature: What the scores were calibrated with; 1 if they were not.
        prevalence: As for ``binary_metrics``.
        level: Of the intervals, in (0, 1).
        resamples: How often the patients are drawn.
        seed: Of the draws.

    Returns:
        "counts", "threshold", "metrics", "intervals", "reasons", "roc_auc_delong" and
        "before_calibration", as ``EvaluationReport.metrics`` describes them.
    """
    given = found.y_true, found.y_score, threshold.value
    estimates = bootstrap_metrics(
        *given,
        found.patient_id,
        level=level,
        resamples=resamples,
        seed=seed,
        prevalence=prevalence,
    )
    pneumonia = int(found.y_true.sum())
    both_classes = 0 < pneumonia < len(found)
    return {
        "counts": {
            "images": len(found),
            "patients": found.n_patients,
            "normal": len(found) - pneumonia,
            "pneumonia": pneumonia,
            **confusion_counts(*given),
        },
        "threshold": threshold.to_dict(),
        "metrics": {name: _finite(one.value) for name, one in estimates.items()},
        "intervals": {name: _interval(one) for name, one in estimates.items()},
        "reasons": {name: one.reason for name, one in estimates.items() if one.reason},
        "roc_auc_delong": _pair(delong_interval(*given[:2], level)) if both_classes else None,
        "before_calibration": _before(found, threshold, temperature) if temperature != 1 else None,
    }


def _before(found: Predictions, threshold: Threshold, temperature: float) -> dict[str, Any]:
    raw = scale_temperature(found.y_score, 1 / temperature)
    metrics = binary_metrics(found.y_true, raw, threshold.value)
    return {name: _finite(metrics[name]) for name in _MOVED_BY_TEMPERATURE}


def _interval(one: Estimate) -> dict[str, Any] | None:
    ends = _pair((one.low, one.high))
    return {"low": ends[0], "high": ends[1], "method": one.method} if ends else None


def _pair(ends: tuple[float, float]) -> list[float] | None:
    return [float(end) for end in ends] if all(map(math.isfinite, ends)) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
