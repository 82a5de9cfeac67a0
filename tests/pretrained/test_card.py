import re
from dataclasses import replace
from datetime import datetime

import fake_reports
import pytest
import yaml
from fake_reports import altered, changed, draw_predictions, interval, make_report, shortcut_audit
from huggingface_hub import ModelCard, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results
from huggingface_hub.utils import validate_repo_id

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation import report_tables
from keras_pneumo.evaluation.report_pictures import DRAWN
from keras_pneumo.evaluation.thresholds import Threshold
from keras_pneumo.pretrained import card_text
from keras_pneumo.pretrained.card import COLLECTION, METRICS, eval_results, is_generated, model_card
from keras_pneumo.pretrained.description import Description

REPO = "ada/xray-resnet50"
THRESHOLD = Threshold(0.4, "youden", "validation", (0.3, 0.5))
OFFICIAL = {"normal": 234, "pneumonia": 390}
SETTINGS = {
    "weights": "imagenet",
    "augmentation": "standard",
    "dropout": 0.2,
    "batch_size": 32,
    "head_epochs": 1,
    "head_learning_rate": 0.001,
    "fine_tune_layers": "conv5",
    "fine_tune_epochs": 3,
    "fine_tune_learning_rate": 0.0001,
    "train_batch_norm": False,
    "patience": 3,
    "seed": 0,
    "split_seed": 7,
}
ALL_HEADINGS = [
    "# xray-resnet50",
    "## Intended use and limits",
    "## How to load it",
    "## Data and splits",
    "## Recipe",
    "## Results",
    "## Operating points",
    "## Shortcut audit",
    "## Calibration",
    "## How the intervals were made",
    "## Citation",
    "## Versions",
]
HOSTILE = (
    "a|b\n# Owned\n\r\n</details><script>alert(1)</script> `x` **y** [z](http://e.vil) \"' {{ 7 }}"
    "\n---\nlicense: mit\n-->"
)


def recorded(test=OFFICIAL, **changes):
    return {
        "threshold": THRESHOLD.to_dict(),
        "data": {
            "name": "chest_xray",
            "fingerprint": "299124c0f1dbbcdf",
            "config": "kaggle_grouped",
            "splits": {"train": {"normal": 1207, "pneumonia": 3487}, "test": test},
            "left_out": {},
        },
        "settings": SETTINGS,
        "epochs": 4,
        "best_epoch": 3,
        **changes,
    }


def describe(metadata, **changes):
    given = {
        "class_name": "PneumoniaResNet50",
        "config": {"resize": "stretch"},
        "image_size": (224, 192),
        "threshold": THRESHOLD.value,
        "metadata": metadata,
    }
    return Description(**{**given, **changes})


def measure(test=(24, 40), *, name="test", **changes):
    found = {
        split: draw_predictions(*counts, split=split, seed=len(split))
        for split, counts in {"validation": (12, 18), name: test}.items()
    }
    return make_report(**{"threshold": THRESHOLD, "predictions": found, **changes})


def audit(auc=(0.8, 0.7, 0.9), called=0):
    value, *ends = auc
    change = changed(value - 0.95, *(end - 0.95 for end in ends), interval(*auc))
    probe = {"title": "Uniform noise", "images": 16, "mean": 0.5, "lowest": 0.4, "highest": 0.6}
    return shortcut_audit(
        unaltered=dict.fromkeys(fake_reports.METRICS, interval(0.95, 0.9, 0.99)),
        rows=[altered("Central 80 % black", change, name="centre_80_black")],
        probes=[
            {**probe, "name": "noise_uniform", "called_pneumonia": called},
            {**probe, "name": "inverted", "called_pneumonia": 16},
        ],
    )


def write(description, report=None, **changes):
    return model_card(description, report, **{"repo_id": REPO, "weights_mb": 94.3, **changes})


def text_of(card):
    return ModelCard(card).text


def headings(card):
    without_code = re.sub(r"```.*?```", "", text_of(card), flags=re.DOTALL)
    return re.findall(r"^#+ .*", without_code, re.MULTILINE)


@pytest.fixture(scope="module")
def trained():
    return describe(recorded())


@pytest.fixture(scope="module")
def official():
    return measure(tuple(OFFICIAL.values()), temperature=1.5, prevalence=0.1, shortcuts=audit())


