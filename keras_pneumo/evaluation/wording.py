"""The words of a report: the names of its numbers, their meanings, and how they are written."""

from collections.abc import Mapping
from typing import NamedTuple

LIMITS = (
    "For research and teaching. Not a medical device.",
    "The numbers hold for these images. They do not say how the model does on images of another "
    "hospital, age group or device.",
)
DISCLAIMER = LIMITS[0]


class Words(NamedTuple):
    """The name of a number and its meaning in one line."""

    title: str
    meaning: str


METRICS: Mapping[str, Words] = {
    "roc_auc": Words(
        "ROC AUC", "How often a PNEUMONIA image scores higher than a NORMAL one. 0.5 is chance."
    ),
    "average_precision": Words(
        "Average precision", "Mean precision over all recalls. The share of PNEUMONIA is chance."
    ),
    "recall": Words("Sensitivity", "Recall: share of the PNEUMONIA images that are found."),
    "specificity": Words("Specificity", "Share of the NORMAL images that are called NORMAL."),
    "precision": Words("PPV", "Precision: share of PNEUMONIA among the images called so."),
    "npv": Words("NPV", "Share of NORMAL among the images called so."),
    "positive_likelihood_ratio": Words(
        "Likelihood ratio +", "By what factor a call of PNEUMONIA raises the odds of it."
    ),
    "negative_likelihood_ratio": Words(
        "Likelihood ratio −", "By what factor a call of NORMAL lowers the odds of PNEUMONIA."
    ),
    "accuracy": Words("Accuracy", "Share of all images that are called right."),
    "balanced_accuracy": Words(
        "Balanced accuracy", "Mean of sensitivity and specificity. 0.5 is chance."
    ),
    "f1": Words("F1", "Harmonic mean of PPV and sensitivity."),
    "f2": Words("F2", "As F1, with sensitivity weighing twice as much as PPV."),
    "mcc": Words(
        "MCC", "Matthews' correlation of calls and truth: 1 is perfect, 0 chance, −1 all wrong."
    ),
    "brier_score": Words("Brier score", "Mean squared error of the probabilities. 0 is perfect."),
    "log_loss": Words(
        "Log loss", "Mean surprise at the truth, in nats. 0 is perfect, 0.69 a coin."
    ),
    "expected_calibration_error": Words(
        "Calibration error (ECE)",
        "Mean distance of the probabilities from the observed shares, over bins of equal width.",
    ),
    "adaptive_calibration_error": Words(
        "Calibration error (ACE)", "The same, over bins that hold equally many images."
    ),
    "ppv_at_prevalence": Words(
        "PPV at the prevalence", "Share of PNEUMONIA among the images called so."
    ),
    "npv_at_prevalence": Words(
        "NPV at the prevalence", "Share of NORMAL among the images called so."
    ),
}
HEADLINE = ("roc_auc", "recall", "specificity")
METRIC_GROUPS: Mapping[str, tuple[str, ...]] = {
    "Over all thresholds": ("roc_auc", "average_precision"),
    "At the threshold": (
        *("recall", "specificity", "precision", "npv"),
        *("positive_likelihood_ratio", "negative_likelihood_ratio"),
        *("accuracy", "balanced_accuracy", "f1", "f2", "mcc"),
    ),
    "Of the probabilities": (
        *("brier_score", "log_loss"),
        *("expected_calibration_error", "adaptive_calibration_error"),
    ),
}
AT_PREVALENCE = ("ppv_at_prevalence", "npv_at_prevalence")
COUNTS: Mapping[str, str] = {
    "images": "Images",
    "patients": "Patients",
    "normal": "NORMAL images",
    "pneumonia": "PNEUMONIA images",
    "tn": "NORMAL called NORMAL (true negatives)",
    "fp": "NORMAL called PNEUMONIA (false positives)",
    "fn": "PNEUMONIA called NORMAL (false negatives)",
    "tp": "PNEUMONIA called PNEUMONIA (true positives)",
}


def number(value: float, places: int = 4) -> str:
    """Write a number with so many decimals, from 10 upwards with two fewer.

    Examples:
        >>> number(0.96117), number(1234.5678), number(-0.5, 3)
        ('0.9612', '1,234.57', '−0.500')
    """
    text = f"{value:,.{places if abs(value) < 10 else max(places - 2, 0)}f}"
    return text.replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """Write an interval for people, or nothing where there is none.

    Examples:
        >>> interval(0.9449, 0.9742)
        '0.945 to 0.974'
    """
    if low is None or high is None:
        return ""
    return f"{number(low, 3)} to {number(high, 3)}"


def percent(share: float) -> str:
    """Write a share in percent, with one decimal unless that is 0.

    Examples:
        >>> percent(0.1), percent(0.125)
        ('10 %', '12.5 %')
    """
    return f"{share:.1%}".replace(".0%", "%").replace("%", " %")


def plural(count: int, noun: str) -> str:
    """Write a count with its noun.

    Examples:
        >>> plural(1, "image"), plural(1200, "image")
        ('1 image', '1,200 images')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
