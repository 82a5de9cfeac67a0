import json
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from keras_pneumo import __version__
from keras_pneumo.errors import OutputError, PredictionsError, SettingsError
from keras_pneumo.evaluation.metrics import binary_metrics
from keras_pneumo.evaluation.predictions import read_csv
from keras_pneumo.evaluation.report import EvaluationReport
from keras_pneumo.evaluation.thresholds import Threshold

FILES = {
    "metrics.json",
    "predictions.csv",
    "roc.png",
    "precision_recall.png",
    "confusion_matrix.png",
    "scores.png",
    "report.html",
}
DISCLAIMER = "For research and teaching. Not a medical device."
THRESHOLD = Threshold(0.4, "youden", "validation")


@pytest.fixture(scope="module")
def report(predictions):
    return EvaluationReport("runs/a<b>&c.keras", THRESHOLD, predictions, "chest_xray")


@pytest.fixture(scope="module")
def saved(report, tmp_path_factory):
    figure = Figure(figsize=(2, 1), dpi=50)
    folder = tmp_path_factory.mktemp("saved") / "new" / "report"
    assert report.save(folder, figures={"Learning rate, by epoch": figure}) == folder
    return folder


@pytest.fixture
def one_class(make_predictions):
    return EvaluationReport("m", THRESHOLD, {"external": make_predictions(n_normal=0)}, "d")


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def all(self, tag):
        return [dict(attributes) for name, attributes in self.tags if name == tag]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))


def test_metrics_follow_the_schema(report, predictions):
    numbers = report.metrics()
    assert list(numbers) == [
        "schema_version",
        "created",
        "keras_pneumo",
        "model",
        "data",
        "threshold",
        "splits",
    ]
    assert numbers["schema_version"] == 1
    assert datetime.fromisoformat(numbers["created"]).utcoffset() == timedelta(0)
    assert numbers["keras_pneumo"] == __version__
    assert numbers["threshold"] == THRESHOLD.to_dict()
    assert list(numbers["splits"]) == ["validation", "test"]
    for name, split in numbers["splits"].items():
        found = predictions[name]
        assert list(split) == ["counts", "threshold", "metrics"]
        assert split["threshold"] == numbers["threshold"]
        assert split["metrics"] == binary_metrics(found.y_true, found.y_score, 0.4)
        counts = split["counts"]
        assert (counts["images"], counts["patients"]) == (30, 15)
        assert counts["tn"] + counts["fp"] == counts["normal"] == 12
        assert counts["tp"] + counts["fn"] == counts["pneumonia"] == 18


def test_text_is_an_aligned_table_of_the_same_numbers(report):
    text = str(report)
    assert "Threshold  0.4 (youden, chosen on validation)" in text
    assert text.endswith(DISCLAIMER)
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    metrics = report.metrics()["splits"]["test"]["metrics"]
    assert rows["roc_auc"].split()[2] == f"{metrics['roc_auc']:.4f}"
    table = [rows[key] for key in ("validation", "images", "tp", *metrics)]
    assert len({len(line) for line in table}) == 1


def test_a_saved_report_is_whole(report, saved):
    assert {path.name for path in saved.iterdir()} == FILES | {"learning_rate_by_epoch.png"}
    assert json.loads((saved / "metrics.json").read_text()) == report.metrics()
    read = read_csv(saved / "predictions.csv")
    np.testing.assert_array_equal(read["test"].y_score, report.predictions["test"].y_score)
    for path in saved.glob("*.png"):
        with Image.open(path) as image:
            image.verify()


def test_the_page_holds_everything_and_asks_for_nothing(report, saved):
    text = (saved / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    images = page.all("img")
    assert len(images) == 5
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    assert all(len(image["alt"]) > 10 for image in images)
    without_pictures = re.sub(r'src="data:[^"]*"', "", text)
    for outside in ("http:", "https:", "//", "url(", "@import", "<script", "<link", "src="):
        assert outside not in without_pictures
    assert "a&lt;b&gt;&amp;c.keras" in text
    assert "a<b>" not in text
    assert DISCLAIMER in text
    assert THRESHOLD.in_words().replace("'", "&#39;") in text
    for split in report.metrics()["splits"].values():
        for value in split["metrics"].values():
            assert f"<td>{value:.4f}</td>" in text
    assert "prefers-color-scheme: dark" in text


def test_further_figures_are_saved_and_shown_under_their_title(saved):
    with Image.open(saved / "learning_rate_by_epoch.png") as image:
        assert image.size == (100, 50)
    assert "<h2>Learning rate, by epoch</h2>" in (saved / "report.html").read_text()


@pytest.mark.parametrize("title", ["ROC", "!", "Scores"])
def test_a_title_without_a_file_name_of_its_own_is_refused(report, tmp_path, title):
    with pytest.raises(SettingsError, match="Choose another title"):
        report.save(tmp_path / "report", figures={title: Figure()})
    assert list(tmp_path.iterdir()) == []


def test_undefined_metrics_are_null_and_said(one_class, tmp_path):
    assert re.search(r"^roc_auc +–$", one_class.to_text(), re.MULTILINE)
    folder = one_class.save(tmp_path / "report")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (folder / "metrics.json").read_text()
    metrics = json.loads(text, parse_constant=refuse)["splits"]["external"]["metrics"]
    assert metrics["roc_auc"] is metrics["specificity"] is metrics["balanced_accuracy"] is None
    assert metrics["recall"] is not None
    assert (folder / "report.html").read_text().count(">undefined<") == 4


def test_an_occupied_folder_is_refused_and_kept(report, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "precious.txt").write_text("mine")
    with pytest.raises(OutputError, match="report"):
        report.save(tmp_path / "report")
    with pytest.raises(OutputError, match="something else"):
        report.save(tmp_path / "report", overwrite=True)
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["precious.txt"]


def test_an_older_report_is_replaced_as_a_whole_if_told(report, tmp_path):
    report.save(tmp_path / "report")
    (tmp_path / "report" / "old.png").touch()
    report.save(tmp_path / "report", overwrite=True)
    assert {path.name for path in (tmp_path / "report").iterdir()} == FILES


def test_a_report_needs_a_split():
    with pytest.raises(PredictionsError, match="one split or more"):
        EvaluationReport("m", THRESHOLD, {}, "d")