@pytest.fixture(scope="module")
def phantoms():
    return measure()


@pytest.fixture(scope="module")
def card(trained, official):
    return write(trained, official)


def test_the_hub_reads_the_metadata(card):
    data = ModelCard(card).data
    assert data.library_name == "keras"
    assert data.pipeline_tag == "image-classification"
    assert data.license == "cc-by-4.0"
    assert data.datasets == [COLLECTION]
    assert data.metrics == list(METRICS)
    assert data.model_name == REPO
    assert {"keras-pneumo", "medical", "chest-x-ray", "pneumonia", "resnet"} == set(data.tags)
    assert data.base_model is None
    validate_repo_id(COLLECTION)


def test_the_model_index_has_the_numbers_of_the_report(card, official):
    metadata = yaml.safe_load(card.split("---\n")[1])
    name, results = model_index_to_eval_results(metadata["model-index"])
    assert name == REPO
    expected = {
        (split, metric): (of["metrics"][metric], of["intervals"][metric])
        for split, of in official.metrics()["splits"].items()
        for metric in METRICS
    }
    assert {(one.dataset_split, one.metric_type) for one in results} == set(expected)
    for one in results:
        value, interval = expected[one.dataset_split, one.metric_type]
        assert one.metric_value == value
        assert one.metric_args["interval"] == [interval["low"], interval["high"]]
        assert one.metric_args.get("threshold") == (None if one.metric_type == "roc_auc" else 0.4)
        assert (
            one.dataset_type == {"test": COLLECTION, "validation": "imagefolder"}[one.dataset_split]
        )


def test_the_newer_results_have_the_numbers_of_the_official_test(trained, official):
    content = yaml.safe_load(eval_results(trained, official))
    entries = parse_eval_result_entries(content)
    found = official.metrics()["splits"]["test"]
    assert {one.task_id: one.value for one in entries} == {
        name: found["metrics"][name] for name in METRICS
    }
    for one in entries:
        assert one.dataset_id == COLLECTION
        assert datetime.fromisoformat(one.date) == official.created.replace(microsecond=0)
        low = found["intervals"][one.task_id]["low"]
        assert f"95 % interval over patients {low:.3f} to " in one.notes
        assert ("Threshold 0.4 (youden, chosen on validation" in one.notes) == (
            one.task_id != "roc_auc"
        )


@pytest.mark.parametrize(
    ("test", "name"), [((24, 40), "test"), ((390, 234), "test"), ((234, 390), "external")]
)
def test_other_images_do_not_claim_to_be_the_collection(test, name):
    here = describe(recorded({"normal": 24, "pneumonia": 40}))
    report = measure(test, name=name)
    written = write(here, report)
    assert COLLECTION not in written
    assert "Kermany" not in written
    assert "Guangzhou" not in written
    assert "license" not in ModelCard(written).data.to_dict()
    assert eval_results(here, report) is None
    assert eval_results(here, None) is None


def test_a_model_of_other_images_measured_on_the_official_test_was_not_trained_on_it(official):
    written = write(describe({}), official)
    data = ModelCard(written).data
    assert data.datasets is None
    assert data.license is None
    assert any(one.dataset_type == COLLECTION for one in data.eval_results)
    assert "Guangzhou" not in written
    assert "official test is shifted" in written


def test_a_licence_that_is_given_is_taken(trained, official):
    assert ModelCard(write(trained, official, license="mit")).data.license == "mit"
    assert ModelCard(write(describe({}), license="mit")).data.license == "mit"


def test_limits_come_first_and_everything_has_its_place(card):
    assert headings(card) == ALL_HEADINGS
    limits = text_of(card).split("## How to load it")[0]
    assert "For research and teaching. Not a medical device." in limits
    assert "still 0.800 (0.700 to 0.900), where 0.5 is chance" in limits


