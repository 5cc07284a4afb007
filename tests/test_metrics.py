import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from trainer.errors import TrainingFailed
from trainer.metric_names import TASK_METRICS
from trainer.metrics import (
    binary_metrics,
    format_metrics,
    regression_metrics,
    sigmoid,
)

COUNTS = {"num_rows", "sum_weight"}
WEIGHTS = st.sampled_from([0.0, 0.25, 1.0, 3.0, 1e3])
# Few distinct logits, so that ties within and across classes are the rule.
BINARY_ROWS = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.integers(-6, 6).map(lambda n: n / 2), WEIGHTS),
    min_size=1,
    max_size=40,
)
NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)
REGRESSION_ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, WEIGHTS), min_size=1, max_size=40)


def columns(rows):
    return (np.array(column, np.float64) for column in zip(*rows, strict=True))


@settings(max_examples=150, deadline=None)
@given(BINARY_ROWS, st.sampled_from([0.2, 0.5, 0.7]))
def test_binary_metrics_are_those_of_scikit_learn(rows, threshold):
    label, logit, weight = columns(rows)
    found = binary_metrics(label, logit, weight, threshold)
    assert found["num_rows"] == len(rows)
    assert found["sum_weight"] == pytest.approx(weight.sum())
    if weight.sum() == 0:
        assert set(found) == COUNTS
        return
    probability = 1 / (1 + np.exp(-logit))
    decision = probability >= threshold
    weights = {"sample_weight": weight}
    expected = {
        "log_loss": oracle.log_loss(label, probability, labels=[0, 1], **weights),
        "accuracy": oracle.accuracy_score(label, decision, **weights),
        "mean_prediction": np.average(probability, weights=weight),
        "mean_label": np.average(label, weights=weight),
    }
    expected["mean_bias"] = expected["mean_prediction"] - expected["mean_label"]
    positive, negative = weight[label == 1].sum(), weight[label == 0].sum()
    if positive and negative:
        expected["auc"] = oracle.roc_auc_score(label, logit, **weights)
        expected["pr_auc"] = oracle.average_precision_score(label, logit, **weights)
    predicted = weight[decision].sum()
    if predicted:
        expected["precision"] = oracle.precision_score(label, decision, **weights)
    if positive:
        expected["recall"] = oracle.recall_score(label, decision, **weights)
    if positive or predicted:
        expected["f1"] = oracle.f1_score(label, decision, **weights)
    assert set(found) == set(expected) | COUNTS
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@settings(max_examples=150, deadline=None)
@given(REGRESSION_ROWS)
def test_regression_metrics_are_those_of_scikit_learn(rows):
    label, prediction, weight = columns(rows)
    found = regression_metrics(label, prediction, weight)
    if weight.sum() == 0:
        assert set(found) == COUNTS
        return
    weights = {"sample_weight": weight}
    expected = {
        "rmse": math.sqrt(oracle.mean_squared_error(label, prediction, **weights)),
        "mae": oracle.mean_absolute_error(label, prediction, **weights),
        "mean_prediction": np.average(prediction, weights=weight),
        "mean_label": np.average(label, weights=weight),
    }
    if len(set(label[weight > 0])) > 1 and np.ptp(label[weight > 0]) > 1e-100:
        expected["r2"] = oracle.r2_score(label, prediction, **weights)
    seen = weight > 0
    if min(label[seen].min(), prediction[seen].min()) > -1:
        logs = np.log1p(label[seen]), np.log1p(prediction[seen])
        error = oracle.mean_squared_error(*logs, sample_weight=weight[seen])
        expected["rmsle"] = math.sqrt(error)
    if np.abs(label[seen]).min() > 1e-200:
        expected["mape"] = np.average(
            np.abs((prediction - label)[seen] / label[seen]), weights=weight[seen]
        )
    found = {
        name: value
        for name, value in found.items()
        if name in expected or name not in ("mape", "r2")
    }
    assert set(found) == set(expected) | COUNTS | {"mean_bias"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-8, abs=1e-8), name
    bias = np.average(prediction - label, weights=weight)
    assert found["mean_bias"] == pytest.approx(bias, rel=1e-8, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(BINARY_ROWS)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows):
    label, logit, weight = columns(rows)
    pairs = [
        (wp * wn, 1.0 if zp > zn else 0.5 if zp == zn else 0.0)
        for yp, zp, wp in zip(label, logit, weight, strict=True)
        for yn, zn, wn in zip(label, logit, weight, strict=True)
        if (yp, yn) == (1, 0)
    ]
    total = sum(w for w, _ in pairs)
    found = binary_metrics(label, logit, weight)
    if total == 0:
        assert "auc" not in found
    else:
        assert found["auc"] == pytest.approx(sum(w * s for w, s in pairs) / total)


def test_an_integer_weight_is_as_many_rows():
    label, logit, weight = [1, 0, 1, 0], [0.5, 0.5, -1.0, 2.0], [3, 1, 2, 0]
    repeated = binary_metrics(np.repeat(label, weight), np.repeat(logit, weight))
    weighted = binary_metrics(label, logit, weight)
    assert weighted.pop("num_rows") == 4
    assert repeated.pop("num_rows") == 6
    assert weighted == pytest.approx(repeated)


