"""The card of a published model: README.md, with what the Hub reads and what people read."""

import hashlib
import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
from huggingface_hub import (
    EvalResult,
    EvalResultEntry,
    ModelCardData,
    eval_result_entries_to_yaml,
)
from huggingface_hub.utils import yaml_dump

from keras_pneumo import hub
from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation import report_tables, sentences, wording
from keras_pneumo.evaluation.markdown import escaped, markdown_table
from keras_pneumo.evaluation.report import EvaluationReport
from keras_pneumo.evaluation.thresholds import Threshold
from keras_pneumo.pretrained import card_text
from keras_pneumo.pretrained.description import WEIGHTS_FILE, Description

COLLECTION = "hf-vision/chest-xray-pneumonia"
COLLECTION_NAME = "Chest X-Ray Images (Pneumonia)"
METRICS = ("roc_auc", "accuracy", "precision", "recall", "specificity", "f1")
_TAGS = ["keras-pneumo", "medical", "chest-x-ray", "pneumonia", "resnet"]
_TASK = "image-classification"
# What the library `datasets` calls a folder of images that is no dataset of the Hub.
_FOLDER = "imagefolder"
_SIGNATURE = "<!-- keras-pneumo wrote all of the above, sha256: "


class _Markdown(str):
    """What the template prints as it is; any other text is escaped."""


def model_card(
    description: Description,
    report: EvaluationReport | None,
    *,
    repo_id: str,
    license: str | None = None,
    weights_mb: float,
) -> str:
    """Write the model card: the metadata that the Hub reads, and the text that people read.

    The collection of Kaggle is named as the model's data only where the counts of the test split
    say so, in the model's own record and in the report. Names from the model and the report are
    escaped, and of a path only the last part is told.

    Args:
        description: The saved model.
        report: Its evaluation; without one the card says that there is none. Its pictures are
            linked as ``evaluation/NAME.png``, for the names in ``DRAWN`` that it has.
        repo_id: ``"owner/name"`` on the Hub.
        license: Identifier of a licence of the Hub, such as ``"mit"``. By default that of the
            Kaggle collection for a model that was trained and measured on it, and none otherwise.
        weights_mb: Size of the weights, in megabytes.

    Returns:
        The content of ``README.md``. Its last line is a comment for ``is_generated``.

    Raises:
        SettingsError: ``repo_id`` is none.

    Examples:
        >>> found = Description(
        ...     class_name="PneumoniaResNet50",
        ...     config={},
        ...     image_size=(224, 224),
        ...     threshold=0.5,
        ...     metadata={},
        ... )
        >>> card = model_card(found, None, repo_id="ada/xray", weights_mb=94.3)
        >>> "# xray" in card, is_generated(card), is_generated(card + "My notes.")
        (True, True, False)

    References:
        M. Mitchell, S. Wu, A. Zaldivar et al., Model cards for model reporting, FAT* 2019.
    """
    if not hub.is_repo_id(repo_id):
        raise SettingsError(
            f"A repository on the Hub is named owner/name. Received: {repo_id!r}. It stands in the "
            "code of the card, so it must be right."
        )
    numbers = report.metrics() if report else None
    pictures = card_text.pictures(numbers) if numbers else {}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_pneumo.pretrained"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_as_markdown,
    )
    text = environment.get_template("card.md.jinja").render(
        yaml=_Markdown(_metadata(description, numbers, repo_id, license)),
        repo_id=_Markdown(repo_id),
        name=repo_id.partition("/")[2],
        model=description,
        threshold=card_text.operating_threshold(description),
        data=card_text.training_data(description),
        collection=_Markdown(f"[{COLLECTION_NAME}](https://huggingface.co/datasets/{COLLECTION})"),
        on_collection=card_text.knows_collection(description),
        official=numbers is not None and _official_split(numbers) is not None,
        numbers=numbers,
        measured_at=Threshold.from_dict(numbers["threshold"]) if numbers else None,
        weights=f"{WEIGHTS_FILE}, {weights_mb:,.0f} MB",
        of=card_text,
        say=sentences,
        tables=report_tables,
        words=wording,
        table=lambda given, **kwargs: _Markdown(markdown_table(given, **kwargs)),
        picture=lambda name: _picture(name, pictures[name]),
    )
    return f"{text}{_SIGNATURE}{_sha256(text)} -->\n"


