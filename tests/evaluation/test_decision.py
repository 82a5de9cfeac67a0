import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.decision import decision_curve, net_benefit

few = settings(max_examples=30, deadline=None)
images = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(np.linspace(0, 1, 21).tolist())), min_size=1
)


@given(images, st.sampled_from([0, 0.05, 0.3, 0.5, 0.85, 0.99]))
@few
def test_net_benefit_is_that_of_the_confusion_matrix(rows, threshold):
    y_true, y_score = np.array(rows).T
    tn, fp, fn, tp = confusion_matrix(y_true, y_score >= threshold, labels=[0, 1]).ravel()
    n = tn + fp + fn + tp
    expected = tp / n - fp / n * threshold / (1 - threshold)
    assert net_benefit(y_true, y_score, [threshold])[0] == pytest.approx(expected, abs=1e-12)


def test_at_one_half_a_false_alarm_costs_what_a_found_pneumonia_is_worth():
    y_true = [1] * 6 + [0] * 4
    y_score = [0.9] * 5 + [0.1] + [0.8] * 2 + [0.2] * 2
    assert net_benefit(y_true, y_score, [0.5]) == pytest.approx((5 - 2) / 10)
    assert net_benefit(y_true, y_score, [0.25]) == pytest.approx((5 - 2 / 3) / 10)


def test_treating_all_is_worth_nothing_where_the_threshold_is_the_share_of_pneumonia():
    curve = decision_curve([0, 0, 0, 1], [0.2, 0.4, 0.6, 0.8], thresholds=[0, 0.25, 0.5])
    np.testing.assert_allclose(curve.treat_all, [0.25, 0, -0.5], atol=1e-12)
    np.testing.assert_array_equal(curve.treat_none, [0, 0, 0])


def test_a_perfect_model_is_worth_the_share_of_pneumonia_at_every_threshold():
    curve = decision_curve([0, 0, 0, 1], [0, 0, 0, 1])
    assert curve.thresholds[[0, 1, -1]].tolist() == [0, 0.01, 0.99]
    np.testing.assert_allclose(curve.model[1:], 0.25)


@given(images)
@few
def test_no_model_beats_perfection_and_calling_all_is_every_models_left_end(rows):
    y_true, y_score = np.array(rows).T
    curve = decision_curve(y_true, y_score)
    assert (curve.model <= y_true.mean() + 1e-12).all()
    assert curve.model[0] == curve.treat_all[0] == pytest.approx(y_true.mean())
    order = np.argsort(y_score)
    np.testing.assert_array_equal(decision_curve(y_true[order], y_score[order]).model, curve.model)


@pytest.mark.parametrize("thresholds", [[1.0], [-0.1], [np.nan], 0.5, [[0.5]]])
def test_a_threshold_outside_zero_to_one_is_refused(thresholds):
    with pytest.raises(SettingsError, match=r"\[0, 1\)"):
        net_benefit([0, 1], [0.2, 0.8], thresholds)


def test_bad_scores_are_refused():
    with pytest.raises(PredictionsError, match="`y_score`"):
        decision_curve([0, 1], [0.2, np.nan])
