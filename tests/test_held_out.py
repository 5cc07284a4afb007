"""trainer.insight.held_out: what is fitted on one half, judged on the other."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trainer.insight.held_out import (
    NUM_BLOCKS,
    Halves,
    bounded_target,
    cell_gains,
    frequent_cells,
    mean_gain,
    out_of_fold,
    out_of_fold_curve,
    quantile_cells,
    t_bound,
)


def test_blocks_are_of_neighbours_or_shuffled_and_cut_in_halves():
    halves = Halves.of(400)
    assert halves.blocks.tolist() == [i // 10 for i in range(400)]
    assert halves.is_second.sum() == 200
    shuffled = Halves.shuffled(40_000)
    assert np.bincount(shuffled.blocks).min() > 800 and shuffled.blocks.max() == NUM_BLOCKS - 1
    assert abs(np.diff(shuffled.blocks) == 0).mean() < 0.05


def test_t_value_is_that_of_the_blocks_means():
    gains = np.random.default_rng(1).normal(0.1, 1, 4000)
    means = gains.reshape(NUM_BLOCKS, 100).mean(1)
    expected = means.mean() / (means.std(ddof=1) / np.sqrt(NUM_BLOCKS))
    assert Halves.of(4000).t_value(gains) == pytest.approx(expected)
    assert Halves.of(4000).t_value(np.zeros(4000)) == 0


@pytest.mark.parametrize(("num_tests", "quantile"), [(1, 2.4258), (10, 3.3128), (300, 4.3866)])
def test_bound_is_students_quantile(num_tests, quantile):
    """Quantiles of Student's t with 39 degrees of freedom at 1 - .01 / tests, from tables."""
    assert t_bound(num_tests) == pytest.approx(quantile, rel=0.012)


def test_cells():
    assert quantile_cells(np.array([1, 2, 3, 4, np.nan]), 2).tolist() == [1, 1, 2, 2, 0]
    assert frequent_cells(np.array([0, 1, 2, -1]), np.array([5, 1, 7]), 5).tolist() == [2, 1, 3, 0]


def test_tails_of_a_target_are_moved_and_the_rest_standardised():
    target = np.append(np.arange(999.0), 10**9)
    bounded = bounded_target(target, "regression")
    assert bounded.mean() == pytest.approx(0, abs=1e-12) and bounded.std() == pytest.approx(1)
    assert bounded[-1] == bounded[-5] and bounded[0] == bounded[5]
    rare = bounded_target(np.append(np.zeros(999), 1.0), "regression")
    assert rare[-1] > 30
    assert bounded_target(np.array([0.0, 1.0]), "binary").tolist() == [0, 1]


def test_additive_model_of_a_regression_finds_both_effects():
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 5, (2, 8000))
    effect = np.array([3.0, -1, 0, 2, -4])[a] + np.array([0.0, 5, -5, 1, 2])[b]
    target = effect + rng.normal(0, 1, 8000)
    fitted = out_of_fold(target, [a, b], Halves.of(8000), "regression")
    assert np.abs(fitted - effect).max() < 0.2


def test_additive_model_of_a_binary_target_is_the_logistic_regression():
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 3, (2, 20_000))
    logit = np.array([-2.0, 0, 1.5])[a] + np.array([1.0, -1, 0])[b]
    target = (rng.random(20_000) < 1 / (1 + np.exp(-logit))).astype(float)
    halves = Halves.of(20_000)
    fitted = out_of_fold(target, [a, b], halves, "binary")
    one_hot = np.concatenate([np.eye(3)[a], np.eye(3)[b]], axis=1)
    first = ~halves.is_second
    oracle = LogisticRegression(C=1e6).fit(one_hot[first], target[first])
    expected = oracle.decision_function(one_hot[~first])
    # Four passes of backfitting come so near; the logits span 6.
    assert np.abs(fitted[~first] - expected).max() < 0.15


