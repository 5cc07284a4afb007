"""From stored rows to tf.data: which rows are in which batch, decided by (seed, step) alone.

The training rows are one endless line: epoch 0 in its order, then epoch 1 in another, and so on.
Step s with batch size B takes places s * B to (s + 1) * B of that line, and of several processes
each its slice of them. So every row is seen once
per epoch, nothing is dropped at an epoch's end, batches have one static shape, and going on at any
step needs no state but its number. Within an epoch, blocks of rows are permuted, a window of blocks
is merged and permuted, and batches are slices of the windows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.config import Config
from trainer.distribution import Distribution
from trainer.plan import Plan
from trainer.row_stores import RowStore, Window
from trainer.rows import RowLayout


class Batch(NamedTuple):
    """Unpacked rows: ids (B, F) int32, numbers (B, N), label (B, L) and weight (B,) float32."""

    ids: tf.Tensor
    numbers: tf.Tensor
    label: tf.Tensor
    weight: tf.Tensor


def unpack_rows(rows_BW: tf.Tensor, layout: RowLayout) -> Batch:
    """The parts of packed rows (B, W) int32."""
    floats = tf.bitcast(rows_BW[:, layout.num_ids :], tf.float32)
    end = layout.num_numbers + layout.num_labels
    return Batch(
        ids=rows_BW[:, : layout.num_ids],
        numbers=floats[:, : layout.num_numbers],
        label=floats[:, layout.num_numbers : end],
        weight=floats[:, end],
    )


def training_rows(
    store: RowStore, *, seed: int, first_row: int, window_rows: int
) -> Iterator[Window]:
    """The endless line of training rows from place `first_row` on, window by window."""
    epoch, skip_rows = divmod(first_row, store.num_rows)
    while True:
        yield from store.windows(_permutations(seed, epoch), window_rows, skip_rows)
        epoch, skip_rows = epoch + 1, 0


def _permutations(seed: int, epoch: int) -> Callable[[int, int], np.ndarray]:
    """`permute(index, n)`: a function of (seed, epoch, index), the same on every machine."""

    def permute(index: int, size: int) -> np.ndarray:
        key = np.array([seed, (epoch << 32) + index + 1], np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).permutation(size)

    return permute


def training_chunks(
    store: RowStore,
    *,
    batch_size: int,
    seed: int,
    first_step: int,
    call_length: Callable[[int], int],
    window_rows: int,
    part: slice | None = None,
) -> Iterator[np.ndarray]:
    """Rows of the steps of one call after another: (n, P, W) int32.

    Args:
        store: the training rows; not empty.
        batch_size: rows of a step.
        seed: of the permutations.
        first_step: step to begin with.
        call_length: steps of the call that begins at a step; 0 ends the line.
        window_rows: rows permuted together.
        part: the P rows of each batch to give; None for all.
    """
    windows = training_rows(
        store, seed=seed, first_row=first_step * batch_size, window_rows=window_rows
    )
    source, order = next(windows)
    step = first_step
    while num_steps := call_length(step):
        missing = num_steps * batch_size
        pieces = []
        while missing:
            if not len(order):
                source, order = next(windows)
            taken, order = order[:missing], order[missing:]
            missing -= len(taken)
            if part is not None:
                # Counted from the end of the call, which is the end of a batch.
                places = np.arange(-missing - len(taken), -missing) % batch_size
                taken = taken[(places >= part.start) & (places < part.stop)]
            pieces.append(source.take(taken, axis=0))
        rows = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        yield rows.reshape(num_steps, -1, rows.shape[1])
        step += num_steps


def rows_of_calls(
    store: RowStore,
    layout: RowLayout,
    *,
    config: Config,
    plan: Plan,
    distribution: Distribution,
    first_step: int,
) -> TrainingRows:
    """This process's rows of the training calls of a run, (S, P, W) each, from a step on."""
    part = distribution.local_slice(plan.batch_size)
    chunks = functools.partial(
        training_chunks,
        store,
        batch_size=plan.batch_size,
        seed=config.training.seed,
        first_step=first_step,
        call_length=plan.call_length,
        window_rows=config.data.shuffle_rows,
        part=part if distribution.num_peers > 1 else None,
    )
    return TrainingRows(chunks, layout, part.stop - part.start)


class TrainingRows:
    """`training_chunks` through a tf.data.Dataset that reads ahead by two calls.

    What goes wrong while reading is raised as it was, not as the text that tf.data makes of it.
    """

    def __init__(
        self, chunks: Callable[[], Iterator[np.ndarray]], layout: RowLayout, num_rows: int
    ):
        """Take the chunks, (n, num_rows, W) int32 each."""
        self._error: Exception | None = None
        options = tf.data.Options()
        # There is nothing to tune; and the end of a run that stops early would wait for the tuner,
        # up to 5 s from the start (TensorFlow 2.21).
        options.autotune.enabled = False
        chunks_ds = tf.data.Dataset.from_generator(
            lambda: self._guard(chunks()),
            output_signature=tf.TensorSpec((None, num_rows, layout.width), tf.int32),
        )
        self.dataset = chunks_ds.prefetch(2).with_options(options)

    def __iter__(self) -> Iterator[tf.Tensor]:
        """The chunks, as tensors."""
        yield from self.dataset
        if self._error is not None:
            raise self._error

    def _guard(self, chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        try:
            yield from chunks
        except Exception as error:  # noqa: BLE001 - raised again by __iter__, in the main thread
            self._error = error


def evaluation_batches(
    store: RowStore, batch_size: int, limit_rows: int = 0
) -> Iterator[np.ndarray]:
    """Each row once, in file order: (batch_size, W) int32.

    The last batch is filled up with rows of zeros, whose weight is 0: one static shape, and no
    row is counted twice.
    """
    left = min(limit_rows, store.num_rows) if limit_rows else store.num_rows
    held: list[np.ndarray] = []
    held_rows = 0
    for piece in store.in_order():
        piece = piece[:left]
        left -= len(piece)
        while held_rows + len(piece) >= batch_size:
            cut = batch_size - held_rows
            yield np.concatenate([*held, piece[:cut]])
            held, held_rows, piece = [], 0, piece[cut:]
        if len(piece):
            held.append(piece)
            held_rows += len(piece)
        if not left:
            break
    if held_rows:
        width = held[0].shape[1]
        yield np.concatenate([*held, np.zeros((batch_size - held_rows, width), np.int32)])
