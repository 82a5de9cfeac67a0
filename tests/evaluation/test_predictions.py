from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from keras_pneumo.errors import PredictionsError
from keras_pneumo.evaluation.predictions import COLUMNS, Predictions, read_csv, write_csv

FINE = {
    "y_true": [0, 1, 1],
    "y_score": [0.1, 0.7, 1.0],
    "patient_id": ["a", "b", "b"],
    "filename": ["1.png", "2.png", "3.png"],
}


def test_arrays_have_the_promised_types_and_cannot_be_changed():
    scores = np.array([0.1, 0.7, 1.0], dtype=np.float32)
    found = Predictions(**FINE | {"y_true": [False, True, True], "y_score": scores})
    assert found.y_true.dtype == np.int64
    assert found.y_score.dtype == np.float64
    assert found.patient_id.dtype.kind == found.filename.dtype.kind == "U"
    assert len(found) == 3
    assert found.n_patients == 2
    scores[0] = 0.9
    assert found.y_score[0] == np.float32(0.1)
    with pytest.raises(ValueError, match="read-only"):
        found.y_score[0] = 0.5
    with pytest.raises(FrozenInstanceError):
        found.y_score = scores  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_true": [0, 1]}, r"same shape.*y_true \(2,\), y_score \(3,\)"),
        ({"patient_id": ["a"]}, r"same shape.*patient_id \(1,\)"),
        ({"filename": [["1", "2", "3"]]}, r"same shape.*filename \(1, 3\)"),
        ({"y_true": [0, 2, 1]}, r"0 \(NORMAL\) or 1 \(PNEUMONIA\).*2\.0 at position 1"),
        ({"y_true": [0, 0.5, 1]}, r"0 \(NORMAL\) or 1 \(PNEUMONIA\).*0\.5 at position 1"),
        ({"y_true": ["NORMAL", "PNEUMONIA", "NORMAL"]}, "flat sequence of numbers.*'NORMAL'"),
        ({"y_score": [0.1, np.nan, 0.5]}, "nan at position 1"),
        ({"y_score": [0.1, 0.2, np.inf]}, "inf at position 2"),
        ({"y_score": [-0.1, 1.1, 0.2]}, r"-0\.1 at position 0 \(2 such entries of 3\).*sigmoid"),
        ({"y_score": [[0.1], [0.2], [0.3]]}, r"shape \(3, 1\).*ravel"),
        ({name: [] for name in FINE}, "at least one image"),
    ],
)
def test_wrong_arrays_are_refused_with_what_arrived(changed, message):
    with pytest.raises(PredictionsError, match=message):
        Predictions(**FINE | changed)


def test_csv_round_trip_is_exact(tmp_path, make_predictions):
    awkward = Predictions(
        [0, 1, 1, 0],
        [1 / 3, np.nextafter(1, 0), 5e-324, 0.1 + 0.2],
        ["plain", "with, comma", 'with "quotes"', "Zoë\nnext line"],
        ["a.jpeg", "IM-0115-0001.jpeg", " leading space.png", "=1+1"],
    )
    written = {"validation": make_predictions(), "test": awkward}
    write_csv(tmp_path / "new" / "predictions.csv", written)
    read = read_csv(tmp_path / "new" / "predictions.csv")
    assert list(read) == ["validation", "test"]
    for split, found in written.items():
        for field in fields(Predictions):
            np.testing.assert_array_equal(
                getattr(read[split], field.name), getattr(found, field.name)
            )


def test_csv_has_the_documented_columns(tmp_path):
    write_csv(tmp_path / "p.csv", {"test": Predictions(**FINE)})
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS) == "split,filename,patient_id,y_true,y_score"
    assert lines[2] == "test,2.png,b,1,0.7"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("split,filename,y_true\n", "Missing: patient_id, y_score in .*p.csv"),
        ("", "Missing: split, filename"),
        ("split,filename,patient_id,y_true,y_score\n", "one row or more"),
        ("split,filename,patient_id,y_true,y_score\ntest,a,b,1,high\n", "'1' and 'high'.*line 2"),
        ("split,filename,patient_id,y_true,y_score\ntest,a,b\n", "None and None.*line 2"),
        ("split,filename,patient_id,y_true,y_score\ntest,a,b,1,7\n", r"split 'test' of .*p.csv.*7"),
    ],
)
def test_a_wrong_csv_is_refused_with_the_place(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(PredictionsError, match=message):
        read_csv(tmp_path / "p.csv")


def test_a_spreadsheet_may_add_a_byte_order_mark_and_a_column(tmp_path):
    text = "split,filename,patient_id,y_true,y_score,note\r\ntest,a,b,1,0.5,blurred\r\n"
    (tmp_path / "p.csv").write_text(text, encoding="utf-8-sig", newline="")
    assert read_csv(tmp_path / "p.csv")["test"].y_score.tolist() == [0.5]


def test_nothing_is_written_without_a_split(tmp_path):
    with pytest.raises(PredictionsError, match="one split or more"):
        write_csv(tmp_path / "p.csv", {})
    assert list(tmp_path.iterdir()) == []
