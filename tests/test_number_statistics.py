"""trainer.number_statistics: edges of buckets, against numpy."""

import numpy as np

from trainer.statistics import StatisticsBuilder


def test_edges_are_inner_quantiles():
    builder = StatisticsBuilder([], [], "y")
    builder.add({"y": np.arange(1001.0)}, np.arange(1001, dtype=np.uint64))
    label = builder.finalize().label
    assert label.quantile_edges(4) == (250.0, 500.0, 750.0)
    assert label.quantile_edges(1) == ()


def test_edges_of_a_column_full_of_zeros():
    values = np.concatenate([np.zeros(900), np.arange(1, 101)])
    builder = StatisticsBuilder([], [], "y")
    builder.add({"y": values}, np.arange(1000, dtype=np.uint64))
    label = builder.finalize().label
    assert label.quantile_edges(4) == ()  # all three quartiles are zero, the minimum
    assert label.distinct_edges(4) == (25.0, 50.0, 75.0)  # of 0, 1, ..., 100
    assert label.bucket_edges(4) == (25.0, 50.0, 75.0)


def test_few_values_get_a_bucket_each():
    values = np.repeat([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1, 700, 150, 40, 50, 30, 29])
    builder = StatisticsBuilder([], [], "y")
    builder.add({"y": values}, np.arange(1000, dtype=np.uint64))
    label = builder.finalize().label
    assert label.bucket_edges(128) == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert label.distinct_edges(7) == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert label.distinct_edges(2) == (3.0,)


def test_edges_increase_in_float32():
    values = 1e8 + np.arange(100.0)  # float32 has steps of 8 there
    builder = StatisticsBuilder([], [], "y")
    builder.add({"y": values}, np.arange(100, dtype=np.uint64))
    edges = np.array(builder.finalize().label.bucket_edges(50))
    np.testing.assert_array_equal(edges, edges.astype(np.float32))
    assert (np.diff(edges) > 0).all()
    assert 10 <= len(edges) <= 13
