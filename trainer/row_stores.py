"""Where encoded rows stay between epochs: in memory, in one scratch file, or nowhere.

Knows blocks of packed rows and their order, not what is in them. May not import TensorFlow.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol

import numpy as np

from trainer.errors import UserError

MEGABYTE = 1 << 20


class Window(NamedTuple):
    """Rows that are permuted together: `source[order]`, row by row."""

    source: np.ndarray
    order: np.ndarray


class RowStore(Protocol):
    """Encoded rows that can be read in file order, and in blocks of an order of one's own."""

    @property
    def kind(self) -> Literal["memory", "disk", "stream"]:
        """Where the rows stay."""
        ...

    @property
    def num_rows(self) -> int:
        """Rows in all."""
        ...

    def in_order(self) -> Iterator[np.ndarray]:
        """Packed rows in file order, in pieces of any size."""
        ...

    def windows(
        self, permute: Callable[[int, int], np.ndarray], window_rows: int, skip_rows: int
    ) -> Iterator[Window]:
        """One epoch as windows of about `window_rows` rows, `skip_rows` rows into it.

        Args:
            permute: `permute(index, n)` is the permutation of n things that belongs to index:
                -1 for the blocks, the window's number for its rows.
            window_rows: rows merged and permuted together, at least.
            skip_rows: rows of the epoch that were seen already.
        """
        ...


class BlockStore:
    """Rows in blocks that can be read in any order: in memory, or in one scratch file."""

    def __init__(
        self,
        blocks: Sequence[np.ndarray],
        block_rows: Sequence[int],
        kind: Literal["memory", "disk"],
    ):
        """Take (R, W) int32 blocks of `block_rows` rows."""
        self.kind: Literal["memory", "disk"] = kind
        self.num_rows = sum(block_rows)
        self._blocks = blocks
        self._block_rows = np.array(block_rows, np.int64)

    def in_order(self) -> Iterator[np.ndarray]:
        """See `RowStore`; the pieces are the blocks."""
        return (self._blocks[i] for i in range(len(self._blocks)))

    def windows(
        self, permute: Callable[[int, int], np.ndarray], window_rows: int, skip_rows: int
    ) -> Iterator[Window]:
        """See `RowStore`. Skipped windows are not read."""
        order = permute(-1, len(self._blocks))

        def read(first: int, last: int) -> list[np.ndarray]:
            return [self._blocks[int(i)] for i in order[first:last]]

        return _merged_windows(self._block_rows[order], read, permute, window_rows, skip_rows)


class StreamStore:
    """Rows that are read and encoded again in every epoch, file by file."""

    kind: Literal["stream"] = "stream"

    def __init__(
        self,
        read: Callable[[Sequence[int]], Iterator[np.ndarray]],
        file_blocks: Sequence[Sequence[int]],
    ):
        """Take the reader and the block sizes that it gives.

        Args:
            read: `read(files)` gives the packed blocks of those files, in that order.
            file_blocks: rows of each block, by file.
        """
        self._read = read
        self._file_blocks = [list(blocks) for blocks in file_blocks]
        self.num_rows = sum(sum(blocks) for blocks in self._file_blocks)

    def in_order(self) -> Iterator[np.ndarray]:
        """See `RowStore`."""
        return self._read(range(len(self._file_blocks)))

    def windows(
        self, permute: Callable[[int, int], np.ndarray], window_rows: int, skip_rows: int
    ) -> Iterator[Window]:
        """See `RowStore`. Blocks keep their order within a file; skipped rows are read past."""
        files = permute(-1, len(self._file_blocks))
        lengths = np.array([n for f in files for n in self._file_blocks[f]], np.int64)
        blocks = self._read([int(f) for f in files])
        done = 0

        def read(first: int, last: int) -> list[np.ndarray]:
            nonlocal done
            pieces = list(itertools.islice(blocks, first - done, last - done))
            done = last
            return pieces

        return _merged_windows(lengths, read, permute, window_rows, skip_rows)


def _merged_windows(
    lengths: np.ndarray,
    read: Callable[[int, int], list[np.ndarray]],
    permute: Callable[[int, int], np.ndarray],
    window_rows: int,
    skip_rows: int,
) -> Iterator[Window]:
    """The windows of an epoch whose blocks have `lengths` rows, in this order.

    Args:
        lengths: rows of each block.
        read: `read(first, last)` gives the blocks of that range; ranges increase.
        permute: see `RowStore.windows`, as the others.
        window_rows: rows of a window, at least.
        skip_rows: rows of the epoch that were seen already.
    """
    for number, (first, last) in enumerate(_window_bounds(lengths, window_rows)):
        size = int(lengths[first:last].sum())
        if skip_rows >= size:
            skip_rows -= size
            continue
        yield Window(np.concatenate(read(first, last)), permute(number, size)[skip_rows:])
        skip_rows = 0


