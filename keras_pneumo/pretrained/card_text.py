"""What a model card says of a model and its report, as values: the template writes them down."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import PureWindowsPath
from typing import Any

from keras_pneumo.evaluation import report_tables
from keras_pneumo.evaluation.captions import alternative
from keras_pneumo.evaluation.report_pictures import DRAWN
from keras_pneumo.evaluation.report_tables import Cell, Group, Row, Table
from keras_pneumo.evaluation.thresholds import Threshold, rounded
from keras_pneumo.evaluation.wording import interval, number, plural
from keras_pneumo.pretrained.description import Description

OFFICIAL_TEST = {"normal": 234, "pneumonia": 390}
"""How many images of each class the test split of the Kaggle collection has."""

_GROUPED = "A tenth of the images is held out for validation, by patient: no patient is in both."
_SPLITTING = {
    "kaggle_grouped": f"{_GROUPED} The official test split is kept as it is.",
    "labeled_v3": f"{_GROUPED} The official test split is kept as it is.",
    "kaggle": "The official splits as they are; their validation split has 16 images.",
    "class_folders": "A tenth of the images each is held out for validation and for test, by "
    "patient: no patient is in two splits.",
}
_AUGMENTATIONS = {
    "none": "none",
    "standard": "mirrored, tilted, shifted, zoomed, brightness and contrast varied",
    "framing": "cropped to 30 to 100 % of the area, mirrored, half of the images blurred; gamma, "
    "contrast, brightness and noise varied",
    "keras_cv": "that of KerasCV",
}


def operating_threshold(description: Description) -> Threshold:
    """The threshold of a saved model with its origin, or as a fixed one where that is unknown."""
    recorded = _recorded(description.metadata, "threshold")
    if recorded.get("value") == description.threshold:
        return Threshold.from_dict(recorded)
    return Threshold(description.threshold, f"fixed={description.threshold}", "none")


def knows_collection(description: Description) -> bool:
    """Whether a model was trained on the Kaggle collection, as far as its test split tells."""
    splits = training_data(description).get("splits", {})
    return splits.get("test") == OFFICIAL_TEST


def training_data(description: Description) -> Mapping[str, Any]:
    """What a training has recorded of its data; empty where it has not."""
    recorded = _recorded(description.metadata, "data")
    return (
        recorded if {"name", "fingerprint", "config", "splits", "left_out"} <= set(recorded) else {}
    )


def last_name(path: str) -> str:
    r"""The last part of a path of any system: folders tell of a machine and its user.

    Examples:
        >>> last_name("/home/ada/chest_xray (kaggle)"), last_name(r"C:\ada\xrays")
        ('chest_xray (kaggle)', 'xrays')
    """
    return PureWindowsPath(path).name


def how_split(config: str) -> str:
    """Say how a config of the data divides a collection; empty for one that is not known here.

    Examples:
        >>> how_split("kaggle_seed3")
        'The official splits as they are; their validation split has 16 images.'
    """
    return _SPLITTING.get(config.partition("_seed")[0], "")


def split_counts(splits: Mapping[str, Mapping[str, int]]) -> Table:
    """How many images of each class each split of the training data has."""
    rows = [
        Row(name, [Cell(f"{count:,}") for count in (of["normal"], of["pneumonia"])])
        for name, of in splits.items()
    ]
    return Table("Split", ["NORMAL", "PNEUMONIA"], [Group("", rows)])


def start(metadata: Mapping[str, Any]) -> str:
    """Say which weights the backbone was trained from; empty if that is not recorded."""
    settings = _recorded(metadata, "settings")
    if "weights" not in settings:
        return ""
    given = settings["weights"]
    if given is None:
        return "The backbone started from random weights."
    if given == "imagenet":
        return (
            "The backbone started from the ImageNet weights of He et al. (2015), converted from "
            "Caffe by Keras."
        )
    return f"The backbone started from the weights file {last_name(given)}."


def recipe(metadata: Mapping[str, Any]) -> Table | None:
    """How a model was trained, in plain words, as far as that is recorded; None if it is not."""
    facts = {**_recorded(metadata, "settings"), **metadata}
    rows = []
    for title, words in _RECIPE.items():
        try:
            rows.append(Row(title, [Cell(words(facts))]))
        except KeyError:
            continue  # Not recorded.
    return Table("Setting", ["Value"], [Group("", rows)]) if rows else None


def judged_on(numbers: Mapping[str, Any]) -> list[str]:
    """The splits of a report on which its operating points were not chosen; all if none is left."""
    splits, chosen_on = list(numbers["splits"]), numbers["operating_points"][0]["chosen_on"]
    return [split for split in splits if split != chosen_on] or splits


def other_thresholds(numbers: Mapping[str, Any]) -> Table:
    """What the operating points of a report give on the splits of ``judged_on``."""
    wide, points = report_tables.operating_points(numbers), numbers["operating_points"]
    reached = [
        (rounded(point["value"]), group)
        for point, group in zip(points, wide.groups, strict=True)
        if point["value"] is not None
    ]
    shown = judged_on(numbers)
    groups = [
        Group(
            split if len(shown) > 1 else "",
            [
                Row(group.title, [Cell(threshold), *group.rows[place].cells[:2]])
                for threshold, group in reached
            ],
        )
        for place, split in enumerate(numbers["splits"])
        if split in shown
    ]
    return Table("Aim", ["Threshold", *wide.columns[:2]], groups)


def calibration(numbers: Mapping[str, Any]) -> Table:
    """The calibration of a report, narrow: splits one below the other, before beside after."""
    wide, splits = report_tables.calibration(numbers), list(numbers["splits"])
    if len(wide.columns) == len(splits):
        return wide
    groups = [
        Group(
            split,
            [
                Row(row.title, row.cells[2 * place : 2 * place + 2])
                for group in wide.groups
                for row in group.rows
            ],
        )
        for place, split in enumerate(splits)
    ]
    return Table(wide.corner, ["Before", "After"], groups)


def pictures(numbers: Mapping[str, Any]) -> dict[str, str]:
    """The pictures that a report draws: by their names, what they show."""
    return {
        name: alternative(name, title, numbers)
        for name, title in DRAWN.items()
        if name != "shortcuts" or numbers["shortcuts"]
    }


def shortcut_flaws(found: Mapping[str, Any]) -> Iterator[str]:
    """Say what a shortcut audit holds against a model, one sentence at a time.

    Args:
        found: What ``ShortcutAudit.to_dict`` returns.
    """
    hidden = next((row for row in found["rows"] if row["name"] == "centre_80_black"), None)
    auc = (hidden or {"metrics": {}})["metrics"].get("roc_auc")
    if auc and auc["low"] is not None and auc["low"] > 0.5:
        yield (
            "With the central 80 % of width and height black, and most of the lungs with them, the "
            f"AUC on {found['split']} is still {number(auc['value'], 3)} "
            f"({interval(auc['low'], auc['high'])}), where 0.5 is chance: the model also reads "
            "what lies around the lungs."
        )
    empty = [one for one in found["probes"] if one["name"].startswith(("blank_", "noise_"))]
    called = sum(one["called_pneumonia"] for one in empty)
    if called:
        images = plural(sum(one["images"] for one in empty), "image")
        yield (
            f"Of {images} of noise or of one grey level it calls {called:,} PNEUMONIA: it does not "
            "notice that they are no radiographs."
        )


def _head(facts: Mapping[str, Any]) -> str:
    return f"the head alone, {_epochs(facts, 'head')}"


def _fine_tuning(facts: Mapping[str, Any]) -> str:
    layers, normalisation = facts["fine_tune_layers"], facts["train_batch_norm"]
    if not facts["fine_tune_epochs"]:
        return "left out"
    if isinstance(layers, int):
        part = f"the top {plural(layers, 'layer')} of the backbone"
    else:
        part = "the whole backbone" if layers == "all" else f"the backbone from {layers} upwards"
    frozen = "" if normalisation else "; batch normalisation stays frozen"
    return f"{part} and the head, {_epochs(facts, 'fine_tune')}{frozen}"


def _epochs(facts: Mapping[str, Any], phase: str) -> str:
    most, rate = facts[f"{phase}_epochs"], facts[f"{phase}_learning_rate"]
    return f"at most {plural(most, 'epoch')}, Adam with a learning rate of {rate}"


def _kept(facts: Mapping[str, Any]) -> str:
    epochs, best = facts["epochs"], facts["best_epoch"]
    return f"{plural(epochs, 'epoch')}; number {best} is kept, by its validation AUC"


def _seeds(facts: Mapping[str, Any]) -> str:
    return f"{facts['seed']}; of the split {facts['split_seed']}"


_RECIPE: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "Phase 1": _head,
    "Phase 2": _fine_tuning,
    "A phase ends": lambda facts: (
        f"after {plural(facts['patience'], 'epoch')} without a better validation AUC"
    ),
    "Trained": _kept,
    "Batches": lambda facts: plural(facts["batch_size"], "image"),
    "Augmentation": lambda facts: _AUGMENTATIONS.get(
        facts["augmentation"], str(facts["augmentation"])
    ),
    "Dropout": lambda facts: str(facts["dropout"]),
    "Schedule of phase 2": lambda facts: str(facts["schedule"]),
    "Weight decay of phase 2": lambda facts: str(facts["weight_decay"]),
    "Average of weights": lambda facts: (
        f"exponential, momentum {facts['ema_momentum']}, in phase 2"
        if facts["ema_momentum"]
        else "none"
    ),
    "Label smoothing": lambda facts: str(facts["label_smoothing"]),
    "Seed": _seeds,
}


def _recorded(metadata: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    # What a training records is a mapping; whoever sets the metadata may have written anything.
    value = metadata.get(key)
    return value if isinstance(value, Mapping) else {}
