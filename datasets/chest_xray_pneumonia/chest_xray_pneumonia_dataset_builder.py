"""The builder of keras-pneumo, where TensorFlow Datasets looks for one."""

from keras_pneumo.data.builder import ChestXrayPneumonia


# TFDS takes the one builder that is defined here, and would not see an imported one. The name
# chest_xray_pneumonia is registered by the base already, so this class must not claim it again.
class Builder(ChestXrayPneumonia, skip_registration=True):
    """Chest X-rays, NORMAL or PNEUMONIA, from a folder that you downloaded; see README.md."""