def test_gain_of_a_planted_cell_is_its_information_and_noise_gains_nothing():
    """An exclusive or of two fair coins, turned with chance 1/4: 1 - H(1/4) bits = 0.1887."""
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 2, (2, 40_000))
    target = ((a ^ b) ^ (rng.random(40_000) < 0.25)).astype(float)
    halves = Halves.of(40_000)
    base = out_of_fold(target, [a, b], halves, "binary")
    gains = cell_gains(target, base, 2 * a + b, halves, "binary")
    assert gains.mean() == pytest.approx(0.1887, abs=0.01)
    assert halves.t_value(gains) > 50
    noise = rng.integers(0, 3000, 40_000)
    gains = cell_gains(target, base, noise, halves, "binary")
    assert halves.t_value(gains) < t_bound(1)


def test_gain_in_a_regression_is_half_the_logarithm_of_the_variances_for_small_effects():
    rng = np.random.default_rng(5)
    cell = rng.integers(0, 2, 40_000)
    target = np.where(cell, 0.1, -0.1) + rng.normal(0, 1, 40_000)
    halves = Halves.of(40_000)
    base = out_of_fold(target, [], halves, "regression")
    gain = cell_gains(target, base, cell, halves, "regression").mean()
    assert gain == pytest.approx(0.5 * np.log2(1.01), rel=0.25)


def test_curve_of_a_number_is_followed_and_its_bits_counted():
    """A parabola with noise of its own sd: half a bit; NaN has a level of its own."""
    rng = np.random.default_rng(6)
    values = rng.uniform(-1, 1, 40_000)
    truth = (values**2 - 1 / 3) / np.sqrt(4 / 45)
    values[:8000:2], truth[:8000:2] = np.nan, 2.0
    target = truth + rng.normal(0, 1, 40_000)
    halves = Halves.shuffled(40_000)
    curve = out_of_fold_curve(target, values, halves, "regression")
    assert np.abs(curve - truth).mean() < 0.05
    assert curve[0] == pytest.approx(2.0, abs=0.05)
    seen = np.isfinite(values)
    nothing = np.full(seen.sum(), target[seen].mean())
    gain = mean_gain(target[seen], nothing, curve[seen], "regression")
    assert gain == pytest.approx(0.5, abs=0.02)


def test_curve_of_a_binary_target_is_in_logits():
    rng = np.random.default_rng(7)
    values = rng.normal(0, 1, 40_000)
    logits = 1.5 * np.abs(values) - 1
    target = (rng.random(40_000) < 1 / (1 + np.exp(-logits))).astype(float)
    curve = out_of_fold_curve(target, values, Halves.of(40_000), "binary")
    assert np.abs(curve - logits).mean() < 0.1
    share = target.mean()
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    loss = (np.logaddexp(0, logits) - target * logits).mean() / np.log(2)
    prior = np.full(40_000, np.log(share / (1 - share)))
    assert mean_gain(target, prior, logits, "binary") == pytest.approx(entropy - loss, abs=1e-9)


@pytest.mark.filterwarnings("error")
def test_a_cell_with_most_of_a_rare_class_is_told_from_the_others():
    """Whole steps of Newton went from a share of 1% beyond that of the cell, and then to 0."""
    rows = np.random.default_rng(0).permutation(6000)
    is_rare, in_cell = rows >= 5900, rows >= 5700
    halves = Halves.of(6000)
    logits = out_of_fold(is_rare.astype(float), [rows // 300], halves, "binary")
    for second in (False, True):
        share = is_rare[in_cell & (halves.is_second == second)].mean()
        found = logits[in_cell & (halves.is_second != second)]
        np.testing.assert_allclose(found, np.log(share / (1 - share)), atol=0.7)
    assert logits[~in_cell].max() < -5

    # The same of a curve: 1.7% of all rows, but nearly all at its end.
    curve = out_of_fold_curve(is_rare.astype(float), rows / 6000, halves, "binary")
    assert curve[rows >= 5950].min() > 1 and curve[rows < 5000].max() < -4
