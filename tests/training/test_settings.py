import json
from dataclasses import FrozenInstanceError

import pytest

from keras_pneumo import TrainSettings
from keras_pneumo.errors import SettingsError


def test_settings_survive_json():
    settings = TrainSettings(image_size=(64, 96), fine_tune_layers=10, weights=None, seed=7)
    assert TrainSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        TrainSettings().seed = 1


@pytest.mark.parametrize(
    "values",
    [
        {"head_epochs": 0},
        {"fine_tune_epochs": -1},
        {"patience": 0},
        {"views": 0},
        {"head_learning_rate": 0.0},
        {"fine_tune_learning_rate": -1e-5},
        {"schedule": "linear"},
        {"weight_decay": -0.1},
        {"ema_momentum": 1.0},
        {"label_smoothing": 1.0},
    ],
)
def test_a_value_out_of_range_is_named(values):
    (name,) = values
    with pytest.raises(SettingsError, match=f"`{name}`"):
        TrainSettings(**values)


def test_an_unknown_threshold_policy_is_refused_before_the_training():
    with pytest.raises(SettingsError, match="best_f1"):
        TrainSettings(threshold="best_f1")


def test_an_unknown_architecture_is_refused_with_those_that_are_known():
    with pytest.raises(SettingsError, match=r"'resnet50'.*Received: 'vgg16'"):
        TrainSettings(model="vgg16")


def test_settings_of_before_there_were_architectures_are_those_of_resnet50():
    values = TrainSettings().to_dict()
    del values["model"]
    assert TrainSettings.from_dict(values) == TrainSettings(model="resnet50")


def test_an_unknown_name_is_refused():
    with pytest.raises(SettingsError, match="epochs"):
        TrainSettings.from_dict({"epochs": 3})
