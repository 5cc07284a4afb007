"""trainer.number_head: counts and logarithms; the other losses are in test_objective."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tiny_table import make_config, statistics_of

from trainer.errors import UserError
from trainer.number_head import NumberHead, label_numbers

COUNTS = np.array([0, 1, 1, 2, 6], np.float32)


def head_of(labels=COUNTS, label=None, **model):
    values = {"column": "y", "task": "regression"} | (label or {})
    return NumberHead(make_config(model=model, label=values), statistics_of(labels))


def test_a_count_is_the_exponential_of_the_logit():
    head = head_of(loss="poisson")
    assert head.offset.tolist() == [pytest.approx(np.log(2.0))]
    assert head.curvature == 2.0
    found = head.prediction(tf.constant([[0.0], [np.log(3.0)]], tf.float32))
    np.testing.assert_allclose(found, [1.0, 3.0], rtol=1e-6)
    assert head.describe() == "regression, poisson, exp(logit), offset 0.6931"


def test_the_loss_of_a_count_is_the_negative_likelihood():
    head = head_of(loss="poisson")
    logit = np.linspace(-2, 2, 5)
    found = head.loss(tf.constant(COUNTS[:, None]), tf.constant(logit[:, None], tf.float32))
    np.testing.assert_allclose(found, np.exp(logit) - COUNTS * logit, rtol=1e-6)
    with tf.GradientTape() as tape:
        start = tf.Variable(np.full((5, 1), head.offset), dtype=tf.float32)
        loss = tf.reduce_sum(head.loss(tf.constant(COUNTS[:, None]), start))
    # The mean count is the best constant.
    assert tf.reduce_sum(tape.gradient(loss, start)).numpy() == pytest.approx(0, abs=1e-5)


def test_counts_are_measured_in_counts():
    evaluator = head_of(loss="poisson").evaluator()
    evaluator.add(COUNTS[:, None], np.full((5, 1), np.log(2.0)), np.ones(5))
    found = evaluator.result()
    assert found["mae"] == pytest.approx(np.abs(COUNTS - 2).mean())
    assert found["poisson_deviance"] > 0


def test_a_logarithm_is_standardized_by_its_own_statistics_and_undone():
    label = np.array([0.0, 10.0, 1000.0])
    logs = np.log1p(label)
    head = head_of(logs, {"transform": "log1p"})
    logits = np.array([[0.0], [1.0], [-1.5]], np.float32)
    expected = np.exp(logs.mean() + logs.std() * logits[:, 0]) - 1
    np.testing.assert_allclose(head.prediction(tf.constant(logits)), expected, rtol=1e-5)
    evaluator = head.evaluator()
    evaluator.add(np.log1p(expected + 3.0)[:, None], logits, np.ones(3))
    assert evaluator.result()["mae"] == pytest.approx(3.0, rel=1e-5)
    assert head.describe().startswith("regression, mse, target exp(")


@pytest.mark.parametrize("transform", ["none", "log1p"])
def test_the_constant_is_the_mean_of_what_is_learned(transform):
    head = head_of(COUNTS, {"transform": transform})
    found = head.prediction(tf.constant(head.constant_logits[None], tf.float32)).numpy()
    mean = float(COUNTS.mean())
    assert found[0] == pytest.approx(mean if transform == "none" else np.expm1(mean), rel=1e-6)


def test_a_label_of_one_value_is_learned_with_a_warning(caplog):
    head = head_of([2.0, 2.0])
    assert "label 'y' has one value, 2, in all 2 training rows" in caplog.text
    found = head.prediction(tf.constant([[0.0], [0.5]])).numpy()
    assert found.tolist() == [2.0, 2.5]


def test_counts_that_are_all_0_have_a_finite_logit():
    head = head_of([0.0, 0.0], loss="poisson")
    assert np.isfinite(head.offset).all()
    assert head.prediction(tf.constant(head.offset[None], tf.float32)).numpy()[0] < 1e-5


def test_statistics_of_another_label_are_refused():
    with pytest.raises(UserError, match="the statistics have no numbers of the label 'y'"):
        label_numbers(make_config(), dataclasses.replace(statistics_of([1.0, 2.0]), label=None))
