"""trainer.calibration against scikit-learn, and against its own definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from trainer.calibration import Calibration, fit_calibration, pool_falling
from trainer.metrics import sigmoid


def made(num_rows=3000, num_outputs=1, seed=0):
    """Labels of logits that are twice too large and shifted, and weights of mean 1."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 1.5, (num_rows, num_outputs))
    label = (rng.random((num_rows, num_outputs)) < sigmoid(true)).astype(np.float32)
    weight = rng.uniform(0.2, 3, num_rows)
    return label, (2 * true + 0.7).astype(np.float32), weight / weight.mean()


def test_platt_is_that_of_scikit_learn():
    label, logits, weight = made()
    found = fit_calibration("platt", "binary", label, logits, 5 * weight)
    # It learns sigmoid(-(a z + b)), from weights as they are.
    theirs = _SigmoidCalibration().fit(logits[:, 0].astype(np.float64), label[:, 0], weight)
    assert found.scales[0] == pytest.approx(-theirs.a_, rel=1e-4)
    assert found.shifts[0] == pytest.approx(-theirs.b_, rel=1e-3)
    # The truth is logits / 2 - 0.35, known up to the noise of 3,000 rows.
    assert (found.scales[0], found.shifts[0]) == pytest.approx((0.5, -0.35), abs=0.06)


def test_platt_of_several_labels_is_that_of_each_alone():
    label, logits, weight = made(num_outputs=4)
    label[:, 3] = 0
    found = fit_calibration("platt", "multilabel", label, logits, weight)
    for k in range(3):
        one = fit_calibration("platt", "binary", label[:, [k]], logits[:, [k]], weight)
        assert found.scales[k] == pytest.approx(one.scales[0], rel=1e-6)
        assert found.shifts[k] == pytest.approx(one.shifts[0], rel=1e-5)
    assert (found.scales[3], found.shifts[3]) == (1.0, 0.0)  # no row has it: nothing is known
    expected = logits[:, 1].astype(np.float64) * found.scales[1] + found.shifts[1]
    np.testing.assert_array_equal(found.apply(logits)[:, 1], expected)


def test_platt_of_separated_rows_is_finite():
    logits = np.array([[-30.0], [-20.0], [1.0], [900.0]], np.float32)
    label = np.array([[0], [0], [1], [1]], np.float32)
    found = fit_calibration("platt", "binary", label, logits, np.ones(4))
    assert 0 < found.scales[0] < 10
    assert np.isfinite(found.shifts[0])


@pytest.mark.parametrize("weighted", [False, True])
def test_isotonic_is_that_of_scikit_learn_at_each_row(weighted):
    label, logits, weight = made(500)
    logits = np.round(logits.astype(np.float64), 1)  # with ties
    weight = weight if weighted else np.ones(500)
    found = fit_calibration("isotonic", "binary", label, logits, weight)
    theirs = IsotonicRegression().fit(logits[:, 0], label[:, 0], weight)
    expected = np.clip(theirs.predict(logits[:, 0]), 1 / 502, 501 / 502)
    np.testing.assert_allclose(sigmoid(found.apply(logits))[:, 0], expected, rtol=1e-9)
    # Between knots the line is one of log-odds; beyond them it goes on level.
    beyond = found.apply(np.array([[-1e9], [1e9]]))[:, 0]
    assert beyond.tolist() == [found.values[0], found.values[-1]]
    middle = (found.knots[1] + found.knots[2]) / 2
    halfway = (found.values[1] + found.values[2]) / 2
    assert found.apply(np.array([[middle]]))[0, 0] == pytest.approx(halfway)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), min_size=1, max_size=60))
def test_pooling_gives_the_blocks_of_the_isotonic_fit(groups):
    share, weight = np.array(groups, np.float64).T
    starts = pool_falling(share, weight)
    means = np.add.reduceat(share * weight, starts) / np.add.reduceat(weight, starts)
    sizes = np.diff(np.append(starts, len(share)))
    expected = (
        IsotonicRegression()
        .fit(np.arange(len(share)), share, weight)
        .predict(np.arange(len(share), dtype=np.float64))
    )
    np.testing.assert_allclose(np.repeat(means, sizes), expected, atol=1e-9)


def test_pooling_many_rows_takes_a_moment():
    """A rise with a low end is pooled one by one."""
    assert pool_falling(np.append(np.arange(200_000.0), -1e12), np.ones(200_001)).tolist() == [0]


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_temperature_of_labels_has_the_least_log_loss(task):
    label, logits, weight = made(2000, 1 if task == "binary" else 3)
    found = fit_calibration("temperature", task, label, logits, weight)

    def loss(scale):
        z = logits.astype(np.float64) * scale
        return weight @ np.logaddexp(0, np.where(label > 0.5, -z, z)).sum(axis=1)

    assert found.scales[0] == pytest.approx(minimize_scalar(loss).x, rel=1e-5)
    assert found.shifts == (0.0,)


@pytest.mark.parametrize("is_soft", [False, True])
def test_temperature_of_classes_has_the_least_log_loss(is_soft, monkeypatch):
    monkeypatch.setattr("trainer.calibration._PIECE", 1000)  # in pieces
    rng = np.random.default_rng(2)
    true = rng.normal(0, 1, (900, 6))
    share = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    number = np.array([rng.choice(6, p=p) for p in share])
    weight = rng.uniform(0.5, 2, 900)
    label = share if is_soft else number[:, None].astype(np.float32)
    found = fit_calibration("temperature", "multiclass", label, 3 * true + 5, weight)

    def loss(scale):
        z = (3 * true + 5) * scale
        log_share = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
        if is_soft:
            return -np.average((share * log_share).sum(axis=1), weights=weight)
        return log_loss(number, np.exp(log_share), sample_weight=weight, labels=range(6))

    assert found.scales[0] == pytest.approx(minimize_scalar(loss).x, rel=1e-4)
    assert found.scales[0] == pytest.approx(1 / 3, rel=0.15)


def test_temperature_of_rows_that_are_all_right_ends_at_its_bound():
    label, logits = np.array([[0.0], [1.0]]), np.array([[-1.0], [2.0]])
    assert fit_calibration("temperature", "binary", label, logits, np.ones(2)).scales[0] > 20
    wrong = fit_calibration("temperature", "binary", 1 - label, logits, np.ones(2))
    assert wrong.scales == (pytest.approx(0.01, rel=1e-3),)


def test_none_gives_the_very_logits():
    logits = np.array([[1.5]], np.float32)
    assert fit_calibration("none", "binary", logits, logits, np.ones(1)).apply(logits) is logits
    empty = np.zeros((0, 1))
    assert fit_calibration("platt", "binary", empty, empty, np.zeros(0)) == Calibration()


def test_descriptions_say_the_numbers():
    assert Calibration("platt", (2.0,), (-0.5,)).describe() == "calibration platt: logit x 2 -0.5"
    several = Calibration("platt", (0.5, 2.0), (0.0, 0.0))
    assert several.describe() == "calibration platt: logits x 0.5 to 2 by label"
    isotonic = Calibration("isotonic", knots=(0.0, 1.0), values=(0.0, 1.0))
    assert isotonic.describe() == "calibration isotonic: 2 knots"
