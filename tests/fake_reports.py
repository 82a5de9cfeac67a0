"""Reports whose numbers are drawn, not trained, for every test that reads a report."""

import numpy as np

from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.report import EvaluationReport
from keras_pneumo.evaluation.thresholds import Threshold

THRESHOLD = Threshold(0.4, "youden", "validation")
METRICS = ("roc_auc", "specificity", "recall")


def draw_predictions(n_normal=12, n_pneumonia=18, *, split="", shift=0.0, seed=0):
    """Scores that tell the classes apart, of two images for each patient, named after a split."""
    rng = np.random.default_rng(seed)
    y_true = np.repeat([0, 1], [n_normal, n_pneumonia])
    y_score = 1 / (1 + np.exp(-rng.normal(3 * y_true - 1.5 + shift, 1.5)))
    numbers = range(len(y_true))
    patients = [f"{split}_person{number // 2}".lstrip("_") for number in numbers]
    files = [f"{split}/image_{number}.jpeg".lstrip("/") for number in numbers]
    return Predictions(y_true, y_score, patients, files)


def interval(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def changed(change, low=None, high=None, value=None):
    """A metric of altered images, with how much it changed."""
    value = value or interval(0.5, 0.4, 0.6)
    return {**value, "change": change, "change_low": low, "change_high": high}


def altered(title, *metrics, group="Occlusion", name=None):
    """A row of a shortcut audit: one value for all metrics, or one for each."""
    each = metrics * len(METRICS) if len(metrics) == 1 else metrics
    return {
        "group": group,
        "name": name or title.lower(),
        "title": title,
        "metrics": dict(zip(METRICS, each, strict=True)),
    }


def shortcut_audit(**changes):
    """What ``measure_shortcuts`` finds, as its JSON."""
    probe = {"images": 3, "mean": 0.4, "lowest": 0.3, "highest": 0.6, "called_pneumonia": 2}
    return {
        "split": "validation",
        "images": 30,
        "patients": 15,
        "threshold": 0.4,
        "level": 0.95,
        "resamples": 50,
        "seed": 0,
        "unaltered": dict.fromkeys(METRICS, interval(0.9, 0.85, 0.95)),
        "rows": [
            altered("Lungs hidden", changed(-0.3, -0.4, -0.2, interval(0.6, 0.8, 0.95))),
            altered("Border", changed(0.01, -0.1, 0.1, interval(0.91, 0.8, 0.95))),
        ],
        "probes": [{"name": "noise", "title": "Uniform noise", **probe}],
        "outside_centre": interval(0.41, 0.39, 0.43) | {"area": 0.64, "images": 30},
        **changes,
    }


def data_audit():
    """What ``audit`` finds, as its JSON."""
    patients = {"patients_naive": 5, "patients_per_series": 6}
    count = {"images": 7, **patients}
    return {
        "root": "/home/somebody/chest_xray",
        "splits": {"all": {**count, "classes": {"NORMAL": count, "PNEUMONIA": count}}},
        "left_out": {"not an image": ["a.txt", "b.txt"]},
        "identical_files": {
            "images": 2,
            "groups_within_a_split": 0,
            "groups_across_splits": 1,
            "groups_across_patients": 0,
            "groups_across_classes": 0,
            "groups": [["a.jpeg", "b.jpeg"]],
        },
        "patients_in_two_splits": [{"splits": ["train", "test"], **patients}],
    }


def make_report(**changes):
    """A report of two splits that share no patient."""
    return EvaluationReport(
        **{
            "model": "PneumoniaResNet50 of first",
            "threshold": THRESHOLD,
            "predictions": {
                "validation": draw_predictions(split="validation"),
                "test": draw_predictions(split="test", shift=1.0, seed=1),
            },
            "data": "chest_xray (kaggle_grouped)",
            "resamples": 50,
            **changes,
        }
    )
