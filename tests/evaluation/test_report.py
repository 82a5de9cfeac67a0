import json
import re
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import fake_reports
import numpy as np
import pytest
from fake_reports import THRESHOLD, data_audit, shortcut_audit
from matplotlib.figure import Figure
from PIL import Image

from keras_pneumo import __version__
from keras_pneumo.errors import OutputError, PredictionsError, SettingsError
from keras_pneumo.evaluation.bootstrap import bootstrap_metrics
from keras_pneumo.evaluation.calibration import scale_temperature
from keras_pneumo.evaluation.intervals import delong_interval
from keras_pneumo.evaluation.metrics import METRICS, PREDICTIVE_VALUES, binary_metrics
from keras_pneumo.evaluation.predictions import Predictions, read_csv
from keras_pneumo.evaluation.report import EvaluationReport
from keras_pneumo.evaluation.style import as_png
from keras_pneumo.evaluation.thresholds import Threshold
from keras_pneumo.evaluation.wording import METRICS as WORDS

FILES = {
    "metrics.json",
    "predictions.csv",
    "roc.png",
    "precision_recall.png",
    "confusion_matrix.png",
    "scores.png",
    "reliability.png",
    "decision_curve.png",
    "report.html",
    "report.md",
}
VERSION_1 = ["schema_version", "created", "keras_pneumo", "model", "data", "threshold", "splits"]
DISCLAIMER = "For research and teaching. Not a medical device."
PICTURE = as_png(Figure(figsize=(2, 1), dpi=50))
TITLE = "Learning rate, by epoch"
RECIPE = {
    "data": {"name": "chest_xray", "splits": {"train": {"normal": 7, "pneumonia": 1234}}},
    "settings": {"image_size": [224, 224], "weights": "a<b>.h5", "dropout": 0.2, "config": None},
    "epochs": 4,
}


@pytest.fixture(scope="module")
def shortcuts():
    return shortcut_audit()


@pytest.fixture(scope="module")
def make_report(predictions):
    return partial(
        fake_reports.make_report,
        model="runs/a<b>&c.keras",
        predictions=predictions,
        data="chest_xray",
    )


@pytest.fixture(scope="module")
def report(make_report):
    return make_report()


@pytest.fixture(scope="module")
def shared(predictions):
    """Two patients are in both splits."""
    patients = [*predictions["validation"].patient_id[:4], *predictions["test"].patient_id[4:]]
    return {**predictions, "test": replace(predictions["test"], patient_id=patients)}


@pytest.fixture(scope="module")
def full(make_report, shared):
    """A report with everything in it but shortcuts, which are added after loading."""
    return make_report(
        predictions=shared,
        allow_shared_patients=True,
        temperature=1.5,
        prevalence=0.1,
        seed=3,
        recipe=RECIPE,
        data_audit=data_audit(),
        pictures={TITLE: PICTURE},
    )


@pytest.fixture(scope="module")
def saved(full, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "new" / "report"
    assert full.save(folder) == folder
    return folder


@pytest.fixture(scope="module")
def one_class(make_report, make_predictions):
    return make_report(model="m", predictions={"external": make_predictions(n_normal=0)})


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def all(self, tag):
        return [dict(attributes) for name, attributes in self.tags if name == tag]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))

    def handle_data(self, data):
        self.text.append(data)


def test_metrics_follow_the_schema(report, predictions):
    numbers = report.metrics()
    assert list(numbers) == [
        *VERSION_1,
        "temperature",
        "prevalence",
        "bootstrap",
        "operating_points",
        "shared_patients",
        "recipe",
        "data_audit",
        "shortcuts",
        "pictures",
    ]
    assert numbers["schema_version"] == 2
    assert datetime.fromisoformat(numbers["created"]).utcoffset() == timedelta(0)
    assert numbers["keras_pneumo"] == __version__
    assert numbers["threshold"] == THRESHOLD.to_dict()
    assert numbers["bootstrap"] == {"level": 0.95, "resamples": 50, "seed": 0, "unit": "patient"}
    assert list(numbers["splits"]) == ["validation", "test"]
    for name, split in numbers["splits"].items():
        found = predictions[name]
        assert list(split) == [
            "counts",
            "threshold",
            "metrics",
            "intervals",
            "reasons",
            "roc_auc_delong",
            "before_calibration",
        ]
        assert split["threshold"] == numbers["threshold"]
        assert list(split["metrics"]) == list(split["intervals"]) == list(METRICS)
        assert split["metrics"] == binary_metrics(found.y_true, found.y_score, 0.4)
        assert split["roc_auc_delong"] == list(delong_interval(found.y_true, found.y_score))
        assert split["before_calibration"] is None
        counts = split["counts"]
        assert (counts["images"], counts["patients"]) == (30, 15)
        assert counts["tn"] + counts["fp"] == counts["normal"] == 12
        assert counts["tp"] + counts["fn"] == counts["pneumonia"] == 18


