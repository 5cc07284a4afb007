"""trainer.insight.confidence against scipy, statsmodels' formulas and simulation."""

import numpy as np
import pytest
from scipy import stats

from trainer.insight.confidence import (
    effective_rows,
    exact_interval,
    group_means,
    normal_quantile,
    student_quantile,
    weighted_quantiles,
    wilson,
)


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (3, 10), (10, 10), (250, 1000), (1, 1)])
def test_wilson_is_that_of_scipy(hits, rows):
    expected = stats.binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    low, high = wilson(np.array([hits / rows]), np.array([float(rows)]))
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("num_looks", [1, 300])
@pytest.mark.parametrize(
    ("hits", "rows"), [(0, 60), (3, 60), (60, 60), (25, 50), (7, 100_000), (900, 40_000), (1, 1)]
)
def test_exact_interval_is_that_of_clopper_and_pearson(hits, rows, num_looks):
    level = 1 - 0.05 / num_looks
    expected = stats.binomtest(hits, rows).proportion_ci(level, method="exact")
    shares, counts = np.array([hits / rows, np.nan]), np.array([float(rows), 0.0])
    low, high = exact_interval(shares, counts, normal_quantile(num_looks))
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-8)
    assert (low[1], high[1]) == (0.0, 1.0)


def test_exact_interval_of_many_rows_is_wilsons():
    low, high = exact_interval(np.array([0.3]), np.array([1e5]), 4.0)
    exact = stats.binomtest(30_000, 100_000).proportion_ci(1 - 2 * stats.norm.sf(4), "exact")
    assert (low[0], high[0]) == pytest.approx((exact.low, exact.high), abs=2e-5)


def test_nothing_is_known_of_no_rows():
    low, high = wilson(np.array([np.nan]), np.array([0.0]))
    assert (low.tolist(), high.tolist()) == ([0.0], [1.0])


@pytest.mark.parametrize("num_looks", [1, 20, 500])
def test_student_quantiles_are_near_those_of_scipy(num_looks):
    z = normal_quantile(num_looks)
    assert z == pytest.approx(stats.norm.isf(0.025 / num_looks))
    freedom = np.array([30.0, 50.0, 200.0, 1e6])
    expected = stats.t.isf(0.025 / num_looks, freedom)
    np.testing.assert_allclose(student_quantile(z, freedom), expected, rtol=0.01)


def test_means_of_groups_and_their_errors():
    rng = np.random.default_rng(0)
    values, group = rng.normal(3, 2, 300), rng.integers(0, 3, 300)
    mean, error = group_means(values, np.ones(300), group, 4)
    for g in range(3):
        rows = values[group == g]
        assert mean[g] == pytest.approx(rows.mean())
        assert error[g] == pytest.approx(stats.sem(rows))
    assert np.isnan(mean[3]) and np.isnan(error[3])
    # An integer weight is as many rows for the mean, though not for what is known of it.
    weight = rng.integers(1, 4, 300).astype(float)
    mean, _ = group_means(values, weight, group, 3)
    for g in range(3):
        rows = group == g
        assert mean[g] == pytest.approx(np.repeat(values[rows], weight[rows].astype(int)).mean())


def test_the_error_of_a_weighted_mean_is_its_spread_over_samples():
    rng = np.random.default_rng(1)
    weight = rng.uniform(0.1, 4, (4000, 100))
    values = rng.normal(0, 1, (4000, 100)) + weight
    groups = np.repeat(np.arange(4000), 100)
    mean, error = group_means(values.ravel(), weight.ravel(), groups, 4000)
    assert np.sqrt((error**2).mean()) == pytest.approx(mean.std(), rel=0.05)


def test_effective_rows_are_fewer_where_weights_differ():
    found = effective_rows(np.array([4.0, 4.0, 0.0]), np.array([4.0, 10.0, 0.0]))
    assert found.tolist() == [4.0, 1.6, 0.0]


def test_quantiles_are_those_of_numpy():
    rng = np.random.default_rng(2)
    values, shares = rng.normal(size=101), np.array([0.0, 0.05, 0.5, 0.95, 1.0])
    expected = np.quantile(values, shares, method="inverted_cdf")
    np.testing.assert_array_equal(weighted_quantiles(values, np.ones(101), shares), expected)
    weight = rng.integers(1, 5, 101).astype(float)
    repeated = np.repeat(values, weight.astype(int))
    expected = np.quantile(repeated, shares, method="inverted_cdf")
    np.testing.assert_array_equal(weighted_quantiles(values, weight, shares), expected)


def test_no_share_is_beyond_0_and_1():
    rows = np.arange(1.0, 2000.0)
    for share in (0.0, 1.0):
        low, high = wilson(np.full(len(rows), share), rows)
        assert low.min() >= 0 and high.max() <= 1
        np.testing.assert_allclose(low if share == 0 else high, share, atol=1e-15)
