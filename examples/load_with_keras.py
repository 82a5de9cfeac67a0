"""Open a saved model without keras-pneumo: `python examples/load_with_keras.py MODEL IMAGE`."""

import json
import sys
from pathlib import Path

import keras


def main(folder: str, file: str) -> float:
    model = keras.saving.load_model(folder)
    description = json.loads((Path(folder) / "keras_pneumo.json").read_text())
    # The preprocessing is inside the model: it takes RGB in [0, 255]. Bicubic, as in training.
    size = description["image_size"]
    image = keras.utils.load_img(file, target_size=size, interpolation="bicubic")
    probability = float(model.predict(keras.utils.img_to_array(image)[None], verbose=0)[0, 0])
    label = description["labels"][probability >= description["threshold"]]
    print(f"{label}, probability of PNEUMONIA {probability:.3f}")
    return probability


if __name__ == "__main__":
    main(*sys.argv[1:3])
