import numpy as np
import pytest

from trainer.compare.intervals import Interval, mean_metrics, paired_differences, trimmed_rmse


def mean_error(label, score, weight):
    return {"error": float(np.average(np.abs(score - label), weights=weight))}


def test_interval_is_that_of_the_paired_means():
    """The difference of mean errors is a mean of differences, whose interval is known."""
    rng = np.random.default_rng(0)
    label = np.zeros(4000)
    first = rng.normal(0, 1, 4000)
    second = first + rng.normal(0.05, 0.1, 4000)
    difference = np.abs(first) - np.abs(second)

    found = paired_differences(
        mean_error, label, np.ones(4000), first=[first], second=[second], num_draws=2000
    )["error"]

    assert found.value == pytest.approx(difference.mean())
    half = 1.96 * difference.std() / np.sqrt(4000)
    assert found.low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(difference.mean() + half, abs=0.1 * half)


def test_groups_are_drawn_together():
    """Rows of a group that all say the same count once: the interval is that of the groups."""
    rng = np.random.default_rng(1)
    by_group = rng.normal(0.2, 1, 50)
    groups = np.repeat(np.arange(50), 40)
    first, second = np.abs(by_group)[groups] + 10, np.full(2000, 10.0)

    found = paired_differences(
        mean_error,
        np.zeros(2000),
        np.ones(2000),
        first=[first],
        second=[second],
        groups=groups,
        num_draws=2000,
    )["error"]

    half = 1.96 * np.abs(by_group).std() / np.sqrt(50)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_seeds_count_by_their_mean_metric():
    label, weight = np.array([0.0, 1.0]), np.array([1.0, 3.0])
    scores = [np.array([1.0, 1.0]), np.array([0.0, 3.0])]
    assert mean_metrics(mean_error, label, scores, weight) == {"error": (1 / 4 + 6 / 4) / 2}


@pytest.mark.parametrize(
    ("interval", "is_clear"), [((0.1, -0.1, 0.3), False), ((0.2, 0.1, 0.3), True)]
)
def test_an_interval_is_clear_without_zero(interval, is_clear):
    assert Interval(*interval).is_clear is is_clear


def test_trimmed_rmse_leaves_out_the_worst_weight():
    error = np.array([3.0, -1.0, 2.0, 10.0])
    weight = np.array([1.0, 1.0, 1.0, 2.0])
    # A fifth of the weight 5 is one of the two units of the worst row.
    expected = np.sqrt((9 + 1 + 4 + 100) / 4)
    assert trimmed_rmse(np.zeros(4), error, weight, share=0.2) == pytest.approx(expected)
