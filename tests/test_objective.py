"""trainer.objective against formulas in float64."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_table import make_config, statistics_of

from trainer.calibration import Calibration
from trainer.decision import Decision
from trainer.errors import UserError
from trainer.metrics import sigmoid
from trainer.objective import Objective

LABELS = np.array([3.0, -1.0, 4.0, 1.5, 9.0], np.float32)
MEAN = LABELS.astype(np.float64).mean()
SD = LABELS.astype(np.float64).std()


def objective_of(task="regression", labels=LABELS, **sections):
    return Objective(make_config(task, **sections), statistics_of(labels))


def loss_of(objective, label, logit):
    logits = tf.constant(logit, tf.float32)[:, tf.newaxis]
    loss = objective.loss(tf.constant(label, tf.float32)[:, tf.newaxis], logits)
    assert loss.shape == (len(label),)
    return loss.numpy()


ROWS = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from(["mse", "mae", "huber"]), st.sampled_from([0.5, 1.0, 3.0]))
def test_regression_losses_are_those_of_the_standardized_error(rows, loss, delta):
    label, logit = np.array(rows, np.float32).astype(np.float64).T
    objective = objective_of(
        model={"loss": loss} | ({"huber_delta": delta} if loss == "huber" else {})
    )
    error = np.abs((label - MEAN) / SD - logit)
    expected = {
        "mse": error**2,
        "mae": error,
        "huber": np.where(error <= delta, error**2 / 2, delta * (error - delta / 2)),
    }[loss]
    np.testing.assert_allclose(loss_of(objective, label, logit), expected, rtol=2e-5, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.floats(-80, 80)), min_size=1))
def test_log_loss_is_minus_the_log_of_the_probability(rows):
    label, logit = np.array(rows, np.float32).astype(np.float64).T
    objective = objective_of("binary", labels=[0.0, 1.0])
    # -log(1 / (1 + exp(-z))) of the label's own side, by a form without overflow.
    expected = np.logaddexp(0.0, np.where(label == 1, -logit, logit))
    np.testing.assert_allclose(loss_of(objective, label, logit), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_gradient_at_the_label_is_zero(loss):
    """No NaN where the error is 0, as a square root there would give."""
    objective = objective_of(model={"loss": loss, "standardize_target": False})
    logits = tf.Variable([[2.0]])
    with tf.GradientTape() as tape:
        value = objective.loss(tf.constant([[2.0]]), logits)
    assert tape.gradient(value, logits).numpy().tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("labels", "loss"),
    [
        (LABELS, "mse"),
        # A share p of ones has kurtosis (1 - 3 p (1 - p)) / (p (1 - p)): 8.1 at 1/10, 12.1 at 1/14.
        ([0.0] * 9 + [1.0], "mse"),
        ([0.0] * 13 + [1.0], "huber"),
    ],
)
def test_auto_loss_of_a_regression_follows_the_tail(labels, loss):
    assert objective_of(labels=labels).loss_name == loss


def test_auto_loss_of_a_binary_task_is_log_loss():
    assert objective_of("binary", labels=[0.0] * 99 + [1.0]).loss_name == "log_loss"


def test_standardized_logits_become_values_again():
    objective = objective_of()
    assert objective.offset.tolist() == [0.0]
    logits = np.array([[0.0], [1.0], [-2.5]], np.float32)
    expected = MEAN + SD * logits[:, 0]
    np.testing.assert_allclose(objective.prediction(tf.constant(logits)), expected, rtol=1e-6)
    found = objective.metrics(expected[:, None], logits, np.ones(3))
    assert found["rmse"] == pytest.approx(0.0, abs=1e-6)
    found = objective.metrics(expected[:, None] + 2.0, logits, np.ones(3))
    assert found["mae"] == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize(("output_offset", "offset"), [("mean", MEAN), ("none", 0.0)])
def test_plain_regression_starts_at_the_mean(output_offset, offset):
    model = {"standardize_target": False, "output_offset": output_offset}
    objective = objective_of(model=model)
    assert objective.offset == pytest.approx(offset)
    assert objective.prediction(tf.constant([[2.0]])).numpy().tolist() == [2.0]


@pytest.mark.parametrize("output_offset", ["mean", "none"])
def test_binary_offset_is_the_log_odds(output_offset):
    objective = objective_of(
        "binary", labels=[1.0, 0.0, 0.0, 0.0], model={"output_offset": output_offset}
    )
    rate = {"mean": 0.25, "none": 0.5}[output_offset]
    assert objective.offset == pytest.approx(math.log(rate / (1 - rate)))
    score = objective.prediction(tf.constant([objective.offset]))
    assert score.numpy().tolist() == pytest.approx([rate])


def test_binary_metrics_take_logits():
    objective = objective_of("binary", labels=[0.0, 1.0], evaluation={"threshold": 0.8})
    label, logits = np.ones((2, 1)), np.array([[0.0], [np.log(9.0)]], np.float32)
    found = objective.metrics(label, logits, np.array([1.0, 3.0]))
    # Probabilities 0.5 and 0.9, of which the second reaches the threshold.
    assert found["mean_prediction"] == pytest.approx((0.5 + 3 * 0.9) / 4)
    assert found["log_loss"] == pytest.approx(-(math.log(0.5) + 3 * math.log(0.9)) / 4)
    assert found["recall"] == 0.75


@pytest.mark.parametrize(
    ("task", "monitor", "better", "worse"),
    [("regression", "auto", 0.8, 1.2), ("regression", "r2", 1.2, 0.8), ("binary", "auc", 1.2, 0.8)],
)
def test_better_goes_the_way_of_the_metric(task, monitor, better, worse):
    objective = objective_of(task, labels=[0.0, 1.0], training={"monitor": monitor})
    assert objective.is_better(better, 1.0, 0.0)
    assert not objective.is_better(worse, 1.0, 0.0)
    assert not objective.is_better(1.0, 1.0, 0.0)
    # An improvement of 0.2 has to exceed min_delta.
    assert objective.is_better(better, 1.0, 0.19)
    assert not objective.is_better(better, 1.0, 0.21)


def test_the_first_finite_value_is_the_best_and_no_other_ever_is():
    objective = objective_of()
    assert objective.is_better(1e9, None, 5.0)
    for value in (math.nan, math.inf, -math.inf):
        assert not objective.is_better(value, None, 0.0)
        assert not objective.is_better(value, 1.0, 0.0)


def test_rows_without_weight_are_refused():
    config = make_config(columns={"age": "numeric", "w": "weight"})
    statistics = statistics_of(LABELS, np.zeros(5, np.float32))
    with pytest.raises(UserError, match=r"weight column 'w' is 0 in all training rows"):
        Objective(config, statistics)


def test_a_metric_of_another_task_is_refused():
    with pytest.raises(UserError, match=r"training.monitor must be auto or a metric of label.task"):
        objective_of(training={"monitor": "auc"})


def test_the_start_line_says_what_is_learned():
    assert objective_of().describe() == "regression, mse, target (3.3 + 3.311 x logit)"
    binary = objective_of("binary", labels=[1.0, 0.0, 0.0, 0.0])
    assert binary.describe() == "binary, log_loss, logit offset -1.099"


@pytest.mark.parametrize(
    ("task", "loss", "labels"),
    [
        ("regression", "mse", LABELS),
        ("regression", "huber", LABELS),
        ("binary", "log_loss", np.array([0, 1, 0, 0, 0], np.float32)),
    ],
)
def test_curvature_is_the_second_difference_of_the_loss_at_the_start(task, loss, labels):
    objective = objective_of(task, labels, model={"loss": loss})
    at_mean = np.full(3, objective.offset[0]) + np.array([-0.02, 0.0, 0.02])
    label = float(np.mean(labels)) if task == "regression" else 0.0

    low, middle, high = loss_of(objective, np.full(3, label), at_mean).astype(np.float64)

    assert objective.curvature == pytest.approx((low - 2 * middle + high) / 0.02**2, rel=0.01)


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("ftrl", 0.05 / 0.16), ("adagrad", 0.05 / 0.16), ("adamw", 0.001)]
)
def test_an_auto_wide_rate_follows_the_curvature(optimizer, rate):
    config = make_config("binary", optimizer={"wide_optimizer": optimizer})
    objective = Objective(config, statistics_of(np.array([0, 1, 0, 0, 0], np.float32)))
    found = objective.with_learning_rate(config.optimizer)
    assert found.wide_learning_rate == pytest.approx(rate)
    stated = config.optimizer.model_copy(update={"wide_learning_rate": 0.7})
    assert objective.with_learning_rate(stated) == stated


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration("platt", (0.5,), (1.0,)),
        Calibration("temperature", (2.0,)),
        Calibration("isotonic", knots=(-1.0, -0.5, 0.75, 1.0), values=(-2.0, -2.0, 0.5, 3.0)),
        Calibration("isotonic", knots=(0.5,), values=(0.25,)),
    ],
)
def test_a_calibration_in_the_graph_is_that_of_the_metrics(calibration):
    objective = objective_of("binary", labels=[0.0, 1.0])
    decided = objective.with_decision(objective.decision._replace(calibration=calibration))
    logits = np.array([[-9.0], [-1.0], [-0.7], [0.0], [0.75], [0.9], [1.0], [9.0]], np.float32)
    score, raw = tf.function(decided.served)(tf.constant(logits))
    np.testing.assert_allclose(score, sigmoid(calibration.apply(logits))[:, 0], rtol=1e-6)
    np.testing.assert_allclose(raw, sigmoid(logits)[:, 0], rtol=1e-6)
    label, weight = (logits > 0.5).astype(np.float32), np.ones(8, np.float32)
    expected = objective.metrics(label, calibration.apply(logits), weight)
    assert decided.metrics(label, logits, weight) == expected
    # What is learned stays as it was.
    np.testing.assert_array_equal(
        decided.loss(tf.constant(label), tf.constant(logits)),
        objective.loss(tf.constant(label), tf.constant(logits)),
    )
    assert objective.decision.calibration == Calibration()


def test_a_chosen_threshold_is_that_of_the_metrics():
    objective = objective_of("binary", labels=[0.0, 1.0], evaluation={"threshold": "f1"})
    assert objective.decision == Decision((0.5,), 0.5)
    decided = objective.with_decision(Decision((0.95,), "f1", num_rows=9))
    label, logits = np.ones((2, 1)), np.array([[0.0], [np.log(9.0)]], np.float32)
    assert objective.metrics(label, logits, np.ones(2))["recall"] == 1.0
    assert decided.metrics(label, logits, np.ones(2))["recall"] == 0.0
