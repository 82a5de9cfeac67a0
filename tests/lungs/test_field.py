import numpy as np
import pytest

from keras_pneumo.lungs.field import lung_field


def chest(*parts, side=100):
    """Probabilities of an image with parts, each (left, top, right, bottom) in pixels."""
    probability = np.full((side, side), 0.1)
    for left, top, right, bottom in parts:
        probability[top:bottom, left:right] = 0.9
    return probability


LEFT, RIGHT = (10, 20, 40, 80), (60, 20, 90, 80)


def test_two_lungs_are_plausible_and_measured():
    found = lung_field(chest(LEFT, RIGHT), "a.jpeg")
    assert found.file == "a.jpeg"
    assert found.plausible
    assert found.box == pytest.approx((0.1, 0.2, 0.9, 0.8))
    assert (found.area, found.fields, found.balance, found.edge) == (0.36, 2, 1.0, 0.0)
    assert found.mask.sum() == 3600


def test_lungs_that_run_together_are_plausible():
    found = lung_field(chest(LEFT, RIGHT, (40, 50, 60, 55)))
    assert (found.fields, found.plausible) == (1, True)


def test_specks_are_left_out():
    found = lung_field(chest(LEFT, RIGHT, (0, 95, 5, 100)))
    assert found.box == pytest.approx((0.1, 0.2, 0.9, 0.8))
    assert found.plausible


def test_a_middle_that_divides_a_column_counts_it_for_both():
    assert lung_field(chest((0, 0, 5, 5), side=5)).balance == pytest.approx(1)


@pytest.mark.parametrize(
    ("parts", "doubt"),
    [
        ([(40, 40, 60, 60)], "covers 4% of the image"),
        ([(5, 5, 95, 95)], "covers 81% of the image"),
        ([LEFT, RIGHT, (45, 20, 55, 80)], "has 3 parts"),
        ([LEFT, (80, 20, 90, 80)], "one side has 33% of the area"),
        ([(0, 0, 45, 90), (55, 0, 100, 80)], "touches 90% of a side"),
    ],
)
def test_each_number_can_raise_a_doubt(parts, doubt):
    found = lung_field(chest(*parts))
    assert [doubt in said for said in found.doubts] == [True]
    assert not found.plausible


def test_a_network_that_wavers_is_a_doubt():
    found = lung_field(np.where(chest(LEFT, RIGHT) > 0.5, 0.8, 0.02))
    assert found.vagueness == pytest.approx(1)
    assert found.doubts == ("the network wavers: 1.00, not at most 0.55",)


def test_nothing_found_is_a_doubt():
    found = lung_field(chest())
    assert found.doubts == ("there is no lung field",)
    assert found.box is None
    assert not found.mask.any()
