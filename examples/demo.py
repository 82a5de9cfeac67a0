"""The whole job on synthetic radiographs: `python examples/demo.py FOLDER`.

No download, no data: phantoms are drawn, and the network starts from random weights. It shows how
everything fits together, not how well it works; for that, see the benchmarks.
"""

import sys
from pathlib import Path

from keras_pneumo import TrainSettings, predict_files, train, write_phantom_collection


def main(folder: Path) -> None:
    data = write_phantom_collection(folder / "phantoms", n_images=280, image_size=(128, 128))
    print(f"Synthetic radiographs: {data}")
    settings = TrainSettings(
        weights=None,
        image_size=(64, 64),
        batch_size=16,
        head_epochs=2,
        # Random weights: all of them have to learn, normalisation included.
        fine_tune_layers="all",
        fine_tune_learning_rate=1e-3,
        fine_tune_epochs=6,
        train_batch_norm=True,
        patience=6,
    )
    run = train(data, folder / "run", settings, prepared_dir=folder / "prepared")
    print(f"\n{run.report}\n")
    image = data / run.report.predictions["test"].filename[0]
    for found in predict_files(run.model, [image]):
        print(f"{found.file}: {found.label}, probability of PNEUMONIA {found.probability:.3f}")
    print(f"Report: {(run.directory / 'evaluation' / 'report.html').resolve()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
