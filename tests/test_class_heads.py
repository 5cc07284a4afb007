"""trainer.class_heads: offsets, weights and curvature of classes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight
from tiny_table import make_config, statistics_of

from trainer.class_heads import BinaryHead, ClassHead, LabelSetHead
from trainer.errors import UserError

COUNTS = {"a": 5.0, "b": 3.0, "c": 2.0}
SHARES = np.array([0.5, 0.3, 0.2])
RATES = np.array([0.5, 0.3, 0.2])


def statistics(counts=COUNTS, num_rows=10):
    empty = statistics_of(np.arange(num_rows))
    return dataclasses.replace(empty, label=None, classes=tuple(counts.items()))


def config_of(task, **model):
    return make_config(label={"column": "y", "task": task}, model=model)


def class_head(counts=COUNTS, **model):
    return ClassHead(config_of("multiclass", **model), statistics(counts))


def label_head(counts=COUNTS, **model):
    return LabelSetHead(config_of("multilabel", **model), statistics(counts))


def binary_head(**model):
    return BinaryHead(config_of("binary", **model), statistics_of([1.0, 0.0, 0.0, 0.0]))


def test_classes_start_at_their_shares():
    head = class_head()
    start = head.prediction(tf.constant(head.offset[None], tf.float32))
    np.testing.assert_allclose(start, [SHARES], rtol=1e-6)
    assert class_head(output_offset="none").offset.tolist() == [0, 0, 0]
    assert head.describe() == "multiclass, log_loss, 3 classes: a, b, c"


def test_labels_start_at_their_rates():
    head = label_head()
    start = head.prediction(tf.constant(head.offset[None], tf.float32))
    np.testing.assert_allclose(start, [RATES], rtol=1e-6)


def test_balanced_weights_are_those_of_scikit_learn():
    label = np.repeat(["a", "b", "c"], [5, 3, 2])
    head = class_head(class_weights="auto")
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=label)
    np.testing.assert_allclose(head.weights, expected, rtol=1e-12)
    # Balanced classes are equally likely.
    np.testing.assert_allclose(np.ptp(head.offset), 0, atol=1e-12)
    assert head.describe().endswith("weights by class 0.667 to 1.67")
    binary = binary_head(class_weights="auto")
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=[1, 0, 0, 0])
    np.testing.assert_allclose(binary.weights, expected, rtol=1e-12)
    assert binary.offset[0] == pytest.approx(0, abs=1e-12)
    # Rows with a label weigh in all as much as those without.
    np.testing.assert_allclose(label_head(class_weights="auto").weights, [1, 7 / 3, 4])


@pytest.mark.parametrize(
    ("make", "labels"),
    [
        (class_head, [[0.0], [1.0], [2.0], [1.0]]),
        (class_head, [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 0.5, 0.5]]),
    ],
)
def test_a_row_weighs_as_its_class(make, labels):
    logits = tf.constant(np.random.default_rng(1).normal(size=(4, 3)), tf.float32)
    plain = make().loss(tf.constant(labels), logits).numpy()
    weighted = make(class_weights={"b": 3, "c": 0.5}).loss(tf.constant(labels), logits).numpy()
    factors = [1, 3, 0.5, 3 if len(labels[0]) == 1 else 1.75]
    np.testing.assert_allclose(weighted, plain * factors, rtol=1e-6)


def test_yes_and_no_weigh_as_stated():
    labels, logits = tf.constant([[0.0], [1.0]]), tf.constant([[0.5], [0.5]])
    plain = binary_head().loss(labels, logits).numpy()
    weighted = binary_head(class_weights={"0": 2, "1": 5}).loss(labels, logits).numpy()
    np.testing.assert_allclose(weighted, plain * [2, 5], rtol=1e-6)


def test_the_loss_of_labels_is_the_sum_of_binary_ones():
    labels = np.array([[1, 0, 1], [0, 0, 1]], np.float32)
    logits = np.array([[0.5, -1, 2], [1, 2, -3]], np.float32)
    each = np.logaddexp(0, np.where(labels == 1, -logits, logits))
    found = label_head().loss(tf.constant(labels), tf.constant(logits))
    np.testing.assert_allclose(found, each.sum(axis=1), rtol=1e-6)
    found = label_head(class_weights={"c": 4}).loss(tf.constant(labels), tf.constant(logits))
    np.testing.assert_allclose(
        found, (each * np.where(labels, [1, 1, 4], 1)).sum(axis=1), rtol=1e-6
    )


@pytest.mark.parametrize("make", [class_head, label_head, binary_head])
def test_weights_of_classes_do_not_reach_the_metrics(make):
    names = {"1": 9} if make is binary_head else {"b": 9}
    labels = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    logits, weight = np.array([[0.5, 0.1, -1], [0.2, 0.4, 3]], np.float32), np.array([1.0, 2.0])
    found = []
    for head in (make(), make(class_weights=names, label_smoothing=0.1, loss="focal")):
        evaluator = head.evaluator()
        evaluator.add(labels, logits, weight)
        found.append(evaluator.result())
    assert found[0] == found[1]


@pytest.mark.parametrize("model", [{}, {"class_weights": "auto"}, {"loss": "focal"}])
@pytest.mark.parametrize("make", [class_head, binary_head, label_head])
def test_curvature_is_the_mean_second_difference_of_the_loss(make, model):
    head = make(**model)
    step, num_outputs = 0.02, head.num_outputs
    if make is class_head:
        rows, mass = np.arange(3.0)[:, None], SHARES
    elif make is binary_head:
        rows, mass = np.array([[0.0], [1.0]]), np.array([0.75, 0.25])
    else:
        rows = np.array([[i >> k & 1 for k in range(3)] for i in range(8)], float)
        mass = np.where(rows == 1, RATES, 1 - RATES).prod(axis=1)

    def mean_loss(logits):
        many = np.tile(logits, (len(rows), 1))
        labels = tf.constant(rows, tf.float32)
        return float(mass @ head.loss(labels, tf.constant(many, tf.float32)).numpy())

    start = head.offset
    second = [
        (mean_loss(start + d) - 2 * mean_loss(start) + mean_loss(start - d)) / step**2
        for d in step * np.eye(num_outputs)
    ]
    directions = num_outputs - 1 if make is class_head else num_outputs
    assert head.curvature == pytest.approx(sum(second) / directions, rel=0.02)


def test_the_curvature_of_many_classes_stays_above_a_bound():
    head = class_head({f"c{k}": 1.0 for k in range(1000)})
    assert head.curvature == 0.05


def test_a_weight_of_no_class_names_the_nearest():
    config = config_of("multiclass", class_weights={"apple": 2})
    with pytest.raises(UserError, match=r"class_weights: .apple. is no class; did you"):
        ClassHead(config, statistics({"apples": 3.0, "pear": 2.0}))


def test_one_class_is_learned_with_a_warning(caplog):
    head = class_head({"a": 10.0, "b": 0.0})
    assert "label 'y' has one value, a, in all 10 training rows" in caplog.text
    assert head.prediction(tf.constant(head.offset[None], tf.float32)).numpy()[0, 0] > 0.99


def test_a_class_alone_has_the_least_curvature():
    assert class_head({"a": 10.0}).curvature == 0.05


def test_no_class_is_refused():
    with pytest.raises(UserError, match="label 'y' has no class in the 10 training rows"):
        class_head({"a": 0.0, "b": 0.0})


def test_labels_that_never_change_are_learned_with_a_warning(caplog):
    head = label_head({"a": 10.0, "b": 0.0})
    assert "label 'y' has one value, each label or none, in all 10" in caplog.text
    found = head.prediction(tf.constant(head.offset[None], tf.float32)).numpy()[0]
    assert found[0] > 0.99 and found[1] < 0.01


def test_a_class_with_a_line_break_is_refused():
    with pytest.raises(UserError, match=r"the class 'a\\nb' has a line break; classes.txt"):
        class_head({"a\nb": 5.0, "c": 5.0})
