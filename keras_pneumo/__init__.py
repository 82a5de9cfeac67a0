"""Pneumonia on chest X-rays with Keras 3. For research and teaching; not a medical device.

The names below are imported when they are first used, so that ``import keras_pneumo`` pulls
neither keras nor tensorflow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_pneumo.data.audit import audit
    from keras_pneumo.data.phantom import write_phantom_collection
    from keras_pneumo.data.pipeline import load_splits
    from keras_pneumo.evaluation.report import EvaluationReport
    from keras_pneumo.inference import open_model, predict_files
    from keras_pneumo.inspection.gradcam import explain
    from keras_pneumo.inspection.shortcuts import measure_shortcuts
    from keras_pneumo.models.classifier import PneumoniaClassifier
    from keras_pneumo.models.resnet50 import PneumoniaResNet50
    from keras_pneumo.reporting import evaluate
    from keras_pneumo.training.settings import TrainSettings
    from keras_pneumo.training.train import train

__version__ = "0.1.0"

__all__ = [
    "EvaluationReport",
    "PneumoniaClassifier",
    "PneumoniaResNet50",
    "TrainSettings",
    "audit",
    "evaluate",
    "explain",
    "load_splits",
    "measure_shortcuts",
    "open_model",
    "predict_files",
    "train",
    "write_phantom_collection",
]

_HOMES = {
    "EvaluationReport": "evaluation.report",
    "PneumoniaClassifier": "models.classifier",
    "PneumoniaResNet50": "models.resnet50",
    "TrainSettings": "training.settings",
    "audit": "data.audit",
    "evaluate": "reporting",
    "explain": "inspection.gradcam",
    "load_splits": "data.pipeline",
    "measure_shortcuts": "inspection.shortcuts",
    "open_model": "inference",
    "predict_files": "inference",
    "train": "training.train",
    "write_phantom_collection": "data.phantom",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