def test_intervals_are_those_over_patients(full, shared):
    found = shared["test"]
    estimates = bootstrap_metrics(
        *(found.y_true, found.y_score, 0.4, found.patient_id),
        resamples=50,
        seed=3,
        prevalence=0.1,
    )
    split = full.metrics()["splits"]["test"]
    assert set(split["intervals"]) == {*METRICS, *PREDICTIVE_VALUES}
    for name, interval in split["intervals"].items():
        one = estimates[name]
        if interval is None:
            assert np.isnan(one.low)
            assert split["reasons"][name] == one.reason
        else:
            assert interval == {"low": one.low, "high": one.high, "method": one.method}


def test_numbers_before_calibration_are_those_of_the_scores_before_it(full, predictions):
    for name, split in full.metrics()["splits"].items():
        found = predictions[name]
        raw = binary_metrics(found.y_true, scale_temperature(found.y_score, 1 / 1.5), 0.4)
        assert split["before_calibration"] == {
            key: raw[key]
            for key in (
                "brier_score",
                "log_loss",
                "expected_calibration_error",
                "adaptive_calibration_error",
            )
        }


def test_what_is_done_to_the_numbers_does_not_reach_the_report(report):
    report.metrics()["splits"].clear()
    assert set(report.metrics()["splits"]) == {"validation", "test"}


@pytest.mark.parametrize(
    ("chosen_on", "policy", "splits", "expected"),
    [
        ("test", "youden", ["validation", "test"], {"test"}),
        ("none", "fixed=0.4", ["validation", "test"], {"validation"}),
        ("none", "fixed=0.4", ["test"], set()),
    ],
)
def test_other_thresholds_are_chosen_where_that_of_the_report_was(
    make_report, predictions, chosen_on, policy, splits, expected
):
    report = make_report(
        threshold=Threshold(0.4, policy, chosen_on),
        predictions={name: predictions[name] for name in splits},
    )
    points = report.metrics()["operating_points"]
    assert {point["chosen_on"] for point in points} == expected
    assert all(set(point["splits"]) == set(splits) for point in points)


def test_a_file_in_two_splits_is_refused(make_report, predictions):
    twice = replace(predictions["test"], filename=predictions["validation"].filename)
    with pytest.raises(PredictionsError, match=r"validation and test share 30: \S+, .* 27 more"):
        make_report(
            predictions={**predictions, "test": twice},
            allow_shared_patients=True,
        )


def test_a_patient_in_two_splits_is_refused_or_counted_and_stated(make_report, full, shared):
    with pytest.raises(PredictionsError) as refused:
        make_report(predictions=shared)
    for part in ("validation and test share 2", "validation_person0", "Split by patient", "allow_"):
        assert part in str(refused.value)
    assert full.metrics()["shared_patients"] == [{"splits": ["validation", "test"], "patients": 2}]
    for text in (full.to_text(), full.to_markdown()):
        assert "validation and test share 2 patient ids" in text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"prevalence": 1.0}, "prevalence"),
        ({"recipe": {"when": datetime.now()}}, "JSON values"),
        ({"recipe": {"loss": float("nan")}}, "JSON values"),
        ({"shortcuts": {"split": "test"}}, "Missing: images"),
        ({"data_audit": {"root": "x"}}, "Missing: splits"),
        ({"pictures": {"Curves": b"GIF89a"}}, "PNG file"),
        ({"pictures": {"ROC": PICTURE}}, "Choose another title"),
        ({"pictures": {"Shortcuts!": PICTURE}}, "Choose another title"),
        ({"pictures": {"!": PICTURE}}, "Choose another title"),
        ({"pictures": {"A b": PICTURE, "a-B": PICTURE}}, "Choose another title"),
    ],
)
def test_what_a_report_cannot_show_is_refused_at_once(make_report, fields, message):
    with pytest.raises(SettingsError, match=message):
        make_report(**fields)