def test_without_a_report_the_card_says_so_and_shows_no_result(trained):
    written = write(trained)
    assert headings(written) == [*ALL_HEADINGS[:5], *ALL_HEADINGS[-2:]]
    assert "No evaluation was given with this model." in written
    assert "evaluation/" not in written
    metadata = ModelCard(written).data.to_dict()
    assert set(metadata) == {"library_name", "pipeline_tag", "tags"}
    assert is_generated(written)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("- medical\n", "- medical\n- lungs\n", 1),
        lambda text: text.replace("Not a medical device", "A medical device", 1),
        lambda text: text.replace("0.4", "0.5", 1),
        lambda text: text + "My notes.\n",
        lambda text: "\n" + text,
        lambda text: text.replace("\n<!--", "\n\n<!--"),
        lambda text: text.rpartition("<!--")[0],
        lambda text: text.replace("sha256: ", "sha256: 0"),
        lambda text: "# By hand\n",
        lambda text: "",
    ],
)
def test_every_edit_by_a_person_is_noticed(card, edit):
    assert is_generated(card)
    assert edit(card) != card
    assert not is_generated(edit(card))


def test_other_line_endings_are_no_edit(card):
    assert is_generated(card.replace("\n", "\r\n"))


def test_names_from_outside_stay_text():
    data = recorded()["data"] | {"name": HOSTILE, "config": HOSTILE, "left_out": {HOSTILE: 2}}
    data["splits"] = {HOSTILE: {"normal": 24, "pneumonia": 40}}
    settings = SETTINGS | {"weights": HOSTILE, "augmentation": HOSTILE, "fine_tune_layers": HOSTILE}
    report = measure(
        name=HOSTILE, model=HOSTILE, data=HOSTILE, shortcuts=audit() | {"split": HOSTILE}
    )
    written = write(describe(recorded(data=data, settings=settings)), report)
    metadata = ModelCard(written).data
    assert metadata.license is None
    assert {one.dataset_split for one in metadata.eval_results} == {"validation", HOSTILE}
    assert headings(written) == ALL_HEADINGS
    text = text_of(written)
    assert not re.search(r"(?<!\\)<script", text)
    assert len(re.findall(r"(?<!\\)</details>", text)) == text.count("<details>") == 4
    assert not re.search(r"(?<!\\)\]\(http:", re.sub(r"<img [^>]*>", "", text))
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
    assert is_generated(written)


def test_nothing_private_is_told(trained):
    home = "/home/somebody/secret"
    settings = SETTINGS | {"weights": f"{home}/start.weights.h5"}
    report = measure(model=f"{home}/runs/first", data=f"{home}/xrays", recipe={"path": home})
    written = write(describe(recorded(settings=settings)), report)
    assert "start.weights.h5" in written
    assert "Evaluated on xrays" in written
    for private in ("somebody", "secret", "_person", "/image_", "most_confident"):
        assert private not in written


def test_every_picture_that_the_report_draws_is_shown_once(trained, card, phantoms):
    files = [f"evaluation/{name}.png" for name in DRAWN]
    assert sorted(re.findall(r'src="(.*?)"', card)) == sorted(files)
    without_audit = re.findall(r'src="(.*?)"', write(trained, phantoms))
    assert sorted(without_audit) == sorted(set(files) - {"evaluation/shortcuts.png"})


def test_links_inside_the_card_lead_somewhere(card):
    anchors = {heading.lstrip("# ").lower().replace(" ", "-") for heading in headings(card)}
    inside = re.findall(r"\]\(#(.*?)\)", card)
    assert inside
    assert set(inside) <= anchors
    assert all(link.startswith(("https://", "#")) for link in re.findall(r"\]\((.*?)\)", card))


@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_the_code_of_the_card_is_python_and_names_the_repository(resize):
    written = write(describe({}, config={"resize": resize}))
    blocks = re.findall(r"```python\n(.*?)```", written, re.DOTALL)
    for block in blocks:
        compile(block, "card", "exec")
    ours, plain = blocks
    assert f'PneumoniaResNet50.from_pretrained("{REPO}")' in ours
    assert f'keras.saving.load_model("hf://{REPO}")' in plain
    size = "(224, 192)" if resize == "stretch" else "(192, 224)"  # Pillow has the width first.
    assert size in plain
    assert "score >= 0.4 " in plain


