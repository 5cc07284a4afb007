"""Predictions and metrics over a whole set of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.input import evaluation_batches
from trainer.program import Program
from trainer.row_stores import RowStore
from trainer.rows import labels_of, weights_of

MOST_BATCH_ROWS = 8192
_BATCH_STEP = 256


class Predictions(NamedTuple):
    """Rows of a set in file order: label (R,), logits (R, O), weight (R,), float32."""

    label: np.ndarray
    logits: np.ndarray
    weight: np.ndarray


def predict(program: Program, store: RowStore, limit_rows: int = 0) -> Predictions:
    """Logits of every row, each once, by the model's present weights; the same on all processes.

    Args:
        program: the model.
        store: the rows.
        limit_rows: only the first rows; 0 for all.
    """
    num_rows = min(limit_rows, store.num_rows) if limit_rows else store.num_rows
    distribution = program.distribution
    batch_size = _batch_size(num_rows, distribution.num_replicas)
    part = distribution.local_slice(batch_size)
    label, logits, weight = [], [], []
    for rows in evaluation_batches(store, batch_size, limit_rows):
        logits_BO = np.zeros((batch_size, program.objective.num_outputs), np.float32)
        logits_BO[part] = program.predict(tf.constant(rows[part])).numpy()
        logits.append(logits_BO)
        label.append(labels_of(rows))
        weight.append(weights_of(rows))
    if not logits:
        empty = np.empty(0, np.float32)
        return Predictions(empty, np.empty((0, program.objective.num_outputs), np.float32), empty)
    return Predictions(
        np.concatenate(label)[:num_rows],
        distribution.sum_over_peers(np.concatenate(logits))[:num_rows],
        np.concatenate(weight)[:num_rows],
    )


def _batch_size(num_rows: int, num_replicas: int) -> int:
    """Rows of a batch: few shapes over all sets of a run, and equal parts for the replicas."""
    rounded = -(-num_rows // _BATCH_STEP) * _BATCH_STEP
    batch_size = min(MOST_BATCH_ROWS, max(rounded, _BATCH_STEP))
    return -(-batch_size // num_replicas) * num_replicas


def evaluate(program: Program, store: RowStore, limit_rows: int = 0) -> dict[str, float]:
    """Metrics of every row by the model's present weights."""
    predictions = predict(program, store, limit_rows)
    return program.objective.metrics(*predictions)


@contextlib.contextmanager
def averaged_weights(program: Program) -> Iterator[None]:
    """The moving average in the place of the weights, which come back afterwards."""
    if program.average is None:
        yield
        return
    program.average.swap()
    try:
        yield
    finally:
        program.average.swap()
