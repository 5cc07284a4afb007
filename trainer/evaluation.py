"""Predictions and metrics over a whole set of rows."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.class_metrics import MOST_KEPT
from trainer.data_files import Part
from trainer.datasets import Datasets
from trainer.decision import decide
from trainer.evaluation_config import EvaluationConfig
from trainer.input import evaluation_batches
from trainer.metrics import Evaluator, Metrics
from trainer.program import Program
from trainer.row_stores import RowStore
from trainer.rows import labels_of, weights_of

logger = logging.getLogger(__name__)

MOST_BATCH_ROWS = 8192
# Logits of a batch: 16 MB, whatever the number of classes.
MOST_BATCH_LOGITS = 1 << 22
# Of a part, for the report: 256 MB of float32. All rows, where they have few outputs.
MOST_KEPT_LOGITS = 1 << 26
_BATCH_STEP = 256


class Predictions(NamedTuple):
    """Rows of a set in file order: labels (R, L), logits (R, O), weight (R,), float32."""

    labels: np.ndarray
    logits: np.ndarray
    weight: np.ndarray


class Measured(NamedTuple):
    """Metrics of a set, what knows those of its classes, and the predictions of its first rows."""

    metrics: Metrics
    evaluator: Evaluator
    kept: Predictions


def predict(program: Program, store: RowStore, limit_rows: int = 0) -> Iterator[Predictions]:
    """Logits of every row, each once, by the model's present weights; the same on all processes.

    They come in pieces of up to `MOST_BATCH_LOGITS` logits, or of one batch.

    Args:
        program: the model.
        store: the rows.
        limit_rows: only the first rows; 0 for all.
    """
    num_outputs = program.objective.num_outputs
    left = min(limit_rows, store.num_rows) if limit_rows else store.num_rows
    distribution = program.distribution
    batch_size = _batch_size(left, num_outputs, distribution.num_replicas)
    most_batches = max(1, MOST_BATCH_LOGITS // (batch_size * num_outputs))
    part = distribution.local_slice(batch_size)
    batches = evaluation_batches(store, batch_size, limit_rows)
    while held := list(itertools.islice(batches, most_batches)):
        logits = np.zeros((len(held), batch_size, num_outputs), np.float32)
        for batch, rows in zip(logits, held, strict=True):
            batch[part] = program.predict(tf.constant(rows[part])).numpy()
        rows = np.concatenate(held)[:left]
        yield Predictions(
            labels_of(rows, program.layout.num_labels).copy(),
            distribution.sum_over_peers(logits).reshape(-1, num_outputs)[:left],
            weights_of(rows).copy(),
        )
        left -= len(rows)


def _batch_size(num_rows: int, num_outputs: int, num_replicas: int) -> int:
    """Rows of a batch: few shapes over all sets of a run, and equal parts for the replicas."""
    rounded = -(-num_rows // _BATCH_STEP) * _BATCH_STEP
    most = min(MOST_BATCH_ROWS, MOST_BATCH_LOGITS // num_outputs // _BATCH_STEP * _BATCH_STEP)
    batch_size = max(min(most, rounded), _BATCH_STEP)
    return -(-batch_size // num_replicas) * num_replicas


def evaluate(program: Program, store: RowStore, limit_rows: int = 0) -> Metrics:
    """Metrics of every row by the model's present weights."""
    return take_in(program, store, limit_rows).metrics


def watched_metrics(
    program: Program, store: RowStore | None, limit_rows: int
) -> Callable[[], Metrics] | None:
    """What gives the metrics that training watches; None without validation rows.

    Args:
        program: the model.
        store: the validation rows.
        limit_rows: only the first rows; 0 for all.
    """
    if store is None:
        logger.warning(
            "no validation rows: no early stopping, and the last weights are kept; give "
            "data.validation or data.validation_fraction"
        )
        return None
    return lambda: evaluate(program, store, limit_rows)


def evaluate_parts(
    program: Program, datasets: Datasets, *, keeps_rows: bool = False
) -> dict[Part, Measured]:
    """The validation and the test rows by the model's present weights.

    Args:
        program: the model.
        datasets: of the run.
        keeps_rows: whether predictions are kept, up to `MOST_KEPT_LOGITS` of a part.
    """
    most_kept = MOST_KEPT_LOGITS // program.objective.num_outputs if keeps_rows else 0
    parts: tuple[Part, ...] = ("validation", "test")
    return {
        name: take_in(program, datasets.stores[name], most_kept=most_kept)
        for name in parts
        if name in datasets.stores
    }


def take_in(program: Program, store: RowStore, limit_rows: int = 0, most_kept: int = 0) -> Measured:
    """Metrics of every row by the model's present weights, and its first predictions.

    Args:
        program: the model.
        store: the rows.
        limit_rows: only the first rows; 0 for all.
        most_kept: rows whose predictions are kept, in file order.
    """
    evaluator = program.objective.evaluator()
    num_kept = 0
    widths = (program.layout.num_labels,), (program.objective.num_outputs,), ()
    pieces = [Predictions(*(np.zeros((0, *width), np.float32) for width in widths))]
    for predictions in predict(program, store, limit_rows):
        evaluator.add(*predictions)
        if num_kept < most_kept:
            pieces.append(Predictions(*(rows[: most_kept - num_kept] for rows in predictions)))
            num_kept += len(pieces[-1].weight)
    kept = Predictions(*map(np.concatenate, zip(*pieces, strict=True)))
    return Measured(evaluator.result(), evaluator, kept)


def decide_on(program: Program, config: EvaluationConfig, store: RowStore) -> Metrics:
    """Let the validation rows choose threshold and calibration, by the model's present weights.

    From then on `program.objective` has them. A cluster's chief alone decides; the others, which
    export nothing, only take part in the predictions.

    Returns:
        The metrics before it, as training watched them.
    """
    objective = program.objective
    measured = take_in(program, store, most_kept=max(1, MOST_KEPT // objective.num_outputs))
    if program.distribution.is_chief:
        decision = decide(config, objective.task, *measured.kept)
        logger.info("%s", decision.describe())
        program.objective = objective.with_decision(decision)
    return measured.metrics


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
