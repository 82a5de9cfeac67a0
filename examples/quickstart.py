"""Train, evaluate, predict: `python examples/quickstart.py CHEST_XRAY_FOLDER RUN_FOLDER`."""

import sys
from pathlib import Path

from keras_pneumo import (
    PneumoniaResNet50,
    TrainSettings,
    evaluate,
    load_splits,
    predict_files,
    train,
)


def main(data_dir: str, output: str, settings: TrainSettings) -> None:
    # Both phases; the best epoch by validation AUC; the threshold chosen on validation.
    run = train(data_dir, output, settings)
    print(run.report)

    # Later, or elsewhere: the saved model knows its threshold and where it comes from.
    model = PneumoniaResNet50.from_pretrained(f"{output}/model")
    splits = load_splits(data_dir, model.image_size)
    report = evaluate(model, splits, "test")
    report.save(f"{output}/again")

    # Any JPEG or PNG, of any size, grayscale or RGB.
    file = next(Path(data_dir).rglob("test/PNEUMONIA/*.jpeg"))
    for found in predict_files(model, [file]):
        print(found.file, found.label, found.probability)


if __name__ == "__main__":
    main(*sys.argv[1:3], TrainSettings())