def test_a_report_needs_a_split(make_report):
    with pytest.raises(PredictionsError, match="one split or more"):
        make_report(predictions={})


def test_the_documentation_describes_every_key(full, shortcuts):
    numbers = full.metrics()
    split = numbers["splits"]["test"]
    keys = {
        *numbers,
        *split,
        *split["counts"],
        *split["metrics"],
        *numbers["bootstrap"],
        *shortcuts,
    }
    keys |= {*numbers["threshold"], *numbers["operating_points"][0], *shortcuts["rows"][0]}
    keys |= {*shortcuts["probes"][0], *shortcuts["outside_centre"], *numbers["shared_patients"][0]}
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_every_metric_has_words():
    assert set(WORDS) == {*METRICS, *PREDICTIVE_VALUES}


def test_text_is_an_aligned_table_that_begins_with_the_headline(report):
    text = str(report)
    assert "Threshold    0.4 (youden, chosen on validation)" in text
    assert text.endswith(DISCLAIMER)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    start = next(i for i, line in enumerate(lines) if line.split() == ["validation", "test"])
    assert [line.split()[0] for line in lines[start + 1 : start + 4]] == [
        "roc_auc",
        "recall",
        "specificity",
    ]
    column = lines[start].index("test")
    rows = {line.split()[0]: line for line in lines[start:] if line}
    split = report.metrics()["splits"]["test"]
    auc, ends = split["metrics"]["roc_auc"], split["intervals"]["roc_auc"]
    told = f"{auc:.4f} [{ends['low']:.3f}, {ends['high']:.3f}]"
    assert rows["roc_auc"][column:] == told
    assert rows["tp"][column:] == str(split["counts"]["tp"])
    assert set(METRICS) < set(rows)


def test_markdown_has_whole_tables_and_the_limits_of_use(make_report, predictions, shortcuts):
    names = {"validation": predictions["validation"], "a|b": predictions["test"]}
    text = make_report(predictions=names, shortcuts=shortcuts, temperature=2).to_markdown()
    assert DISCLAIMER in text
    assert "another hospital" in text
    assert "a<b>" not in text.replace("\\<", "").replace("\\>", "")
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 5
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1
        assert set(table.splitlines()[1]) <= set("|-: ")
    assert "Lungs hidden" in text