def test_huge_logits_keep_every_metric_finite():
    label, logit = [1, 0, 1, 0], [1e4, -1e4, -1e4, 1e4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = binary_metrics(label, logit)
    # Two rows cost nothing, two cost their whole logit.
    assert found["log_loss"] == pytest.approx(5000.0)
    assert found["auc"] == 0.5
    assert found["mean_prediction"] == 0.5
    assert all(math.isfinite(value) for value in found.values())


def test_log_loss_of_a_confident_right_answer_keeps_its_digits():
    # log(1 + exp(-40)) is exp(-40) to 17 digits; the way over probabilities would give 0.
    assert binary_metrics([1], [40.0])["log_loss"] == pytest.approx(math.exp(-40), rel=1e-12)


def test_probability_equal_to_the_threshold_counts_as_positive():
    assert binary_metrics([1, 0], [0.0, -1e-9])["accuracy"] == 1.0


@pytest.mark.parametrize("metric_of", [regression_metrics, binary_metrics])
@pytest.mark.parametrize(("rows", "weight"), [(0, None), (3, [0, 0, 0])])
def test_without_weight_only_the_counts_are_there(metric_of, rows, weight):
    assert metric_of([0] * rows, [0.5] * rows, weight) == {"num_rows": rows, "sum_weight": 0}


@pytest.mark.parametrize(
    ("label", "absent"),
    [([0, 0], {"auc", "pr_auc", "recall"}), ([1, 1], {"auc", "pr_auc"})],
)
def test_one_class_leaves_out_what_it_does_not_define(label, absent):
    found = binary_metrics(label, [1.0, -1.0])
    assert set(TASK_METRICS["binary"]) - set(found) == absent


def test_no_predicted_positive_leaves_out_precision():
    found = binary_metrics([0, 1], [-1.0, -2.0])
    assert "precision" not in found
    assert (found["recall"], found["f1"], found["accuracy"]) == (0.0, 0.0, 0.5)


def test_constant_label_leaves_out_r2():
    found = regression_metrics([0.1] * 10, [0.2] * 10)
    assert "r2" not in found
    assert found["rmse"] == pytest.approx(0.1)


@pytest.mark.parametrize("metric_of", [regression_metrics, binary_metrics])
def test_shapes_that_would_broadcast_are_refused(metric_of):
    with pytest.raises(ValueError, match=r"must be \(B,\); received \(2,\), \(2, 1\), \(2,\)"):
        metric_of([0, 1], [[0.0], [1.0]])
    with pytest.raises(ValueError, match=r"received \(2,\), \(2,\), \(1,\)"):
        metric_of([0, 1], [0.0, 1.0], [1.0])


@pytest.mark.parametrize("metric_of", [regression_metrics, binary_metrics])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_prediction_that_is_not_finite_fails_the_run(metric_of, bad):
    with pytest.raises(TrainingFailed, match="1 of 2 predictions are not finite"):
        metric_of([0, 1], [0.0, bad])


def test_label_of_another_class_is_refused():
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        binary_metrics([0, 2], [0.0, 0.0])


def test_regression_reads_float32_exactly():
    # 2^24 + 1 is no float32: a float32 sum would lose the small errors beside the large values.
    label = np.full(1000, 2.0**24, np.float32)
    assert regression_metrics(label, label + np.float32(2))["mean_bias"] == 2.0


def test_rmsle_mape_and_the_deviance_are_those_of_scikit_learn():
    label, prediction = np.array([1.0, 4.0, 2.5]), np.array([1.5, 0.25, 3.0])
    weight = np.array([1.0, 2.0, 0.5])
    found = regression_metrics(label, prediction, weight, is_count=True)
    rows = {"y_true": label, "y_pred": prediction, "sample_weight": weight}
    assert found["rmsle"] ** 2 == pytest.approx(oracle.mean_squared_log_error(**rows))
    assert found["mape"] == pytest.approx(oracle.mean_absolute_percentage_error(**rows))
    assert found["poisson_deviance"] == pytest.approx(oracle.mean_poisson_deviance(**rows))
    # A count of 0 has the deviance 2 f.
    assert regression_metrics([0], [0.75], is_count=True)["poisson_deviance"] == 1.5
    assert "poisson_deviance" not in regression_metrics(label, prediction)


def test_sigmoid_agrees_with_its_definition():
    logit = np.linspace(-30, 30, 101)
    np.testing.assert_allclose(sigmoid(logit), 1 / (1 + np.exp(-logit)), rtol=1e-14)


def test_line_of_no_metrics_says_so():
    assert format_metrics(regression_metrics([], [])) == "no metrics (no rows with weight)"


def test_line_of_binary_metrics_shows_the_scores_only():
    found = binary_metrics([1, 0, 1, 0], [2.0, -1.0, -0.5, 1.0])
    # Of four pairs one is in the wrong order; one positive of two is found, one negative of two.
    assert format_metrics(found) == (
        f"log_loss {found['log_loss']:.3f}  auc 0.750  pr_auc 0.833  accuracy 0.500  "
        "precision 0.500  recall 0.500  f1 0.500"
    )


def test_line_of_validation_metrics_keeps_the_prefix():
    assert format_metrics({"val_rmse": 4.4137, "val_mean_bias": 1.0}) == "val_rmse 4.41"
