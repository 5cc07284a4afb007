"""trainer.insight.confusion_tables against scikit-learn on the same predictions."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from trainer.insight import confusion_tables
from trainer.insight.confusion_tables import class_tables, label_tables
from trainer.metrics import sigmoid


def rows(num_classes, num_rows=3000, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (num_rows, num_classes)) - np.arange(num_classes) / 8
    gumbel = rng.gumbel(size=logits.shape)
    return (logits + gumbel).argmax(axis=1), logits, rng.uniform(0.5, 2, num_rows)


@pytest.mark.parametrize("num_classes", [3, 30])
def test_confusion_is_that_of_scikit_learn(num_classes, monkeypatch):
    monkeypatch.setattr(confusion_tables, "_PIECE", 1000)
    label, logits, weight = rows(num_classes)
    names = [f"c{k}" for k in range(num_classes)]
    found = class_tables(names, label, logits, weight, {"c1": {"auc": 0.75, "sum_weight": 9.0}})
    shown = [names.index(name) for name in found["classes"]]
    predicted = logits.argmax(axis=1)
    order = shown + [k for k in range(num_classes) if k not in shown]
    whole = confusion_matrix(label, predicted, sample_weight=weight, labels=order)
    weights = np.bincount(label, weight, num_classes)
    assert [weights[k] for k in shown] == sorted(weights, reverse=True)[: len(shown)]
    if num_classes == 30:
        assert len(shown) == 20
        folded = np.add.reduceat(np.add.reduceat(whole, range(21), axis=0), range(21), axis=1)
        whole = folded
    np.testing.assert_allclose(found["confusion"], whole)
    precision = precision_score(label, predicted, sample_weight=weight, average=None)
    recall = recall_score(label, predicted, sample_weight=weight, average=None)
    assert found["by_class"]["c1"]["precision"] == pytest.approx(precision[1])
    assert found["by_class"]["c1"]["recall"] == pytest.approx(recall[1])
    assert found["by_class"]["c1"]["auc"] == 0.75
    assert found["by_class"]["c1"]["sum_weight"] == pytest.approx(weights[1])
    probability = np.exp(logits).max(axis=1) / np.exp(logits).sum(axis=1)
    mean = sum(one["weight"] * one["mean_probability"] for one in found["calibration"])
    assert mean / weight.sum() == pytest.approx(np.average(probability, weights=weight))
    share = sum(one["weight"] * one["share"] for one in found["calibration"])
    assert share / weight.sum() == pytest.approx(np.average(predicted == label, weights=weight))
    assert found["ece"] < 0.05  # the labels are drawn from these very probabilities


@pytest.mark.parametrize("thresholds", [(0.4,), (0.2, 0.5, 0.7)])
def test_labels_are_those_of_scikit_learn(thresholds):
    _, logits, weight = rows(3)
    labels = np.random.default_rng(1).random(logits.shape) < sigmoid(logits)
    found = label_tables(["a", "b", "c"], labels, logits, weight, thresholds, {"a": {"f1": 0.5}})
    decided = sigmoid(logits) >= np.array(thresholds)
    for k, name in enumerate("abc"):
        one = found["by_class"][name]
        arguments = labels[:, k], decided[:, k]
        assert one["precision"] == pytest.approx(precision_score(*arguments, sample_weight=weight))
        assert one["recall"] == pytest.approx(recall_score(*arguments, sample_weight=weight))
        assert one["threshold"] == thresholds[min(k, len(thresholds) - 1)]
    assert found["by_class"]["a"]["f1"] == 0.5


def test_a_class_that_is_never_predicted_has_no_precision():
    found = class_tables(["a", "b"], np.array([0, 1]), np.array([[2.0, 0.0]] * 2), np.ones(2), {})
    assert found["by_class"] == {
        "a": {"sum_weight": 1.0, "precision": 0.5, "recall": 1.0},
        "b": {"sum_weight": 1.0, "recall": 0.0},
    }
    none = np.zeros((0, 2))
    assert class_tables(["a", "b"], np.zeros(0, int), none, np.zeros(0), {}) == {}
    assert label_tables(["a", "b"], none, none, np.zeros(0), (0.5,), {}) == {}