def test_names_cannot_break_the_markdown(make_report, predictions):
    name = "a|b\n# c <d> &lt; _e_ snake_case"
    text = make_report(model=name, data=name, predictions={name: predictions["test"]}).to_markdown()
    assert r"a\|b # c \<d\> \&lt; \_e\_ snake_case" in text
    assert len(re.findall(r"^#+ ", text, re.MULTILINE)) == 4
    for line in re.findall(r"^\|.*", text, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", line)) == 3, line


def test_a_saved_report_is_whole(full, saved):
    assert {path.name for path in saved.iterdir()} == FILES | {"learning_rate_by_epoch.png"}
    assert json.loads((saved / "metrics.json").read_text()) == full.metrics()
    assert (saved / "report.md").read_text(encoding="utf-8") == full.to_markdown()
    read = read_csv(saved / "predictions.csv")
    np.testing.assert_array_equal(read["test"].y_score, full.predictions["test"].y_score)
    for path in saved.glob("*.png"):
        with Image.open(path) as image:
            image.verify()


def test_the_page_holds_everything_and_asks_for_nothing(full, saved):
    text = (saved / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    images = page.all("img")
    assert len(images) == 7
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    assert all(len(image["alt"]) > 10 for image in images)
    without_pictures = re.sub(r'src="data:[^"]*"', "", text)
    for outside in ("http:", "https:", "//", "url(", "@import", "<script", "<link", "src="):
        assert outside not in without_pictures
    assert "a&lt;b&gt;&amp;c.keras" in text
    assert "a<b>" not in text
    assert DISCLAIMER in text
    assert THRESHOLD.in_words() in " ".join(page.text)
    for split in full.metrics()["splits"].values():
        for name, value in split["metrics"].items():
            assert f">{value:,.4f}<" in text or value >= 10, name
    anchors = {one["href"] for one in page.all("a")}
    assert anchors == {f"#{one['id']}" for one in page.all("h2") if "id" in one}
    assert {"#calibration", "#prevalence", "#training", "#data"} <= anchors
    assert "#shortcuts" not in anchors
    shown = " ".join(" ".join(page.text).split())
    for part in ("1,234", "224, 224", "2 files left out: not an image", "share 5 patients"):
        assert part in shown


def test_a_path_is_not_passed_on(full, saved):
    assert full.metrics()["data_audit"]["root"] == "chest_xray"
    assert "somebody" not in (saved / "report.html").read_text(encoding="utf-8")


def test_further_pictures_are_saved_and_shown_under_their_title(full, saved):
    assert full.metrics()["pictures"] == {TITLE: "learning_rate_by_epoch.png"}
    assert (saved / "learning_rate_by_epoch.png").read_bytes() == PICTURE
    assert f"<b>{TITLE}.</b>" in (saved / "report.html").read_text(encoding="utf-8")


def test_undefined_metrics_are_null_and_said_with_their_reason(one_class, tmp_path):
    text = one_class.to_text()
    assert re.search(r"^roc_auc +–$", text, re.MULTILINE)
    assert "specificity on external: no image is NORMAL" in text
    folder = one_class.save(tmp_path / "report")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    numbers = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)
    split = numbers["splits"]["external"]
    metrics = split["metrics"]
    assert metrics["roc_auc"] is metrics["specificity"] is metrics["balanced_accuracy"] is None
    assert split["roc_auc_delong"] is None
    assert metrics["recall"] is not None
    undefined = [name for name, value in metrics.items() if value is None]
    assert set(undefined) <= set(split["reasons"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    table = page[page.index('id="metrics"') : page.index('id="errors"')]
    assert table.count(">undefined<") == len(undefined)
    assert table.count("no image is NORMAL") == len(undefined)


def test_a_loaded_report_has_the_same_numbers_and_can_be_saved_with_more(
    full, saved, shortcuts, tmp_path
):
    folder = tmp_path / "report"
    shutil.copytree(saved, folder)
    (folder / "old.png").touch()
    loaded = EvaluationReport.load(folder)
    assert loaded.metrics() == full.metrics()
    assert loaded.pictures == full.pictures
    replace(loaded, shortcuts=shortcuts).save(folder, overwrite=True)
    assert {path.name for path in folder.iterdir()} == FILES | {
        "learning_rate_by_epoch.png",
        "shortcuts.png",
    }
    again = EvaluationReport.load(folder).metrics()
    assert again == {**full.metrics(), "shortcuts": shortcuts}
    page = (folder / "report.html").read_text(encoding="utf-8")
    for part in ('id="shortcuts"', "Lungs hidden", "Uniform noise", "41 %"):
        assert part.replace(" %", "\N{NO-BREAK SPACE}%") in page


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_another_folder_is_not_loaded(tmp_path, content):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(OutputError, match=r"EvaluationReport\.save"):
        EvaluationReport.load(tmp_path)


def test_a_report_of_another_version_is_not_loaded(saved, tmp_path):
    numbers = json.loads((saved / "metrics.json").read_text())
    (tmp_path / "metrics.json").write_text(json.dumps(numbers | {"schema_version": 1}))
    with pytest.raises(OutputError, match=r"schema version 2\. Found 1 .* Evaluate the model"):
        EvaluationReport.load(tmp_path)


@pytest.mark.parametrize("missing", ["predictions.csv", "learning_rate_by_epoch.png"])
def test_a_report_that_is_not_whole_is_not_loaded(saved, tmp_path, missing):
    shutil.copytree(saved, tmp_path / "report")
    (tmp_path / "report" / missing).unlink()
    with pytest.raises(OutputError, match=f"not whole.*{missing}"):
        EvaluationReport.load(tmp_path / "report")


def test_an_occupied_folder_is_refused_and_kept(report, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "precious.txt").write_text("mine")
    with pytest.raises(OutputError, match="report"):
        report.save(tmp_path / "report")
    with pytest.raises(OutputError, match="something else"):
        report.save(tmp_path / "report", overwrite=True)
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["precious.txt"]


def test_a_perfect_and_a_useless_model_can_be_reported(make_report):
    y_true = [0, 1] * 6
    names = [f"p{i}" for i in range(12)], [f"{i}.jpeg" for i in range(12)]
    for y_score in (y_true, [0.5] * 12, [1 - y for y in y_true]):
        found = {"validation": Predictions(y_true, y_score, *names)}
        report = make_report(predictions=found, prevalence=0.2)
        assert report.to_text()
        assert report.to_markdown()
