import numpy as np

from recstage.promotion.classifier_gate import paired_precision


def test_a_better_order_is_a_significant_gain_and_the_same_order_is_none():
    random = np.random.default_rng(0)
    truth = random.random((200, 3)) < 0.3
    good, poor = truth + random.normal(0, 0.5, truth.shape), truth + random.normal(0, 3, truth.shape)
    paired = paired_precision(truth, good, poor, confidence=0.95)
    assert paired.low > 0
    assert paired.p_value < 0.05
    same = paired_precision(truth, good, good, confidence=0.95)
    assert (same.difference, same.p_value) == (0.0, 1.0)
