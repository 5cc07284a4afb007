"""trainer.class_metrics against scikit-learn, with weights and in pieces."""

import itertools

import numpy as np
import pytest
from sklearn import metrics as oracle

from trainer import class_metrics
from trainer.class_metrics import ClassEvaluator, LabelSetEvaluator, log_softmax
from trainer.errors import TrainingFailed

NUM_ROWS = 300
NAMES = [f"c{k}" for k in range(8)]
CASES = [(3, False), (8, False), (3, True), (8, True)]


def rows_of(num_classes, is_soft):
    rng = np.random.default_rng(num_classes)
    logits = rng.normal(0, 2, (NUM_ROWS, num_classes)).astype(np.float32)
    weight = rng.integers(0, 4, NUM_ROWS).astype(np.float32)
    noise = rng.gumbel(0, 2, logits.shape)
    if is_soft:
        return rng.dirichlet(np.ones(num_classes), NUM_ROWS).astype(np.float32), logits, weight
    return (logits + noise).argmax(axis=1)[:, None].astype(np.float32), logits, weight


def fed(evaluator, rows, cuts=(0, 1, 130, 300)):
    for start, end in itertools.pairwise(cuts):
        evaluator.add(*(part[start:end] for part in rows))
    return evaluator


@pytest.mark.parametrize(("num_classes", "is_soft"), CASES)
def test_metrics_of_classes_are_those_of_scikit_learn(num_classes, is_soft):
    labels, logits, weight = rows = rows_of(num_classes, is_soft)
    found = fed(ClassEvaluator(NAMES[:num_classes]), rows).result()
    log_p = log_softmax(logits)
    p = np.exp(log_p) / np.exp(log_p).sum(axis=1, keepdims=True)
    label = labels.argmax(axis=1) if is_soft else labels[:, 0].astype(int)
    weights, names = {"sample_weight": weight}, list(range(num_classes))
    dense = labels if is_soft else np.eye(num_classes)[label]
    expected = {
        "log_loss": -np.average((dense * log_p).sum(axis=1), weights=weight),
        "accuracy": oracle.accuracy_score(label, p.argmax(axis=1), **weights),
        "macro_f1": oracle.f1_score(label, p.argmax(axis=1), average="macro", **weights),
        "weighted_f1": oracle.f1_score(label, p.argmax(axis=1), average="weighted", **weights),
        "macro_auc": oracle.roc_auc_score(label, p, multi_class="ovr", labels=names, **weights),
    }
    if not is_soft:
        assert expected["log_loss"] == pytest.approx(oracle.log_loss(label, p, **weights))
    if num_classes > 5:
        top = {"k": 5, "labels": names}
        expected["top_5_accuracy"] = oracle.top_k_accuracy_score(label, logits, **top, **weights)
    assert found == pytest.approx(expected | {"num_rows": NUM_ROWS, "sum_weight": weight.sum()})


def test_figures_of_each_class_are_those_of_scikit_learn():
    labels, logits, weight = rows = rows_of(4, False)
    table = fed(ClassEvaluator(NAMES[:4]), rows).by_class()
    label, weights = labels[:, 0], {"sample_weight": weight}
    f1 = oracle.f1_score(label, logits.argmax(axis=1), average=None, **weights)
    assert list(table) == NAMES[:4]
    for k, figures in enumerate(table.values()):
        auc = oracle.roc_auc_score(label == k, np.exp(log_softmax(logits)[:, k]), **weights)
        expected = {"sum_weight": weight[label == k].sum(), "auc": auc, "f1": f1[k]}
        assert figures == pytest.approx(expected)


def label_sets():
    rng = np.random.default_rng(5)
    logits = rng.normal(-1, 2, (NUM_ROWS, 4)).astype(np.float32)
    labels = (logits + rng.logistic(size=logits.shape) > 0).astype(np.float32)
    return labels, logits, rng.integers(0, 4, NUM_ROWS).astype(np.float32)


def test_metrics_of_labels_are_those_of_scikit_learn():
    labels, logits, weight = rows = label_sets()
    found = fed(LabelSetEvaluator(NAMES[:4], [0.3]), rows).result()
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    yes, weights = p >= 0.3, {"sample_weight": weight}
    loss = [oracle.log_loss(labels[:, k], p[:, k], **weights) for k in range(4)]
    expected = {"log_loss": np.mean(loss), "num_rows": NUM_ROWS, "sum_weight": weight.sum()}
    for average in ("macro", "micro"):
        expected[f"{average}_auc"] = oracle.roc_auc_score(labels, p, average=average, **weights)
        expected[f"{average}_f1"] = oracle.f1_score(labels, yes, average=average, **weights)
    expected["subset_accuracy"] = oracle.accuracy_score(labels, yes, **weights)
    assert found == pytest.approx(expected)


def test_areas_of_each_label_are_those_of_scikit_learn():
    labels, logits, weight = rows = label_sets()
    table = fed(LabelSetEvaluator(NAMES[:4], [0.5]), rows).by_class()
    aucs = oracle.roc_auc_score(labels, logits, average=None, sample_weight=weight)
    assert [figures["auc"] for figures in table.values()] == pytest.approx(list(aucs))


@pytest.mark.parametrize("evaluator", [ClassEvaluator(NAMES), LabelSetEvaluator(NAMES, [0.5])])
def test_beyond_the_bound_no_logit_is_kept_and_the_rest_is_the_same(evaluator, monkeypatch):
    labels, logits, weight = rows_of(8, False)
    if isinstance(evaluator, LabelSetEvaluator):
        labels = np.eye(8, dtype=np.float32)[labels[:, 0].astype(int)]
    whole = fed(type(evaluator)(*arguments(evaluator)), (labels, logits, weight)).result()
    monkeypatch.setattr(class_metrics, "MOST_KEPT", 8 * 200)
    found = fed(evaluator, (labels, logits, weight)).result()
    assert found == {name: value for name, value in whole.items() if "auc" not in name}
    assert evaluator._account.kept._pieces == []


def arguments(evaluator):
    return (NAMES, [0.5]) if isinstance(evaluator, LabelSetEvaluator) else (NAMES,)


def test_a_class_without_rows_is_left_out_of_the_means():
    logits = np.array([[3, 0, -9], [0, 1, -9], [2, 0, -9]], np.float32)
    found = ClassEvaluator(["a", "b", "c"])
    found.add(np.array([[0], [1], [1]], np.float32), logits, np.ones(3, np.float32))
    # a: two rows taken for it, one is; b: one of two found. The AUC of a is 1: its row is first.
    assert found.result()["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found.result()["macro_auc"] == 1.0
    assert found.by_class()["c"] == {"sum_weight": 0.0}


@pytest.mark.parametrize("evaluator", [ClassEvaluator(NAMES), LabelSetEvaluator(NAMES, [0.5])])
def test_without_weight_only_the_counts_are_there(evaluator):
    assert evaluator.result() == {"num_rows": 0, "sum_weight": 0}
    labels = np.zeros((2, 1 if isinstance(evaluator, ClassEvaluator) else 8), np.float32)
    evaluator.add(labels, np.zeros((2, 8), np.float32), np.zeros(2, np.float32))
    assert evaluator.result() == {"num_rows": 2, "sum_weight": 0}


def test_a_logit_that_is_no_number_ends_the_run():
    logits = np.array([[0, np.nan], [0, 0]], np.float32)
    with pytest.raises(TrainingFailed, match="1 of 2 predictions are not finite; lower the"):
        ClassEvaluator(["a", "b"]).add(np.zeros((2, 1)), logits, np.ones(2))
