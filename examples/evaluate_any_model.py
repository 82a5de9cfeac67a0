"""Evaluate scores from anywhere: `python examples/evaluate_any_model.py REPORT_FOLDER`.

Neither Keras nor TensorFlow is needed: labels, scores and patients are enough. Here they come from
a logistic regression of scikit-learn on a data set that it brings along.
"""

import sys

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_pneumo import EvaluationReport
from keras_pneumo.evaluation.predictions import Predictions
from keras_pneumo.evaluation.thresholds import choose_threshold


def main(output: str) -> EvaluationReport:
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_rest, y_train, y_rest = train_test_split(x, y, test_size=0.6, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x_train, y_train)

    # One row per patient here; several images of one patient would share their number.
    scores = model.predict_proba(x_rest)[:, 1]
    rows = [f"patient{i}" for i in range(len(y_rest))]
    validation, test = (
        Predictions(y_rest[part], scores[part], rows[part], rows[part])
        for part in (slice(0, 150), slice(150, None))
    )
    threshold = choose_threshold(validation.y_true, validation.y_score, "sensitivity=0.95")
    report = EvaluationReport(
        model="Logistic regression",
        threshold=threshold,
        predictions={"validation": validation, "test": test},
        data="scikit-learn's breast cancer data",
    )
    report.save(output)
    print(report)
    return report


if __name__ == "__main__":
    main(*sys.argv[1:])
