"""The tree of errors that keras-pneumo raises.

Every message says the rule, what arrived, where, and what to do next. Catch
``KerasPneumoError`` to catch them all; most are a ``ValueError`` too, as Keras users expect.
"""


class KerasPneumoError(Exception):
    """The base of every error that this package raises on purpose."""


class SettingsError(KerasPneumoError, ValueError):
    """An argument or setting is outside what is allowed."""


class DataError(KerasPneumoError, ValueError):
    """A collection of images is not what it has to be."""


class LayoutError(DataError):
    """A folder is no collection: a class, a split or every image is missing."""


class ImageError(DataError):
    """One image file cannot be read."""


class PredictionsError(KerasPneumoError, ValueError):
    """Predictions cannot be evaluated: shapes, labels or scores are wrong."""


class WeightsError(KerasPneumoError, ValueError):
    """A weights file or a saved model cannot be used."""


class OutputError(KerasPneumoError, OSError):
    """An output already exists, or belongs to something else."""


class TrainingError(KerasPneumoError, ArithmeticError):
    """A training cannot go on: its loss or its scores are no numbers."""


class HubError(KerasPneumoError, OSError):
    """The Hugging Face Hub, or another source of downloads, cannot give or take what was asked."""
