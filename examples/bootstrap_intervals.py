"""95 % intervals over patients: `python examples/bootstrap_intervals.py REPORT_FOLDER`.

Images of one patient are not independent, so patients are drawn, not images: percentile bootstrap
of Efron (1979) on the clusters, 2,000 resamples.
"""

import json
import sys
from pathlib import Path

import numpy as np

from keras_pneumo.evaluation.metrics import binary_metrics
from keras_pneumo.evaluation.predictions import read_csv


def main(folder: Path, resamples: int = 2000, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    threshold = json.loads((folder / "metrics.json").read_text())["threshold"]["value"]
    rng = np.random.default_rng(seed)
    intervals = {}
    for split, found in read_csv(folder / "predictions.csv").items():
        _, patient = np.unique(found.patient_id, return_inverse=True)
        images_of = np.split(np.argsort(patient, kind="stable"), np.cumsum(np.bincount(patient)))
        draws = []
        for _ in range(resamples):
            drawn = rng.integers(found.n_patients, size=found.n_patients)
            images = np.concatenate([images_of[one] for one in drawn])
            draws.append(binary_metrics(found.y_true[images], found.y_score[images], threshold))
        point = binary_metrics(found.y_true, found.y_score, threshold)
        intervals[split] = {}
        for name, value in point.items():
            low, high = np.nanpercentile([draw[name] for draw in draws], [2.5, 97.5])
            intervals[split][name] = np.array([low, value, high])
            print(f"{split:<11} {name:<18} {value:.3f}  [{low:.3f}, {high:.3f}]")
    return intervals


if __name__ == "__main__":
    main(Path(sys.argv[1]))
