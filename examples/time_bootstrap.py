"""How long do intervals take? `python examples/time_bootstrap.py [PREDICTIONS_CSV]`.

All metrics, 2,000 resamples of the patients, BCa: the median of five runs for each split. Without a
file, of 624 synthetic predictions of 404 patients, as many as the official test split has.
"""

import sys
from statistics import median
from time import perf_counter

import numpy as np

from keras_pneumo.evaluation.bootstrap import bootstrap_metrics
from keras_pneumo.evaluation.metrics import METRICS
from keras_pneumo.evaluation.predictions import Predictions, read_csv


def synthetic(images: int = 624, patients: int = 404, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    y_true = rng.binomial(1, 0.62, images)
    y_score = 1 / (1 + np.exp(-rng.normal(4 * y_true - 1, 2)))
    number = np.arange(images)
    return Predictions(y_true, y_score, (number % patients).astype(str), number.astype(str))


def main(path: str | None = None, resamples: int = 2000, runs: int = 5) -> dict[str, float]:
    seconds = {}
    for split, found in (read_csv(path) if path else {"synthetic": synthetic()}).items():
        taken = []
        for _ in range(runs):
            start = perf_counter()
            bootstrap_metrics(
                found.y_true, found.y_score, 0.5, found.patient_id, resamples=resamples
            )
            taken.append(perf_counter() - start)
        seconds[split] = median(taken)
        print(
            f"{split}: {len(METRICS)} metrics of {len(found)} images, {found.n_patients} patients, "
            f"{resamples:,} resamples: {seconds[split]:.2f} s"
        )
    return seconds


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
