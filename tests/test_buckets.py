"""trainer.buckets against a binary search."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.buckets import bucketize


def test_a_value_on_an_edge_is_above_it():
    values = np.float32([1.0, 2.0, 2.4, 2.5, 9.0, np.nan, -np.inf, np.inf])

    ids = bucketize(tf.constant(values), [2.0, 2.5]).numpy()

    assert ids.tolist() == [1, 2, 2, 3, 3, 0, 1, 3]


def test_without_edges_there_is_one_bucket():
    assert bucketize(tf.constant([1.0, np.nan]), []).numpy().tolist() == [1, 0]


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
def test_many_edges_give_the_bucket_of_a_binary_search(edges):
    edges = np.unique(edges.astype(np.float32))
    between = np.random.default_rng(5).uniform(edges[0] - 1, edges[-1] + 1, 2000)
    values = np.concatenate(
        [
            edges,
            np.nextafter(edges, np.float32(np.inf)),
            np.nextafter(edges, np.float32(-np.inf)),
            between.astype(np.float32),
            np.float32([np.inf, -np.inf, 3e38, -3e38, np.nan, 0.0, -0.0]),
        ]
    )

    # TensorFlow takes numbers below the smallest normal one for 0.
    values = values[(values == 0) | ~(np.abs(values) < np.finfo(np.float32).tiny)]

    ids = bucketize(tf.constant(values), edges.tolist()).numpy()

    expected = np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, side="right"))
    assert ids.tolist() == expected.tolist()


def test_a_number_has_its_bucket_in_any_pipeline():
    values = np.float32([0.5, 7.0, np.nan, 1e9])
    for edges, expected in (
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1, 7, 0, 7]),
        ([1.0, 1e2, 1e4, 1e6, 1e8, 1e30], [1, 2, 0, 6]),
    ):
        mapped = tf.data.Dataset.from_tensors(values).map(lambda v, e=edges: bucketize(v, e))
        assert next(iter(mapped)).numpy().tolist() == expected
