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
    """Logits of every row, each once, by the model's present weights.

    Args:
        program: the model.
        store: the rows.
        limit_rows: only the first rows; 0 for all.
    """
    num_rows = min(limit_rows, store.num_rows) if limit_rows else store.num_rows
    rounded = -(-num_rows // _BATCH_STEP) * _BATCH_STEP
    label, logits, weight = [], [], []
    for rows in evaluation_batches(store, min(MOST_BATCH_ROWS, max(rounded, 1)), limit_rows):
        logits.append(program.predict(tf.constant(rows)).numpy())
        label.append(labels_of(rows))
        weight.append(weights_of(rows))
    if not logits:
        empty = np.empty(0, np.float32)
        return Predictions(empty, np.empty((0, program.objective.num_outputs), np.float32), empty)
    return Predictions(
        np.concatenate(label)[:num_rows],
        np.concatenate(logits)[:num_rows],
        np.concatenate(weight)[:num_rows],
    )


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
