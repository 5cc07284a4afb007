"""trainer.insight.binary_tables against scikit-learn and numpy on the same predictions."""

import time

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    auc,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from trainer.insight.binary_tables import binary_tables, calibration_bins
from trainer.metrics import sigmoid
from trainer.operating_point import Costs


def rows(num_rows=4000, seed=0):
    rng = np.random.default_rng(seed)
    logit = np.round(rng.normal(-1, 2, num_rows), 3)
    label = rng.random(num_rows) < sigmoid(0.8 * logit)
    return label, logit, rng.uniform(0.5, 2, num_rows)


def test_decisions_are_those_of_scikit_learn():
    label, logit, weight = rows()
    found = binary_tables(label, logit, weight, 0.3, Costs(2.0, 5.0))
    selected = sigmoid(logit) >= 0.3
    tn, fp, fn, tp = confusion_matrix(label, selected, sample_weight=weight).ravel()
    assert found["confusion"] == pytest.approx({"tp": tp, "fp": fp, "tn": tn, "fn": fn})
    at = found["operating_point"]
    for name, score in (
        ("precision", precision_score),
        ("recall", recall_score),
        ("f1", f1_score),
        ("accuracy", accuracy_score),
    ):
        assert at[name] == pytest.approx(score(label, selected, sample_weight=weight))
    assert at["threshold"] == 0.3
    assert len(found["thresholds"]) == 19
    for one in found["thresholds"]:
        selected = sigmoid(logit) >= one["threshold"]
        tn, fp, fn, tp = confusion_matrix(label, selected, sample_weight=weight).ravel()
        total = weight.sum()
        assert one["cost"] == pytest.approx((2 * fp + 5 * fn) / total)
        assert one["selected"] == pytest.approx((tp + fp) / total)
        assert one["fpr"] == pytest.approx(fp / (fp + tn))
        assert one["recall"] == pytest.approx(tp / (tp + fn))


def test_curves_have_the_area_of_all_points():
    label, logit, weight = rows()
    found = binary_tables(label, logit, weight, 0.5, Costs())
    roc = found["roc"]
    assert len(roc["fpr"]) <= 201 == len(roc["tpr"])
    expected = roc_auc_score(label, logit, sample_weight=weight)
    assert auc(roc["fpr"], roc["tpr"]) == pytest.approx(expected, abs=1e-4)
    # Each point is what its threshold selects; a hair above, for the threshold is a row's own.
    for place in (1, 50, 150):
        selected = sigmoid(logit) >= roc["threshold"][place] * (1 - 1e-12)
        recall = recall_score(label, selected, sample_weight=weight)
        assert roc["tpr"][place] == pytest.approx(recall)
        precision = precision_score(label, selected, sample_weight=weight)
        assert found["pr"]["precision"][place - 1] == pytest.approx(precision)
        assert found["pr"]["recall"][place - 1] == pytest.approx(recall)


def test_calibration_bins_are_those_of_numpy():
    label, logit, weight = rows()
    bins = calibration_bins(label, logit, weight)
    assert len(bins) == 15
    assert sum(one["rows"] for one in bins) == 4000
    probability = sigmoid(logit)
    for one in bins:
        inside = (probability >= one["low"]) & (probability <= one["high"])
        assert one["rows"] == inside.sum()
        mean = np.average(probability[inside], weights=weight[inside])
        assert one["mean_probability"] == pytest.approx(mean)
        assert one["share"] == pytest.approx(np.average(label[inside], weights=weight[inside]))
        assert one["share_low"] < one["share"] < one["share_high"]
    # Equal steps of log-odds, but for the open ends.
    steps = np.diff([np.log(one["low"] / (1 - one["low"])) for one in bins[1:]])
    np.testing.assert_allclose(steps, steps.mean(), atol=0.02)
    found = binary_tables(label, logit, weight, 0.5, Costs())
    shares = [one["weight"] / weight.sum() for one in bins]
    gaps = [abs(one["mean_probability"] - one["share"]) for one in bins]
    assert found["ece"] == pytest.approx(np.dot(shares, gaps))


def test_histograms_count_weights_by_class():
    label, logit, weight = rows()
    found = binary_tables(label, logit, weight, 0.5, Costs())["score_histogram"]
    place = np.minimum((sigmoid(logit) * 40).astype(int), 39)
    for name, chosen in (("negatives", ~label), ("positives", label)):
        expected = [weight[chosen & (place == i)].sum() for i in range(40)]
        np.testing.assert_allclose(found[name], expected)


def test_rows_of_one_class_and_of_one_score():
    ones = np.ones(5)
    found = binary_tables(ones > 0, np.zeros(5), ones, 0.5, Costs())
    assert "roc" not in found
    assert found["confusion"] == {"tp": 5, "fp": 0, "tn": 0, "fn": 0}
    (only,) = found["calibration"]
    assert (only["rows"], only["mean_probability"], only["share"]) == (5, 0.5, 1.0)
    none = np.zeros(0)
    assert binary_tables(none > 0, none, none, 0.5, Costs()) == {}


def test_a_million_rows_take_a_moment():
    label, logit, weight = rows(1_000_000)
    started = time.process_time()
    binary_tables(label, logit, weight, 0.5, Costs())
    assert time.process_time() - started < 5