def _window_bounds(lengths: np.ndarray, window_rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of consecutive blocks that together have at least `window_rows` rows.

    A remainder of less than half a window joins the window before it, so that no row is shuffled
    among a handful.

    >>> list(_window_bounds(np.array([4, 4, 4, 4, 1]), 8))
    [(0, 2), (2, 5)]
    """
    bounds: list[tuple[int, int]] = []
    first, rows = 0, 0
    for last, length in enumerate(lengths, start=1):
        rows += int(length)
        if rows >= window_rows:
            bounds.append((first, last))
            first, rows = last, 0
    if first < len(lengths):
        if bounds and rows < window_rows // 2:
            bounds[-1] = (bounds[-1][0], len(lengths))
        else:
            bounds.append((first, len(lengths)))
    yield from bounds


class Budget:
    """Megabytes that stores may still take, shared by the training, validation and test rows."""

    def __init__(self, memory_mb: int, disk_mb: int, scratch_dir: str | None):
        """Start with `memory_mb` megabytes of memory and `disk_mb` of scratch files."""
        self.memory_bytes = memory_mb * MEGABYTE
        self.disk_bytes = disk_mb * MEGABYTE
        self.scratch_dir = scratch_dir


def store_rows(
    read: Callable[[Sequence[int]], Iterator[np.ndarray]],
    num_files: int,
    storage: Literal["auto", "memory", "disk", "stream"],
    budget: Budget,
) -> RowStore:
    """Encode all rows once and keep them where they fit.

    Args:
        read: `read(files)` gives the packed blocks of those files, in that order.
        num_files: files that there are.
        storage: memory, disk or stream; auto takes the first that fits the budget.
        budget: what is left to take; reduced by what is taken.
    """
    writer = _RowWriter(storage, budget)
    file_blocks: list[list[int]] = []
    for file in range(num_files):
        file_blocks.append([])
        for rows in read([file]):
            file_blocks[-1].append(len(rows))
            writer.append(rows)
    lengths = [n for blocks in file_blocks for n in blocks]
    blocks = writer.finish(lengths)
    if blocks is None:
        return StreamStore(read, file_blocks)
    return BlockStore(blocks, lengths, "disk" if isinstance(blocks, FileBlocks) else "memory")


class _RowWriter:
    """Collects blocks in memory, moves to a scratch file when they outgrow it, gives up beyond."""

    def __init__(self, storage: str, budget: Budget):
        self._storage = storage
        self._budget = budget
        self._blocks: list[np.ndarray] = []
        self._file: BinaryIO | None = None
        self._bytes = 0
        self._width = 0
        self._streams = storage == "stream"

    def append(self, rows: np.ndarray) -> None:
        self._width = rows.shape[1]
        self._bytes += rows.nbytes
        if self._streams:
            return
        try:
            self._keep(rows)
        except OSError as error:
            raise UserError(
                f"data.scratch_dir: {self._bytes / MEGABYTE:.0f} MB of encoded rows do not go to "
                f"{self._budget.scratch_dir or tempfile.gettempdir()}: "
                f"{error.strerror or error}; make room, name another folder, or "
                "set data.storage to stream"
            ) from error

    def _keep(self, rows: np.ndarray) -> None:
        if self._file is None:
            self._blocks.append(rows)
            if self._storage == "disk" or (
                self._storage == "auto" and self._bytes > self._budget.memory_bytes
            ):
                self._move_to_disk()
        else:
            rows.tofile(self._file)
        if self._storage == "auto" and self._file and self._bytes > self._budget.disk_bytes:
            self._file.close()
            self._file, self._streams = None, True

    def _move_to_disk(self) -> None:
        # Unnamed: nothing is left behind, not even after a kill.
        self._file = tempfile.TemporaryFile(dir=self._budget.scratch_dir)  # noqa: SIM115
        for block in self._blocks:
            block.tofile(self._file)
        self._blocks.clear()

    def finish(self, lengths: Sequence[int]) -> Sequence[np.ndarray] | None:
        """The blocks, of `lengths` rows; None where they must be streamed."""
        if self._streams:
            return None
        if self._file is None:
            self._budget.memory_bytes -= self._bytes
            return self._blocks
        self._budget.disk_bytes -= self._bytes
        self._file.flush()
        return FileBlocks(self._file, lengths, self._width)


class FileBlocks(Sequence[np.ndarray]):
    """Blocks of an open file, read when asked for.

    Not memory-mapped: pages that were touched would count as this process's memory.
    """

    def __init__(self, file: BinaryIO, lengths: Sequence[int], width: int):
        """Take a file of (R, width) int32 blocks of `lengths` rows, one after another."""
        self._file, self._width = file, width
        self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]) * 4 * width

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: Any) -> Any:
        start, end = int(self._starts[index]), int(self._starts[index + 1])
        data = os.pread(self._file.fileno(), end - start, start)
        return np.frombuffer(data, np.int32).reshape(-1, self._width)
