"""trainer.insight.slices: planted biases are found, with numbers of numpy, and noise is not."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from tiny_table import make_config, statistics_of

from trainer.calibration import Calibration
from trainer.class_metrics import log_softmax
from trainer.evaluation import Predictions
from trainer.insight import slices
from trainer.insight.confidence import normal_quantile
from trainer.insight.row_groups import RowGroups
from trainer.insight.slices import RowScores, row_scores
from trainer.metrics import sigmoid
from trainer.objective import Objective


def columns(num_rows, rng, number=20, values=10):
    return [
        RowGroups(f"c{i}", rng.integers(0, values, num_rows), [f"v{j}" for j in range(values)])
        for i in range(number)
    ]


def look(groups, scores, asked=()):
    return slices._worst_first([slices._slices_of(g, scores) for g in groups], scores, asked)


def regression(num_rows, rng):
    label = rng.normal(0, 1, num_rows)
    prediction = label + rng.standard_t(5, num_rows)
    weight = rng.uniform(0.5, 2, num_rows)
    return RowScores(label, prediction, weight, "rmse", (prediction - label) ** 2, False)


def binary(num_rows, rng, share=0.02):
    probability = sigmoid(rng.normal(np.log(share), 1, num_rows))
    label = (rng.random(num_rows) < probability).astype(float)
    loss = -np.log(np.where(label == 1, probability, 1 - probability))
    weight = rng.uniform(0.5, 2, num_rows)
    return RowScores(label, probability, weight, "log_loss", loss, True)


@pytest.mark.parametrize("make", [regression, binary])
@pytest.mark.parametrize("num_rows", [600, 5000])
def test_noise_has_no_worst_slice(make, num_rows):
    """200 slices each; of 40 models, about 2 are allowed to have one."""
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found += bool(look(columns(num_rows, rng), make(num_rows, rng)))
    assert found <= 5


def test_a_biased_slice_comes_first_with_its_numbers():
    rng = np.random.default_rng(3)
    groups, scores = columns(5000, rng), regression(5000, rng)
    inside = groups[7].place_R == 4
    scores = scores._replace(prediction_R=scores.prediction_R + inside)
    error = scores.prediction_R - scores.label_R
    scores = scores._replace(score_R=error**2)
    first, *_ = look(groups, scores)
    assert (first["column"], first["value"], first["rows"]) == ("c7", "v4", inside.sum())
    weight = scores.weight_R
    assert first["share"] == pytest.approx(weight[inside].sum() / weight.sum())
    assert first["mean_label"] == pytest.approx(
        np.average(scores.label_R[inside], weights=weight[inside])
    )
    bias = np.average(error[inside], weights=weight[inside])
    assert first["bias"] == pytest.approx(bias)
    assert first["mean_prediction"] - first["mean_label"] == pytest.approx(bias)
    # Of 200 slices together: 4 standard errors at each side, where one alone would have 2.
    spread = np.sqrt((weight[inside] ** 2 * (error[inside] - bias) ** 2).sum())
    half = normal_quantile(200) * spread / weight[inside].sum()
    assert first["bias_high"] - bias == pytest.approx(half, rel=0.02)
    assert bias - first["bias_low"] == pytest.approx(half, rel=0.02)
    rmse = np.sqrt(np.average(error[inside] ** 2, weights=weight[inside]))
    assert first["value_of_metric"] == pytest.approx(rmse)
    assert first["metric_low"] < rmse < first["metric_high"]


def test_a_rare_label_that_is_missing_in_a_slice_is_no_proof():
    rng = np.random.default_rng(0)
    scores = binary(2000, rng, share=0.01)
    place = (np.arange(2000) < 60).astype(int)
    scores.label_R[place == 1] = 0.0
    groups = [RowGroups("c", place, ["rest", "few"])]
    assert all(one["value"] != "few" for one in look(groups, scores))
    (asked, *_) = [one for one in look(groups, scores, ("c",)) if one["value"] == "few"]
    ones = scores._replace(weight_R=np.ones(2000))
    (asked, *_) = [one for one in look(groups, ones, ("c",)) if one["value"] == "few"]
    interval = stats.binomtest(0, 60).proportion_ci(1 - 0.05 / 2, method="exact")
    assert asked["bias_low"] == pytest.approx(asked["mean_prediction"] - interval.high)
    assert asked["bias_high"] == pytest.approx(asked["mean_prediction"] - interval.low)


def test_columns_that_are_asked_for_are_whole_and_small_slices_are_left_out():
    rng = np.random.default_rng(1)
    scores = regression(1000, rng)
    place = np.repeat([0, 1, 2], [500, 460, 40])
    found = look([RowGroups("c", place, ["a", "b", "tiny"])], scores, ("c",))
    assert sorted(one["value"] for one in found) == ["a", "b"]
    # The whole of a constant column is no slice.
    whole = RowGroups("one", np.zeros(1000, int), ["only"])
    biased = scores._replace(prediction_R=scores.prediction_R + 3)
    assert look([whole], biased) == []


def objective_of(task, **sections):
    labels = [0.0, 1.0]
    return Objective(make_config(task, **sections), statistics_of(labels))


def test_scores_of_rows_are_those_of_each_task():
    rng = np.random.default_rng(2)
    weight = np.ones(6, np.float32)
    logits = rng.normal(size=(6, 1)).astype(np.float32)
    labels = (rng.random((6, 1)) < 0.5).astype(np.float32)
    found = row_scores(objective_of("regression"), Predictions(labels, logits, weight))
    np.testing.assert_allclose(found.prediction_R, 0.5 + 0.5 * logits[:, 0], rtol=1e-6)
    found = row_scores(objective_of("binary"), Predictions(labels, logits, weight))
    np.testing.assert_allclose(found.prediction_R, sigmoid(logits[:, 0]))
    expected = -np.log(np.where(labels == 1, sigmoid(logits), 1 - sigmoid(logits)))[:, 0]
    np.testing.assert_allclose(found.score_R, expected)
    wide = rng.normal(size=(6, 4))
    class_R = rng.integers(0, 4, 6)
    found = slices._class_scores(class_R[:, None].astype(np.float32), wide, weight)
    np.testing.assert_array_equal(found.label_R, wide.argmax(axis=1) == class_R)
    np.testing.assert_allclose(found.prediction_R, np.exp(log_softmax(wide)).max(axis=1))
    soft = slices._class_scores(np.eye(4)[class_R], wide, weight)
    np.testing.assert_array_equal(soft.label_R, found.label_R)
    several = rng.random((6, 4)) < 0.5
    found = slices._label_scores(several, wide, weight)
    np.testing.assert_allclose(found.label_R, several.mean(axis=1))
    np.testing.assert_allclose(found.prediction_R, sigmoid(wide).mean(axis=1))
    loss = -np.log(np.where(several, sigmoid(wide), 1 - sigmoid(wide))).mean(axis=1)
    np.testing.assert_allclose(found.score_R, loss)


def test_scores_are_calibrated():
    objective = objective_of("binary")
    decision = objective.decision._replace(calibration=Calibration("platt", (2.0,), (1.0,)))
    logits = np.array([[0.5]], np.float32)
    rows = Predictions(np.ones((1, 1), np.float32), logits, np.ones(1, np.float32))
    found = row_scores(objective.with_decision(decision), rows)
    assert found.prediction_R[0] == pytest.approx(float(sigmoid(2.0)))


def test_a_run_without_held_out_rows_has_no_slices():
    evidence = SimpleNamespace(config=make_config(), predictions={})
    assert slices.produce(evidence) == {}
