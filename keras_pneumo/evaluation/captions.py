"""How to read each picture of a report, and what it shows for those who do not see it."""

from collections.abc import Mapping
from typing import Any

from keras_pneumo.evaluation.wording import number

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
    "reliability": "Images are sorted into bins by their score; the bars below say how many there "
    "are. Where a point lies on the diagonal, as many images of the bin are PNEUMONIA as the model "
    "said. Below it, the model says too much; above it, too little. Bins of few images scatter by "
    "chance alone, as the length of their lines says.",
    "decision_curve": "To the right, a false alarm weighs more: at 0.1, one found pneumonia is "
    "worth nine of them, at 0.5 one. Height is the gain, found pneumonias less false alarms at "
    "that price. A model is worth asking where its line lies above both calling all images "
    "PNEUMONIA and calling none so.",
    "shortcuts": "One row per alteration: how a metric changes, with its interval. A full point "
    "has an interval that excludes 0. A model that reads lungs should suffer when they are "
    "hidden or torn apart, and hardly when only the border, the brightness or a letter changes. A "
    "black bar is strange in itself, which costs specificity too; the AUC asks only whether the "
    "classes can still be told apart.",
    "training_curves": "Training (dashed) and validation (solid) over the epochs. Where the solid "
    "line turns while the dashed one goes on, the model learns the training images by heart. The "
    "red dot is the epoch with the highest validation AUC.",
}
_EXAMPLES = (
    "most_confident",
    "Images that the model is most sure of, right and wrong, with the places that raised the "
    "score where a heat map is laid over them. The wrong ones teach most: look for what they "
    "share, and for heat outside the lungs. A heat map shows where a network looked, not why.",
)
# What a picture shows of one split.
_ALTS = {
    "roc": "{name}: area under the curve {roc_auc}, operating point at sensitivity {recall} and "
    "specificity {specificity}",
    "precision_recall": "{name}: average precision {average_precision}, operating point at "
    "precision {precision} and recall {recall}",
    "confusion_matrix": "{name}: {tn} of {normal} NORMAL and {tp} of {pneumonia} PNEUMONIA images "
    "are called right",
    "scores": "{name}: scores of {normal} NORMAL and {pneumonia} PNEUMONIA images",
    "reliability": "{name}: expected calibration error {expected_calibration_error} over {images} "
    "images",
    "decision_curve": "{name}: net benefit of the model beside acting on all {images} images and "
    "on none",
}


def guide(name: str) -> str:
    """Say how to read a picture.

    Args:
        name: Its file name without the suffix.

    Returns:
        A few sentences; empty for a picture that is not known here.
    """
    start, text = _EXAMPLES
    return text if name.startswith(start) else _GUIDES.get(name, "")


def alternative(name: str, title: str, numbers: Mapping[str, Any]) -> str:
    """Say what a picture shows, with its numbers.

    Args:
        name: Its file name without the suffix.
        title: Its title.
        numbers: What ``EvaluationReport.metrics`` returns.

    Returns:
        The text for its ``alt``; the title alone for a picture that is not known here.
    """
    if name == "shortcuts":
        return f"{title}. {_of_shortcuts(numbers['shortcuts'])}"
    if name not in _ALTS:
        return f"{title}."
    described = (
        _ALTS[name].format(
            name=split,
            **of["counts"],
            **{key: _number(value) for key, value in of["metrics"].items()},
        )
        for split, of in numbers["splits"].items()
    )
    return f"{title}. {'. '.join(described)}."


def _of_shortcuts(found: Mapping[str, Any]) -> str:
    changes = {
        row["title"]: auc
        for row in found["rows"]
        if (auc := row["metrics"].get("roc_auc")) and auc["change"] is not None
    }
    told = f"{len(found['rows'])} alterations of the {found['split']} images."
    if not changes:
        return told
    title, auc = min(changes.items(), key=lambda one: one[1]["change"])
    if auc["change"] >= 0:
        return f"{told} None lowers the AUC."
    return f"{told} The AUC falls most with “{title}”, to {number(auc['value'], 3)}."


def _number(value: float | None) -> str:
    return "undefined" if value is None else number(value, 3)
