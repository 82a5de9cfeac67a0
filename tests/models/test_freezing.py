import pytest

from keras_pneumo.errors import SettingsError
from keras_pneumo.models.freezing import top_layers

NAMES = ["input", "a1", "a2", "b1", "b2", "b3"]
STAGES = {"a": "a2", "b": "b3"}


@pytest.mark.parametrize(
    ("n_layers", "expected"),
    [
        (0, []),
        (1, ["b3"]),
        (4, ["a2", "b1", "b2", "b3"]),
        (6, NAMES),
        ("b", ["b1", "b2", "b3"]),
        ("a", NAMES),
        ("all", NAMES),
    ],
)
def test_top_layers_are_those_of_a_negative_slice(n_layers, expected):
    assert list(top_layers(NAMES, STAGES, n_layers)) == expected


@pytest.mark.parametrize("n_layers", [-1, 7, 2.0, True, None, "c", ""])
def test_anything_else_is_refused_with_what_is_allowed(n_layers):
    with pytest.raises(SettingsError, match=r"a, b") as raised:
        top_layers(NAMES, STAGES, n_layers)
    assert repr(n_layers) in str(raised.value)
