"""trainer.tallies against exact fractions and a Counter."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import tallies
from trainer.tallies import (
    LONGEST_BAG,
    Bag,
    BagCounts,
    Moments,
    TokenCounts,
    summarize_bag,
)


@given(st.lists(st.lists(st.integers(-1000, 1000), max_size=9), min_size=1, max_size=6))
def test_merged_moments_are_those_of_all_values(blocks):
    merged = Moments()
    for block in blocks:
        part = Moments()
        part.add(np.array(block, np.float64), num_missing=2)
        merged.merge(part)
    values = [Fraction(value) for block in blocks for value in block]
    assert (merged.count, merged.missing) == (len(values), 2 * len(blocks))
    if not values:
        return
    mean = sum(values) / len(values)
    scale = float(max(abs(value) for value in values)) or 1.0
    assert merged.mean == pytest.approx(float(mean), rel=1e-12, abs=1e-12 * scale)
    for power in (2, 3, 4):
        exact = float(sum((value - mean) ** power for value in values))
        tolerance = 1e-12 * len(values) * scale**power
        assert getattr(merged, f"sum_{power}") == pytest.approx(exact, rel=1e-10, abs=tolerance)
    assert (merged.minimum, merged.maximum) == (min(values), max(values))
    assert merged.zeros == values.count(0)


def test_moments_of_a_far_off_column_keep_their_digits():
    values = 1e9 + np.arange(1000.0)
    whole, merged = Moments(), Moments()
    whole.add(values, 0)
    for block in np.split(values, 10):
        merged.add(block, 0)
    # Sum of squared deviations of 0..n-1: n (n^2 - 1) / 12.
    for moments in (whole, merged):
        assert moments.sum_2 == pytest.approx(1000 * (1000**2 - 1) / 12, rel=1e-10)


@given(
    blocks=st.lists(st.lists(st.sampled_from(["a", "b", "c", "", None]), max_size=9), max_size=6),
    pending=st.integers(0, 5),
)
def test_tokens_are_counted_whatever_the_blocks(blocks, pending):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tallies, "MAX_PENDING_TOKENS", pending)
        counts, other = TokenCounts(), TokenCounts()
        for i, block in enumerate(blocks):
            array = pa.array(block, pa.string())
            (counts, other)[i % 2].add(array.dictionary_encode() if i % 3 else array)
        counts.merge(other)
    words = [word for block in blocks for word in block]
    expected = sorted(Counter(w for w in words if w).items(), key=lambda pair: (-pair[1], pair[0]))
    assert counts.sorted_pairs() == tuple(expected)
    assert counts.missing == sum(not word for word in words)


def test_dictionary_with_unused_null_and_repeated_tokens():
    dictionary = pa.array(["a", "unused", None, "a", ""])
    column = pa.DictionaryArray.from_arrays(pa.array([0, 3, 2, None, 4], pa.int32()), dictionary)
    counts = TokenCounts()
    counts.add(pa.chunked_array([column, column]))
    assert counts.sorted_pairs() == (("a", 4),)
    assert counts.missing == 6


def _bag(texts):
    lengths = np.array([len(values) for values in texts])
    values = pa.array([v for values in texts for v in values], pa.string())
    return Bag(np.arange(1, len(texts) + 1), lengths, values)


def test_a_bag_counts_rows_by_length_and_values_by_rows():
    # The texts stand in 1, 2, 3 and 4 rows.
    bag = _bag([["a", "b"], [], ["a", "a"], ["c"]])
    counts = BagCounts()
    counts.take(summarize_bag(bag))

    assert counts.lengths() == (2, 4, 1 + 3)
    assert counts.tokens.sorted_pairs() == (("a", 1 + 2 * 3), ("c", 4), ("b", 1))


def test_bags_merge_and_long_ones_count_as_one_length():
    first, second = BagCounts(), BagCounts()
    first.take(summarize_bag(_bag([["a"]])))
    second.take(summarize_bag(_bag([["a"] * (LONGEST_BAG + 9), ["b"]])))
    second.take(summarize_bag(Bag(np.array([5]), np.array([1]), None)))
    first.merge(second)

    lengths = first.lengths()
    assert (len(lengths) - 1, lengths[1], lengths[-1]) == (LONGEST_BAG, 1 + 2 + 5, 1)
    assert first.tokens.sorted_pairs() == (("a", 1 + LONGEST_BAG + 9), ("b", 2))
