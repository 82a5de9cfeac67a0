"""Predict with a model of the Hub: `python examples/load_from_hub.py OWNER/NAME TAG IMAGE...`."""

import sys

from keras_pneumo import PneumoniaResNet50, predict_files


def main(repo_id: str, revision: str, files: list[str]) -> None:
    # Downloaded the first time, from the cache afterwards.
    model = PneumoniaResNet50.from_pretrained(repo_id, revision=revision)
    data = model.metadata.get("data", {}).get("name", "images that are not recorded")
    print(f"Trained on {data}; PNEUMONIA from a probability of {model.threshold:.3f}")

    for found in predict_files(model, files):
        print(found.file, found.label, found.probability)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
