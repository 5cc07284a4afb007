"""trainer.sampling against the published hash in Python integers, and plain sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from splitmix import scalar_splitmix64

from trainer.sampling import DistinctSample, RowSample, invert_splitmix64, splitmix64

UINT64 = st.integers(0, 2**64 - 1)


@given(st.lists(UINT64, max_size=20))
def test_hash_is_the_published_one_and_can_be_inverted(values):
    array = np.array(values, np.uint64)
    assert splitmix64(array).tolist() == [scalar_splitmix64(value) for value in values]
    assert invert_splitmix64(splitmix64(array)).tolist() == values


def priority(number):
    return scalar_splitmix64(int(np.float64(number).view(np.uint64)))


@given(
    blocks=st.lists(st.lists(st.integers(-20, 20), max_size=30), max_size=8),
    others=st.lists(st.integers(-20, 20), max_size=30),
    size=st.integers(1, 50),
)
def test_distinct_sample_is_the_numbers_of_lowest_hash(blocks, others, size):
    sample, other = DistinctSample(size), DistinctSample(size)
    for block in blocks:
        sample.add(np.array(block, np.float64))
    other.add(np.array(others, np.float64))
    sample.merge(other)
    distinct = {float(number) for block in [*blocks, others] for number in block}
    expected = sorted(sorted(distinct, key=priority)[:size])
    assert sample.values().tolist() == expected
    if len(distinct) <= size:
        assert sample.estimate() == len(distinct)


def test_full_sample_stays_an_estimate_after_merging():
    full, empty = DistinctSample(64), DistinctSample(64)
    full.add(np.arange(10_000.0))
    empty.merge(full)
    assert empty.estimate() == full.estimate()
    assert 4_000 < full.estimate() < 16_000  # standard error 1 / sqrt(62) = 13%


@given(st.permutations(range(40)), st.integers(1, 60), st.integers(1, 39))
def test_row_sample_is_the_rows_of_lowest_hash(order, size, cut):
    ids = np.array(order, np.uint64)
    first, second = RowSample(size, 2), RowSample(size, 2)
    for sample, rows in ((first, ids[:cut]), (second, ids[cut:])):
        for row in rows:  # one by one, so that samples fill up and turn rows away
            block = np.array([row])
            sample.add(block, [block.astype(float), -block.astype(float)])
    first.merge(second)
    expected = sorted(range(40), key=scalar_splitmix64)[:size]
    np.testing.assert_array_equal(first.columns(), [expected, [-row for row in expected]])
