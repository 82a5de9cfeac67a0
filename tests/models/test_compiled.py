import keras
import tensorflow as tf
from small_network import SmallClassifier

from keras_pneumo.models.compiled import compiled, jit_compile


def test_a_cpu_with_tensorflow_waits_for_no_compiler():
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    # A bool, since Keras takes "auto" for True.
    assert jit_compile() is has_gpu
    model = SmallClassifier()
    assert model.jit_compile is has_gpu
    model.fine_tune("high")
    assert model.jit_compile is has_gpu


def test_a_model_that_is_not_compiled_is_as_one_of_ours():
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    compiled(model)
    assert model.jit_compile is jit_compile()
