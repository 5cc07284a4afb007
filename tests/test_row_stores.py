"""trainer.row_stores: stores give back what was put in, in the order that was asked."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_table import cut

from trainer.row_stores import (
    MEGABYTE,
    BlockStore,
    Budget,
    StreamStore,
    store_rows,
)


def make_files(*files, width=4):
    """A reader of numbered rows: `files` are the block sizes of each file."""
    total = sum(sum(blocks) for blocks in files)
    rows = np.arange(total * width, dtype=np.int32).reshape(total, width)
    starts = np.cumsum([0, *(sum(blocks) for blocks in files)])

    def read(units):
        for unit in units:
            start = starts[unit]
            for length in files[unit]:
                yield rows[start : start + length].copy()
                start += length

    return read, rows


def budget_of(tmp_path, memory_bytes=10 * MEGABYTE, disk_bytes=10 * MEGABYTE):
    budget = Budget(0, 0, str(tmp_path))
    budget.memory_bytes, budget.disk_bytes = memory_bytes, disk_bytes
    return budget


def identity(index, size):
    return np.arange(size)


def read_epoch(store, window_rows=8, skip_rows=0, permute=identity):
    windows = store.windows(permute, window_rows, skip_rows)
    return np.concatenate([source[order] for source, order in windows])


FILES = ([3, 5, 0, 2], [1], [], [7])  # 18 rows of 16 bytes


@pytest.mark.parametrize("kind", ["memory", "disk", "stream"])
def test_every_kind_of_store_gives_the_rows_in_file_order(tmp_path, kind):
    read, rows = make_files(*FILES)
    store = store_rows(read, len(FILES), kind, budget_of(tmp_path))
    assert (store.kind, store.num_rows) == (kind, 18)
    for _ in range(2):
        assert np.concatenate(list(store.in_order())).tolist() == rows.tolist()
    assert read_epoch(store).tolist() == rows.tolist()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("memory_bytes", "disk_bytes", "kind"),
    [
        (18 * 16, 0, "memory"),
        (18 * 16 - 1, 18 * 16, "disk"),
        (18 * 16 - 1, 18 * 16 - 1, "stream"),
        # Given up in the first block, and in the last.
        (0, 0, "stream"),
        (0, 17 * 16, "stream"),
    ],
)
def test_auto_takes_the_first_place_that_fits(tmp_path, memory_bytes, disk_bytes, kind):
    read, rows = make_files(*FILES)
    budget = budget_of(tmp_path, memory_bytes, disk_bytes)
    store = store_rows(read, len(FILES), "auto", budget)
    assert store.kind == kind
    assert np.concatenate(list(store.in_order())).tolist() == rows.tolist()
    assert os.listdir(tmp_path) == []
    # What was taken is gone from the budget, and only that.
    taken = {"memory": (18 * 16, 0), "disk": (0, 18 * 16), "stream": (0, 0)}[kind]
    assert (budget.memory_bytes, budget.disk_bytes) == (
        memory_bytes - taken[0],
        disk_bytes - taken[1],
    )


def test_the_budget_is_shared_by_the_sets(tmp_path):
    read, _ = make_files(*FILES)
    budget = budget_of(tmp_path, 18 * 16 + 1, 18 * 16 + 1)
    kinds = [store_rows(read, len(FILES), "auto", budget).kind for _ in range(3)]
    assert kinds == ["memory", "disk", "stream"]


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_forced_place_ignores_the_budget(tmp_path, kind):
    read, _ = make_files(*FILES)
    assert store_rows(read, len(FILES), kind, budget_of(tmp_path, 0, 0)).kind == kind


def test_budget_is_in_megabytes():
    budget = Budget(2, 3, None)
    assert (budget.memory_bytes, budget.disk_bytes) == (2 * 1024**2, 3 * 1024**2)


@pytest.mark.parametrize("kind", ["auto", "memory", "disk", "stream"])
@pytest.mark.parametrize("files", [([0, 0],), ([],)])
def test_a_set_without_rows_has_none(tmp_path, kind, files):
    read, _ = make_files(*files)
    assert store_rows(read, len(files), kind, budget_of(tmp_path)).num_rows == 0


def test_disk_store_outlives_its_unlinked_file(tmp_path):
    read, rows = make_files([1000, 1000])
    store = store_rows(read, 1, "disk", budget_of(tmp_path))
    assert os.listdir(tmp_path) == []
    assert read_epoch(store, window_rows=500).tolist() == rows.tolist()


def test_scratch_file_is_gone_when_reading_fails(tmp_path):
    def read(units):
        yield np.zeros((4, 3), np.int32)
        raise RuntimeError("the second block is bad")

    with pytest.raises(RuntimeError):
        store_rows(read, 1, "disk", budget_of(tmp_path))
    assert os.listdir(tmp_path) == []


def reverse(index, size):
    return np.arange(size)[::-1]


def test_windows_merge_blocks_in_the_permuted_order():
    rows = np.arange(10, dtype=np.int32)[:, None]
    store = BlockStore(cut(rows, [2, 3, 4, 1]), [2, 3, 4, 1], "memory")
    # Blocks last to first are 1, 4, 3, 2 rows long: windows of at least 5 are 9 | 5..8, then
    # 2..4 | 0..1, each read backwards.
    windows = list(store.windows(reverse, 5, 0))
    found = [source[order][:, 0].tolist() for source, order in windows]
    assert found == [[8, 7, 6, 5, 9], [1, 0, 4, 3, 2]]


def test_stream_permutes_files_and_keeps_the_blocks_of_each_in_order():
    read, _ = make_files([2, 1], [3], [1, 1], width=1)
    store = StreamStore(read, [[2, 1], [3], [1, 1]])
    # Files last to first: 6 | 7 || 3 4 5 || 0 1 | 2; windows of at least 4 rows.
    windows = list(store.windows(reverse, 4, 0))
    found = [source[order][:, 0].tolist() for source, order in windows]
    assert found == [[5, 4, 3, 7, 6], [2, 1, 0]]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 6), max_size=4), min_size=1, max_size=4),
    st.integers(1, 30),
    st.integers(0, 2**20),
    st.booleans(),
)
def test_an_epoch_has_every_row_once_and_can_be_entered_anywhere(
    files, window_rows, seed, is_stream
):
    read, rows = make_files(*files, width=1)
    lengths = [n for blocks in files for n in blocks]
    store = (
        StreamStore(read, files) if is_stream else BlockStore(cut(rows, lengths), lengths, "memory")
    )

    def permute(index, size):
        return np.random.default_rng([seed, index + 1]).permutation(size)

    def epoch(skip_rows):
        windows = store.windows(permute, window_rows, skip_rows)
        return [int(row) for source, order in windows for row in source[order][:, 0]]

    whole = epoch(0)
    assert sorted(whole) == list(range(sum(lengths)))
    for skip in range(0, sum(lengths) + 1, max(1, sum(lengths) // 5)):
        assert epoch(skip) == whole[skip:]


def test_stream_calls_the_reader_anew_in_every_epoch():
    calls = []
    read, _ = make_files([2], [2])

    def spy(units):
        calls.append(list(units))
        return read(units)

    store = StreamStore(spy, [[2], [2]])
    assert read_epoch(store, permute=identity)[:, 0].tolist() == [0, 4, 8, 12]
    assert read_epoch(store, permute=reverse)[:, 0].tolist() == [4, 0, 12, 8]
    assert calls == [[0, 1], [1, 0]]