def eval_results(description: Description, report: EvaluationReport | None) -> str | None:
    """Write ``.eval_results/keras-pneumo.yaml``, the Hub's newer form of results.

    A leaderboard of the Hub lists one number per task of a dataset. The dataset of the collection
    defines no tasks of its own (it has no ``eval.yaml``), so each metric is a task by the name
    that scikit-learn gives it, such as ``"roc_auc"``, measured on the split ``test``.

    Args:
        description: The saved model.
        report: Its evaluation.

    Returns:
        YAML; None unless the report is on the official test split of the Kaggle collection, to
        which alone these results can be compared.

    References:
        https://huggingface.co/docs/hub/eval-results
    """
    numbers = report.metrics() if report else None
    split = _official_split(numbers) if numbers else None
    if numbers is None or split is None:
        return None
    height, width = description.image_size
    entries = [
        EvalResultEntry(
            dataset_id=COLLECTION,
            task_id=name,
            value=split["metrics"][name],
            date=numbers["created"],
            notes=". ".join(
                [
                    f"{description.class_name}, {height} × {width} pixels, official test split",
                    *_conditions(name, split, numbers),
                ]
            ),
        )
        for name in METRICS
        if split["metrics"][name] is not None
    ]
    return yaml_dump(eval_result_entries_to_yaml(entries), sort_keys=False)


def is_generated(card: str) -> bool:
    """Whether a card is exactly what ``model_card`` wrote, and no person edited it.

    Args:
        card: The content of ``README.md``, with any line endings.

    Returns:
        True if the comment in its last line has the hash of all that is above it.
    """
    text, _, end = card.replace("\r\n", "\n").rpartition(_SIGNATURE)
    return end == f"{_sha256(text)} -->\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _as_markdown(value: Any) -> Any:
    return escaped(value) if isinstance(value, str) and not isinstance(value, _Markdown) else value


def _picture(name: str, shown: str) -> _Markdown:
    # Markdown has no width, and as wide as the page the pictures would push the text apart.
    alt = html.escape(re.sub(r"[\r\n]+", " ", shown))
    return _Markdown(f'<img src="evaluation/{name}.png" width="560" alt="{alt}">')


def _metadata(
    description: Description, numbers: Mapping[str, Any] | None, repo_id: str, license: str | None
) -> str:
    official = numbers is not None and _official_split(numbers) is not None
    if official and card_text.knows_collection(description):
        datasets = [COLLECTION]
        # Weights that were made of images under CC BY 4.0, which asks for attribution alone: under
        # the same licence it is passed on with them. The code of keras-pneumo is not in them.
        license = license or "cc-by-4.0"
    else:
        datasets = None
    results = list(_results(numbers)) if numbers else []
    return ModelCardData(
        library_name="keras",
        pipeline_tag=_TASK,
        license=license,
        tags=_TAGS,
        datasets=datasets,
        metrics=list(METRICS) if results else None,
        model_name=repo_id if results else None,
        eval_results=results or None,
    ).to_yaml()


def _results(numbers: Mapping[str, Any]) -> Iterator[EvalResult]:
    official, data = _official_split(numbers), card_text.last_name(numbers["data"])
    for name, split in numbers["splits"].items():
        for metric in METRICS:
            if split["metrics"][metric] is None:
                continue
            yield EvalResult(
                task_type=_TASK,
                dataset_type=COLLECTION if split is official else _FOLDER,
                dataset_name=COLLECTION_NAME if split is official else data,
                dataset_split=name,
                metric_type=metric,
                metric_name=wording.METRICS[metric].title,
                metric_value=split["metrics"][metric],
                metric_args=_arguments(metric, split, numbers),
            )


def _arguments(
    metric: str, split: Mapping[str, Any], numbers: Mapping[str, Any]
) -> dict[str, Any] | None:
    found, arguments = split["intervals"][metric], {}
    if metric != "roc_auc":
        arguments["threshold"] = numbers["threshold"]["value"]
    if found:
        arguments["interval"] = [found["low"], found["high"]]
        arguments["level"] = numbers["bootstrap"]["level"]
    return arguments or None


def _conditions(metric: str, split: Mapping[str, Any], numbers: Mapping[str, Any]) -> Iterator[str]:
    if metric != "roc_auc":
        yield f"Threshold {Threshold.from_dict(numbers['threshold'])}"
    found = split["intervals"][metric]
    if found:
        level = wording.percent(numbers["bootstrap"]["level"])
        yield f"{level} interval over patients {wording.interval(found['low'], found['high'])}"


def _official_split(numbers: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The test split of a report, if it has the images of the official one."""
    split = numbers["splits"].get("test")
    counts = split["counts"] if split else {}
    official = all(counts.get(name) == of for name, of in card_text.OFFICIAL_TEST.items())
    return split if official else None
