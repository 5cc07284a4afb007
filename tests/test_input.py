"""trainer.input: which rows are in which batch, as a function of (seed, step) alone."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import UserError
from trainer.input import (
    TrainingRows,
    evaluation_batches,
    training_chunks,
    unpack_rows,
)
from trainer.row_stores import MEGABYTE, Budget, store_rows
from trainer.rows import RowLayout, pack_rows, weights_of

LAYOUT = RowLayout(num_ids=1, num_numbers=1)
KINDS = ["memory", "disk", "stream"]


def make_store(files, kind, scratch_dir=None):
    """Rows numbered from 0 in file order, of weight 1; `files` are block sizes by file."""
    starts = np.cumsum([0, *(sum(blocks) for blocks in files)])

    def read(units):
        for unit in units:
            start = starts[unit]
            for length in files[unit]:
                numbers = np.arange(start, start + length)
                yield pack_rows(
                    numbers[:, None].astype(np.int32),
                    numbers[:, None].astype(np.float32),
                    numbers[:, None].astype(np.float32),
                    np.ones(length, np.float32),
                )
                start += length

    budget = Budget(1, 1, scratch_dir and str(scratch_dir))
    assert budget.memory_bytes == MEGABYTE
    return store_rows(read, len(files), kind, budget)


def batches(store, batch_size, num_steps, *, first_step=0, seed=7, per_call=1, window_rows=8):
    """Row numbers of the steps [first_step, num_steps), a list for each."""
    chunks = training_chunks(
        store,
        batch_size=batch_size,
        seed=seed,
        first_step=first_step,
        call_length=lambda step: min(per_call, num_steps - step),
        window_rows=window_rows,
    )
    return [batch[:, 0].tolist() for chunk in chunks for batch in chunk]


FILES = st.lists(st.lists(st.integers(0, 7), max_size=4), min_size=1, max_size=4).filter(
    lambda files: any(map(sum, files))
)


@settings(max_examples=120, deadline=None)
@given(FILES, st.sampled_from(KINDS), st.integers(1, 9), st.integers(1, 20), st.integers(0, 99))
def test_every_row_is_seen_once_per_epoch(files, kind, batch_size, window_rows, seed):
    store = make_store(files, kind)
    num_epochs = 3
    num_steps = -(-num_epochs * store.num_rows // batch_size)
    found = batches(store, batch_size, num_steps, seed=seed, window_rows=window_rows)
    assert all(len(batch) == batch_size for batch in found)
    line = list(itertools.chain(*found))
    for epoch in range(num_epochs):
        seen = line[epoch * store.num_rows : (epoch + 1) * store.num_rows]
        assert sorted(seen) == list(range(store.num_rows))


@settings(max_examples=120, deadline=None)
@given(
    FILES,
    st.sampled_from(KINDS),
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(0, 25),
    st.integers(1, 9),
)
def test_a_batch_depends_on_seed_and_step_only(
    files, kind, batch_size, window_rows, first_step, per_call
):
    """Not on where reading began, and not on how steps are grouped into calls."""
    store = make_store(files, kind)
    whole = batches(store, batch_size, 30, window_rows=window_rows)
    assert whole[first_step:] == batches(
        store, batch_size, 30, first_step=first_step, per_call=per_call, window_rows=window_rows
    )


@settings(max_examples=60, deadline=None)
@given(FILES, st.integers(1, 9), st.integers(1, 20), st.integers(0, 2**63))
def test_memory_and_disk_give_the_same_batches(files, batch_size, window_rows, seed):
    memory, disk = (
        batches(make_store(files, kind), batch_size, 20, seed=seed, window_rows=window_rows)
        for kind in ("memory", "disk")
    )
    assert memory == disk


@pytest.mark.parametrize("kind", KINDS)
def test_orders_differ_by_epoch_and_by_seed(kind):
    store = make_store([[10, 10], [10]], kind)

    def epochs(seed):
        found = batches(store, 30, 2, seed=seed, window_rows=10)
        return [tuple(batch) for batch in found]

    assert len({*epochs(1), *epochs(2), tuple(range(30))}) == 5


def test_a_whole_window_is_uniformly_permuted():
    """Each row takes each place about as often: 100 times of 500 in every cell."""
    store = make_store([[2, 3]], "memory")
    counts = np.zeros((5, 5))
    for seed in range(500):
        for place, row in enumerate(batches(store, 5, 1, seed=seed, window_rows=5)[0]):
            counts[place, row] += 1
    # 5 / 4 of a chi-squared with 4 x 4 degrees of freedom: mean 20, below 50 in 99.9% of cases.
    assert ((counts - 100) ** 2 / 100).sum() < 50


def test_rows_cross_an_epochs_end_within_a_batch():
    store = make_store([[3]], "memory")
    found = batches(store, 2, 3)
    line = list(itertools.chain(*found))
    assert sorted(line[:3]) == sorted(line[3:]) == [0, 1, 2]


def test_a_batch_larger_than_the_set_takes_several_epochs():
    found = batches(make_store([[2]], "memory"), 5, 2)
    assert np.bincount(list(itertools.chain(*found))).tolist() == [5, 5]


def test_dataset_is_the_chunks_with_static_batches():
    store = make_store([[4, 4], [3]], "memory")
    options = {
        "batch_size": 3,
        "seed": 5,
        "first_step": 2,
        "call_length": lambda step: {2: 4, 6: 1}.get(step, 0),
        "window_rows": 6,
    }
    rows = TrainingRows(functools.partial(training_chunks, store, **options), LAYOUT, 3)
    assert rows.dataset.element_spec == tf.TensorSpec((None, 3, LAYOUT.width), tf.int32)
    found = [chunk.numpy() for chunk in rows]
    expected = list(training_chunks(store, **options))
    assert [len(chunk) for chunk in found] == [4, 1]
    for got, chunk in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, chunk)


def test_what_goes_wrong_while_reading_is_raised_as_it_was():
    def chunks():
        yield np.zeros((1, 3, LAYOUT.width), np.int32)
        raise UserError("rides.csv changed while it was read")

    rows = iter(TrainingRows(chunks, LAYOUT, 3))
    assert next(rows).shape == (1, 3, LAYOUT.width)
    with pytest.raises(UserError, match=r"rides\.csv changed"):
        next(rows)


BITS = st.integers(0, 2**32 - 1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.integers(1, 3), st.data())
def test_unpacked_rows_are_the_packed_ones_bit_for_bit(
    num_rows, num_ids, num_numbers, num_labels, data
):
    def floats(*shape):
        size = int(np.prod(shape))
        drawn = data.draw(st.lists(BITS, min_size=size, max_size=size))
        return np.array(drawn, np.uint32).reshape(shape).view(np.float32)

    ids, numbers = floats(num_rows, num_ids).view(np.int32), floats(num_rows, num_numbers)
    labels, weight = floats(num_rows, num_labels), floats(num_rows)
    rows = tf.constant(pack_rows(ids, numbers, labels, weight))
    layout = RowLayout(num_ids, num_numbers, num_labels)
    for found in (unpack_rows(rows, layout), tf.function(unpack_rows)(rows, layout)):
        for part, expected in zip(found, (ids, numbers, labels, weight), strict=True):
            assert part.shape == expected.shape
            assert part.numpy().tobytes() == expected.tobytes()


@settings(max_examples=120, deadline=None)
@given(FILES, st.sampled_from(KINDS), st.integers(1, 12), st.integers(0, 40))
def test_evaluation_sees_each_row_once_in_order_and_fills_up_with_weight_0(
    files, kind, batch_size, limit_rows
):
    store = make_store(files, kind)
    num_rows = min(limit_rows or store.num_rows, store.num_rows)
    found = list(evaluation_batches(store, batch_size, limit_rows))
    assert len(found) == -(-num_rows // batch_size)
    assert all(batch.shape == (batch_size, LAYOUT.width) for batch in found)
    rows = np.concatenate(found)
    assert rows[:num_rows, 0].tolist() == list(range(num_rows))
    assert weights_of(rows).tolist() == [1.0] * num_rows + [0.0] * (len(rows) - num_rows)
    assert not rows[num_rows:].any()


def test_an_empty_set_has_no_evaluation_batch():
    assert list(evaluation_batches(make_store([[0]], "memory"), 4)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_of_its_own_kind_repeats_itself(kind, tmp_path):
    store = make_store([[5, 2], [6]], kind, tmp_path)
    assert store.kind == kind
    assert batches(store, 4, 11) == batches(make_store([[5, 2], [6]], kind, tmp_path), 4, 11)