@pytest.mark.parametrize("repo_id", ["xray", "a/b/c", 'a/b"); import os; ("', "a/b\nc", ""])
def test_what_is_no_repository_is_refused(trained, repo_id):
    with pytest.raises(SettingsError, match="owner/name"):
        write(trained, repo_id=repo_id)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": None}, "random weights"),
        ({"weights": "imagenet"}, "ImageNet weights of He et al. (2015), converted from Caffe"),
        ({"weights": "a.weights.h5"}, "the weights file a.weights.h5"),
        ({"fine_tune_layers": 10}, "the top 10 layers of the backbone and the head"),
        ({"fine_tune_layers": "all"}, "the whole backbone and the head, at most 3 epochs"),
        ({"fine_tune_epochs": 0}, "| Phase 2 | left out |"),
        ({"train_batch_norm": False}, "batch normalisation stays frozen"),
        ({"augmentation": "mine"}, "| Augmentation | mine |"),
        ({"schedule": "cosine"}, "| Schedule of phase 2 | cosine |"),
        ({"weight_decay": 0.01}, "| Weight decay of phase 2 | 0.01 |"),
        ({"ema_momentum": 0.99}, "| Average of weights | exponential, momentum 0.99, in phase 2 |"),
        ({"ema_momentum": None}, "| Average of weights | none |"),
        ({"label_smoothing": 0.1}, "| Label smoothing | 0.1 |"),
    ],
)
def test_the_recipe_is_told_in_words(changes, words):
    assert words in write(describe(recorded(settings=SETTINGS | changes)))


@pytest.mark.parametrize("metadata", [{}, {"data": "my X-rays", "settings": 3, "threshold": None}])
def test_what_is_not_recorded_is_said(metadata):
    written = write(describe(metadata, threshold=0.7))
    assert "What it was trained on is not recorded." in written
    assert "How it was trained is not recorded." in written
    assert "at least 0.7." in written


def test_files_left_out_are_counted(trained):
    data = recorded()["data"] | {"left_out": {"not an image": 1, "empty file": 1200}}
    assert "Left out: 1 file (not an image), 1,200 files (empty file)." in write(
        describe(recorded(data=data))
    )
    assert "No file was left out." in write(trained)


def test_a_report_at_another_threshold_says_which(trained, phantoms):
    other = replace(phantoms, threshold=Threshold(0.6, "fixed=0.6", "none"))
    at = "Evaluated on chest_xray (kaggle_grouped), "
    line = next(one for one in write(trained, other).splitlines() if one.startswith(at))
    assert "at least 0.6" in line
    line = next(one for one in write(trained, phantoms).splitlines() if one.startswith(at))
    assert "at least" not in line


def test_undefined_numbers_are_left_to_the_tables(trained):
    written = write(trained, measure((0, 12), name="external"))
    found = ModelCard(written).data.eval_results
    assert {one.metric_type for one in found if one.dataset_split == "external"} == {
        "accuracy",
        "precision",
        "recall",
        "f1",
    }
    assert "undefined (no image is NORMAL)" in written


@pytest.mark.parametrize(
    ("auc", "called", "said"),
    [
        ((0.8, 0.7, 0.9), 0, ["still 0.800"]),
        ((0.6, 0.5, 0.7), 3, ["Of 16 images of noise or of one grey level it calls 3 PNEUMONIA"]),
        ((0.6, 0.4, 0.7), 0, []),
    ],
)
def test_flaws_are_told_where_the_audit_shows_them(auc, called, said):
    found = list(card_text.shortcut_flaws(audit(auc, called)))
    assert len(found) == len(said)
    for sentence, part in zip(found, said, strict=True):
        assert part in sentence


def test_calibration_has_the_splits_one_below_the_other(official):
    numbers = official.metrics()
    table = card_text.calibration(numbers)
    assert table.columns == ["Before", "After"]
    assert [group.title for group in table.groups] == ["validation", "test"]
    test = table.groups[1].rows[0]
    found = numbers["splits"]["test"]
    assert [cell.value for cell in test.cells] == [
        f"{found['before_calibration']['brier_score']:.4f}",
        f"{found['metrics']['brier_score']:.4f}",
    ]


def test_other_thresholds_are_judged_where_they_were_not_chosen(official):
    numbers = official.metrics()
    (group,) = card_text.other_thresholds(numbers).groups
    wide = report_tables.operating_points(numbers)
    assert [row.title for row in group.rows] == [of.title for of in wide.groups]
    assert [row.cells[1:] for row in group.rows] == [of.rows[1].cells[:2] for of in wide.groups]
