"""ResNet-50 features for scikit-learn: `python examples/extract_features.py CHEST_XRAY_FOLDER`."""

import sys

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_pneumo import PneumoniaResNet50, load_splits


def main(data_dir: str, weights: str | None, image_size: tuple[int, int]) -> float:
    model = PneumoniaResNet50(weights=weights, image_size=image_size)
    splits = load_splits(data_dir, image_size, augmentation="none")
    train, validation = (splits.examples(name).label for name in ("train", "validation"))

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced"))
    probe.fit(model.extract_features(splits.batches("train"), verbose=1), train)
    scores = probe.predict_proba(model.extract_features(splits.validation, verbose=1))[:, 1]
    return roc_auc_score(validation, scores)


if __name__ == "__main__":
    print(f"Validation AUC of a linear probe: {main(sys.argv[1], 'imagenet', (224, 224)):.4f}")
