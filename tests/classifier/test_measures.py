import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from recstage.classifier import calibration, measures
from recstage.config.classifier import ClassifierConfig

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.random((300, 4)) < np.array([0.5, 0.2, 0.1, 0.03])
SCORES = np.round(RANDOM.normal(size=(300, 4)) + 1.5 * TRUTH, 1)


def test_average_precision_and_f1_agree_with_scikit_learn():
    assert np.allclose(measures.average_precisions(TRUTH, SCORES), average_precision_score(TRUTH, SCORES, average=None))
    predicted = SCORES > 0.7
    assert np.allclose(measures.f1_scores(TRUTH, predicted), f1_score(TRUTH, predicted, average=None))
    assert measures.micro_f1(TRUTH, predicted) == pytest.approx(f1_score(TRUTH, predicted, average="micro"))


def test_a_class_without_positives_counts_in_no_mean():
    truth = TRUTH.copy()
    truth[:, 3] = False
    found = measures.summary(truth, SCORES, SCORES > 0.7)
    assert found["macro_f1"] == pytest.approx(f1_score(truth[:, :3], SCORES[:, :3] > 0.7, average="macro"))
    assert np.isnan(measures.average_precisions(truth, SCORES)[3])


def test_pairs_that_are_confused_are_counted():
    truth = np.array([[True, False], [True, False], [False, True]])
    predicted = np.array([[False, True], [True, False], [False, True]])
    assert measures.confusion_of_pairs(["A", "B"], truth, predicted).to_dict("records") == [
        {"missed": "A", "given": "B", "texts": 1}
    ]


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibration_keeps_the_order_and_lowers_the_error(method):
    config = ClassifierConfig(calibration=method, isotonic_positives=20)
    scores = 5 * SCORES + 3
    curve = calibration.fit(scores, TRUTH, config)
    probabilities = curve.probabilities(scores)
    assert np.all((probabilities > 0) & (probabilities < 1))
    assert np.allclose(
        measures.average_precisions(TRUTH, probabilities), measures.average_precisions(TRUTH, scores), atol=0.02
    )
    raw = measures.calibration_error(TRUTH, 1 / (1 + np.exp(-scores)))
    assert measures.calibration_error(TRUTH, probabilities) < raw / 3


def test_a_class_of_one_positive_takes_the_curve_of_all_classes():
    truth = TRUTH.copy()
    truth[:, 3] = False
    truth[0, 3] = True
    curve = calibration.fit(SCORES, truth, ClassifierConfig())
    assert curve.probabilities(np.full((1, 4), 9.0))[0, 3] < 1.0
    limits = calibration.thresholds(curve.probabilities(SCORES), truth)
    assert np.all((limits >= 0.05) & (limits <= 0.9))


def test_classes_told_apart_without_a_mistake_have_their_thresholds_in_between():
    truth = np.repeat([[True, False], [False, True]], 200, axis=0)
    limits = calibration.thresholds(np.where(truth, 0.9, 0.1), truth)
    assert np.all((limits > 0.4) & (limits < 0.6))
