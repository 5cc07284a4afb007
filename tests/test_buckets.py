"""trainer.buckets against a binary search."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.buckets import Buckets

EVEN = np.linspace(-3, 3, 200)
SPREAD = np.geomspace(1e-3, 1e9, 100)
FEW = np.array([2.0, 2.5])
NONE = np.array([])


def _reached(edges, values):
    """Of one number."""
    return Buckets([edges]).count_reached(tf.constant([values], tf.float32)).numpy()[0].tolist()


def test_a_value_on_an_edge_is_above_it():
    assert _reached([2.0, 2.5], [1.0, 2.0, 2.4, 2.5, 9.0, 3e38, -3e38]) == [0, 1, 1, 2, 2, 2, 0]


def test_without_edges_none_is_reached():
    assert _reached([], [1.0, -3e38]) == [0, 0]


@pytest.mark.parametrize(
    "edges",
    [[FEW, SPREAD, EVEN, NONE, 2 * EVEN[:9]], [EVEN, FEW, SPREAD], [SPREAD, EVEN], [NONE, FEW]],
    ids=["five", "three", "two grids", "no grid"],
)
def test_each_number_has_its_own_edges(edges):
    edges = [row.astype(np.float32) for row in edges]
    values = np.random.default_rng(6).normal(0, 3, (len(edges), 500)).astype(np.float32)

    reached = Buckets(edges).count_reached(tf.constant(values)).numpy()

    expected = [np.searchsorted(e, v, side="right") for e, v in zip(edges, values, strict=True)]
    np.testing.assert_array_equal(reached, expected)


@pytest.mark.parametrize(
    "edges",
    [
        np.linspace(-3, 3, 200),
        np.sort(np.random.default_rng(3).normal(size=254)),
        np.sort(np.random.default_rng(4).lognormal(0, 3, size=120)),
        np.append(np.arange(1, 20), 1e30),
        np.arange(1, 20) * 1e-36,
        40.7 + np.arange(100) * 1e-5,
        np.geomspace(1e-3, 1e9, 100),
        -np.geomspace(1e9, 1e-3, 100),
        np.append(0.0, np.geomspace(1e-3, 1e9, 100)),
        np.append(-np.geomspace(1e9, 1e-3, 100), 0.0),
        np.append(-1e30, np.geomspace(1e-3, 1e9, 100)),
    ],
)
def test_many_edges_are_reached_as_a_binary_search_says(edges):
    edges = np.unique(edges.astype(np.float32))
    between = np.random.default_rng(5).uniform(edges[0] - 1, edges[-1] + 1, 2000)
    values = np.concatenate(
        [
            edges,
            np.nextafter(edges, np.float32(np.inf)),
            np.nextafter(edges, np.float32(-np.inf)),
            between.astype(np.float32),
            np.float32([3e38, -3e38, 0.0, -0.0]),
        ]
    )

    # TensorFlow takes numbers below the smallest normal one for 0.
    values = values[(values == 0) | ~(np.abs(values) < np.finfo(np.float32).tiny)]

    assert _reached(edges, values) == np.searchsorted(edges, values, side="right").tolist()


def test_a_number_has_its_bucket_in_any_pipeline():
    buckets = Buckets([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 1e2, 1e4, 1e6, 1e8, 1e30], [7.0]])
    values = np.float32([[0.5, 7.0, 1e9]] * 3)

    mapped = tf.data.Dataset.from_tensors(values).map(buckets.count_reached)

    assert next(iter(mapped)).numpy().tolist() == [[0, 6, 6], [0, 1, 5], [0, 1, 1]]
