import numpy as np
import pytest
from scipy.special import logit

from keras_pneumo.errors import SettingsError


def test_the_logit_is_divided_by_the_temperature(model, images):
    assert model.temperature == 1
    before = logit(model.predict(images, verbose=0).astype(float))
    model.temperature = 2.5
    after = logit(model.predict(images, verbose=0).astype(float))
    np.testing.assert_allclose(after, before / 2.5, atol=1e-5)


def test_training_does_not_move_the_temperature(model, images):
    model.temperature = 3.0
    trainable = model.fine_tune(10, learning_rate=1e-2, run_eagerly=True)
    assert "calibration" not in trainable.layers
    model.train_on_batch(images, np.arange(len(images)) % 2)
    assert model.temperature == pytest.approx(3.0)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_temperature_is_a_finite_number_above_0(untouched_model, value):
    with pytest.raises(SettingsError, match="above 0"):
        untouched_model.temperature = value
