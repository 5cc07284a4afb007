"""trainer.operating_point against scikit-learn and a search over all thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score, roc_curve

from trainer.metrics import log_odds, sigmoid
from trainer.operating_point import Choice, Costs, choose_threshold, curve_of
from trainer.threshold_rule import ThresholdRule

EQUAL = Costs()
ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(-6, 6), st.sampled_from([0.5, 1.0, 3.0])),
    min_size=1,
    max_size=40,
).filter(lambda rows: any(row[0] for row in rows))


def arrays(rows):
    label, logit, weight = zip(*rows, strict=True)
    return np.array(label), np.array(logit, np.float32) / 2, np.array(weight)


def decisions(logit):
    """Every set of rows that a threshold can select, the empty one too."""
    return [logit >= least for least in (*np.unique(logit), np.inf)]


def chosen(rule, rows, costs=EQUAL):
    label, logit, weight = rows
    choice = choose_threshold(rule, curve_of(label, logit, weight), costs)
    assert 0 < choice.threshold < 1
    by_probability = sigmoid(logit) >= choice.threshold
    assert (by_probability == (logit >= log_odds(choice.threshold))).all()
    return by_probability, choice


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_f1_is_the_largest_that_there_is(rows):
    label, logit, weight = arrays(rows)
    found, choice = chosen(ThresholdRule("f1"), (label, logit, weight))

    def f1(selected):
        return f1_score(label, selected, sample_weight=weight, zero_division=0)

    assert choice.is_reached
    assert f1(found) == pytest.approx(max(map(f1, decisions(logit))))


@settings(max_examples=100, deadline=None)
@given(ROWS, st.sampled_from([0.0, 0.2, 1.0, 9.0]), st.sampled_from([0.5, 1.0, 7.0]))
def test_cost_is_the_least_that_there_is(rows, false_positive, false_negative):
    label, logit, weight = arrays(rows)
    costs = Costs(false_positive, false_negative)
    found, _ = chosen(ThresholdRule("cost"), (label, logit, weight), costs)

    def cost(selected):
        wrong_yes, wrong_no = selected & ~label, label & ~selected
        return false_positive * weight[wrong_yes].sum() + false_negative * weight[wrong_no].sum()

    assert cost(found) == pytest.approx(min(map(cost, decisions(logit))))


@settings(max_examples=100, deadline=None)
@given(ROWS, st.sampled_from([0.25, 0.5, 0.75, 1.0]), st.booleans())
def test_a_level_is_reached_at_the_best_of_the_other(rows, level, is_precision):
    label, logit, weight = arrays(rows)
    name = "precision" if is_precision else "recall"
    found, choice = chosen(ThresholdRule(name, level), (label, logit, weight))

    def both(selected):
        pair = [
            score(label, selected, sample_weight=weight, zero_division=0)
            for score in (precision_score, recall_score)
        ]
        return pair if is_precision else pair[::-1]

    reachable = [
        both(selected) for selected in decisions(logit) if both(selected)[0] > level - 1e-9
    ]
    assert choice.is_reached == bool(reachable)
    if reachable:
        assert both(found)[0] >= level - 1e-9
        assert both(found)[1] == pytest.approx(max(other for _, other in reachable))
    else:
        best = max(both(selected)[0] for selected in decisions(logit))
        assert both(found)[0] == pytest.approx(best)


@settings(max_examples=60, deadline=None)
@given(ROWS.filter(lambda rows: not all(row[0] for row in rows)))
def test_rates_of_the_curve_are_those_of_scikit_learn(rows):
    label, logit, weight = arrays(rows)
    curve = curve_of(label, logit, weight)
    false, true, least = roc_curve(label, logit, sample_weight=weight, drop_intermediate=False)
    np.testing.assert_array_equal(curve.logit_G, least[1:])
    np.testing.assert_allclose(curve.recall_G, true[1:], atol=1e-12)
    np.testing.assert_allclose(curve.false_positive_rate_G, false[1:], atol=1e-12)


def test_rows_of_one_class():
    rows = np.zeros(3, bool), np.array([0.0, 1.0, 2.0]), np.ones(3)
    assert chosen(ThresholdRule("f1"), rows)[1] == Choice(0.5)
    assert chosen(ThresholdRule("precision", 0.9), rows)[1] == Choice(0.5, is_reached=False)
    found, _ = chosen(ThresholdRule("cost"), rows)
    assert not found.any()


def test_a_number_is_itself_and_the_middle_lies_between_two_logits():
    rows = np.array([True, False]), np.array([3.0, 1.0]), np.ones(2)
    assert chosen(ThresholdRule("number", 0.3), rows)[1].threshold == 0.3
    assert chosen(ThresholdRule("f1"), rows)[1].threshold == pytest.approx(float(sigmoid(2.0)))


def test_logits_without_a_probability_of_their_own_stay_apart_from_0_and_1():
    rows = np.array([True, False]), np.array([300.0, 200.0]), np.ones(2)
    choice = choose_threshold(ThresholdRule("f1"), curve_of(*rows), Costs())
    assert 0 < choice.threshold < np.float32(choice.threshold + 1e-7) <= 1
