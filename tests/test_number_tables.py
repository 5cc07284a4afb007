"""trainer.insight.number_tables against numpy and pandas on the same predictions."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trainer.insight.number_tables import number_tables


def rows(num_rows=5000):
    rng = np.random.default_rng(0)
    prediction = rng.gamma(2, 5, num_rows)
    return prediction + rng.normal(0, 1 + prediction / 9), prediction, rng.uniform(0.5, 2, num_rows)


def test_cells_of_the_scatter_are_those_of_numpy():
    label, prediction, weight = rows()
    found = number_tables(label, prediction, weight)["scatter"]
    x_edges, y_edges = found["prediction_edges"], found["label_edges"]
    expected, *_ = np.histogram2d(
        np.clip(prediction, x_edges[0], x_edges[-1]),
        np.clip(label, y_edges[0], y_edges[-1]),
        [x_edges, y_edges],
        weights=weight,
    )
    np.testing.assert_allclose(found["counts"], expected)
    assert found["counts"].sum() == pytest.approx(weight.sum())


def test_deciles_are_those_of_pandas():
    label, prediction, weight = rows()
    found = number_tables(label, prediction, np.ones(5000))["residuals_by_decile"]
    table = pd.DataFrame({"y": label, "f": prediction, "e": prediction - label})
    groups = table.groupby(pd.qcut(prediction, 10), observed=True)
    assert len(found) == 10
    for one, (_, group) in zip(found, groups, strict=True):
        assert one["rows"] == len(group) == 500
        assert (one["low"], one["high"]) == (group.f.min(), group.f.max())
        assert one["mean_label"] == pytest.approx(group.y.mean())
        assert one["bias"] == pytest.approx(group.e.mean())
        assert one["rmse"] == pytest.approx(np.sqrt((group.e**2).mean()))
        low, high = stats.t.interval(0.95, 499, group.e.mean(), stats.sem(group.e))
        assert (one["bias_low"], one["bias_high"]) == pytest.approx((low, high), abs=1e-5)
        expected = np.quantile(group.e, [0.05, 0.5, 0.95], method="inverted_cdf")
        assert [one[name] for name in ("p05", "p50", "p95")] == expected.tolist()
    weighted = number_tables(label, prediction, weight)["residuals_by_decile"]
    first = weighted[0]
    inside = (prediction >= first["low"]) & (prediction <= first["high"])
    assert weight[inside].sum() / weight.sum() == pytest.approx(0.1, abs=0.001)
    expected = np.average(prediction[inside] - label[inside], weights=weight[inside])
    assert first["bias"] == pytest.approx(expected)


def test_a_constant_prediction_is_one_bin_and_no_rows_are_none():
    label = np.arange(7.0)
    found = number_tables(label, np.full(7, 3.0), np.ones(7))
    (only,) = found["residuals_by_decile"]
    assert (only["rows"], only["bias"], only["low"], only["high"]) == (7, 0.0, 3.0, 3.0)
    assert np.asarray(found["scatter"]["counts"]).sum() == 7
    one = number_tables(np.ones(1), np.ones(1), np.ones(1))
    assert np.isnan(one["residuals_by_decile"][0]["bias_low"])
    none = np.zeros(0)
    assert number_tables(none, none, none) == {}
