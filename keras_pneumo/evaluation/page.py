"""The page that shows a report to people."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jinja2

from keras_pneumo.evaluation.thresholds import Threshold

DISCLAIMER = "For research and teaching. Not a medical device."

_METRICS = {
    "accuracy": ("Accuracy", "Share of all images that are called right."),
    "precision": ("Precision", "Share of PNEUMONIA among the images called PNEUMONIA."),
    "recall": ("Recall", "Sensitivity: share of the PNEUMONIA images that are found."),
    "specificity": ("Specificity", "Share of the NORMAL images that are called NORMAL."),
    "f1": ("F1", "Harmonic mean of precision and recall."),
    "balanced_accuracy": ("Balanced accuracy", "Mean of recall and specificity; 0.5 is chance."),
    "roc_auc": (
        "ROC AUC",
        "How often a PNEUMONIA image scores higher than a NORMAL one, whatever the threshold; 0.5 "
        "is chance.",
    ),
    "average_precision": (
        "Average precision",
        "Mean precision over all recalls, whatever the threshold; the share of PNEUMONIA is "
        "chance.",
    ),
}
_COUNTS = {
    "images": "Images",
    "patients": "Patients",
    "normal": "NORMAL images",
    "pneumonia": "PNEUMONIA images",
    "tn": "True negatives: NORMAL called NORMAL",
    "fp": "False positives: NORMAL called PNEUMONIA",
    "fn": "False negatives: PNEUMONIA called NORMAL",
    "tp": "True positives: PNEUMONIA called PNEUMONIA",
}
_GUIDES = {
    "roc": "Each point of a line is one threshold. Further up, more of the pneumonia is found; "
    "further right, more NORMAL images are called PNEUMONIA. A perfect model touches the upper "
    "left corner. The dots are where the threshold of this report puts each split: where they lie "
    "far apart, the threshold does not carry over from one split to the other.",
    "precision_recall": "Further right, more of the pneumonia is found; further up, a call of "
    "PNEUMONIA can be trusted more. Precision depends on how common pneumonia is in a split (the "
    "dotted line), so keep that in mind when you compare splits or studies.",
    "confusion_matrix": "Each row is what the images are, each column what they are called; the "
    "percentages of a row add up to 100. Upper right: NORMAL images called PNEUMONIA. Lower left: "
    "pneumonia that is missed.",
    "scores": "A good model keeps blue on the left, red on the right, and the threshold (dashed) "
    "between them. Where a colour moves from one split to the next, the images differ in kind, and "
    "the threshold may be wrong for them. The scale is logarithmic: short bars are few images.",
    "training_curves": "Training (dashed) and validation (solid) over the epochs. Where the solid "
    "line turns while the dashed one goes on, the model learns the training images by heart. The "
    "red dot is the epoch with the highest validation AUC.",
}
# What a picture shows of one split, for those who do not see it.
_ALTS = {
    "roc": "{name}: area under the curve {roc_auc}, operating point at sensitivity {recall} and "
    "specificity {specificity}",
    "precision_recall": "{name}: average precision {average_precision}, operating point at "
    "precision {precision} and recall {recall}",
    "confusion_matrix": "{name}: {tn} of {normal} NORMAL and {tp} of {pneumonia} PNEUMONIA images "
    "are called right",
    "scores": "{name}: scores of {normal} NORMAL and {pneumonia} PNEUMONIA images",
}


class Picture(NamedTuple):
    """A picture on the page.

    Attributes:
        name: Its file name without the suffix; also finds its reading guide.
        title: Its heading.
        png: Its content.
    """

    name: str
    title: str
    png: bytes


def render_page(
    numbers: Mapping[str, Any], threshold: Threshold, pictures: Sequence[Picture]
) -> str:
    """Render one HTML page that holds everything it shows: no script, nothing from the network.

    Args:
        numbers: What ``metrics`` returned.
        threshold: The operating point.
        pictures: The pictures in their order.

    Returns:
        The page.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("keras_pneumo.evaluation").joinpath("report.html.jinja")
    return environment.from_string(source.read_text(encoding="utf-8")).render(
        numbers=numbers,
        threshold=threshold,
        metrics=_METRICS,
        counts=_COUNTS,
        disclaimer=DISCLAIMER,
        pictures=[
            {
                "name": picture.name,
                "title": picture.title,
                "guide": _GUIDES.get(picture.name, ""),
                "alt": _alt(picture, numbers["splits"]),
                "base64": b64encode(picture.png).decode("ascii"),
            }
            for picture in pictures
        ],
    )


def _alt(picture: Picture, splits: Mapping[str, Any]) -> str:
    if picture.name not in _ALTS:
        return picture.title
    described = (
        _ALTS[picture.name].format(
            name=name,
            **split["counts"],
            **{
                key: "undefined" if value is None else f"{value:.3f}"
                for key, value in split["metrics"].items()
            },
        )
        for name, split in splits.items()
    )
    return f"{picture.title}. {'. '.join(described)}."
