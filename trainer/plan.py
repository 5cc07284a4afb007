"""When a run evaluates, saves and ends, in steps; no TensorFlow.

Both the input and the loop ask the plan how many steps the next call has, so they always agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.config import TrainingConfig
from trainer.errors import UserError

DEFAULT_EPOCHS = 40
MOST_STEPS_PER_CALL = 64
# Rows of a call are one tensor, of which three wait: large batches must not multiply by 64.
MOST_ROWS_PER_CALL = 262_144
# A TPU waits for its host between calls, and the host has the memory for long ones.
TPU_STEPS_PER_CALL = 128
MOST_EVALUATIONS = 1000
ROWS_PER_BATCH_ROW, LEAST_BATCH_ROWS, MOST_BATCH_ROWS = 28, 32, 1024
# From here on one epoch is too coarse to choose the weights from (quality.md: flights was best
# within the first epoch).
LARGE_TABLE_ROWS = 20_000
LARGE_TABLE_EVAL_STEPS = 64


@dataclass(frozen=True)
class Plan:
    """Steps of a run.

    Attributes:
        batch_size: rows of a step over all replicas.
        total_steps: last step; None where only seconds end the run.
        seconds: of training, at most; None where only steps end the run.
        eval_steps: steps between evaluations.
        num_evals: evaluations spread over total_steps; 0 where eval_steps counts.
        checkpoint_steps: steps between checkpoints; 0 for none by steps.
        steps_per_call: steps of a call of the compiled loop, at most.
        steps_per_epoch: training rows over batch size; not whole in general.
    """

    batch_size: int
    total_steps: int | None
    seconds: float | None
    eval_steps: int
    num_evals: int
    checkpoint_steps: int
    steps_per_call: int
    steps_per_epoch: float

    def next_evaluation(self, step: int) -> int:
        """First step after `step` at which the model is evaluated."""
        if self.num_evals and self.total_steps is not None:
            done = step * self.num_evals // self.total_steps
            boundary = step
            while boundary <= step:
                done += 1
                boundary = math.ceil(done * self.total_steps / self.num_evals)
            return min(boundary, self.total_steps)
        boundary = (step // self.eval_steps + 1) * self.eval_steps
        return boundary if self.total_steps is None else min(boundary, self.total_steps)

    def evaluates_at(self, step: int) -> bool:
        """Whether an evaluation follows step number `step` (counted from 1)."""
        return step > 0 and self.next_evaluation(step - 1) == step

    def saves_at(self, step: int) -> bool:
        """Whether a checkpoint by steps follows step number `step`."""
        return bool(self.checkpoint_steps) and step % self.checkpoint_steps == 0

    def call_length(self, step: int) -> int:
        """Steps of the call that begins after `step`, at most those of the first; 0 at the end."""
        ends = [step + self.steps_per_call, self.next_evaluation(step)]
        if self.total_steps is not None:
            if step >= self.total_steps:
                return 0
            ends.append(self.total_steps)
        if self.checkpoint_steps:
            ends.append((step // self.checkpoint_steps + 1) * self.checkpoint_steps)
        return min(ends) - step

    def describe(self) -> str:
        """One line for the start log."""
        ends = [f"{self.total_steps} steps"] if self.total_steps else []
        end = " or ".join([*ends, *([f"{self.seconds:g} s"] if self.seconds else [])])
        rhythm = f"an evaluation every {self.eval_steps} steps"
        if self.num_evals:
            rhythm = f"{self.num_evals} evaluations"
        return (
            f"{end} of {self.batch_size} rows ({self.steps_per_epoch:.1f} steps an epoch), "
            f"{rhythm}, at most {self.steps_per_call} steps a call"
        )


def make_plan(
    config: TrainingConfig,
    num_rows: int,
    num_validation_rows: int,
    num_replicas: int = 1,
    *,
    is_tpu: bool = False,
) -> Plan:
    """The plan for a training set of `num_rows` rows.

    What is auto: on TPU, calls of 128 steps, and on large tables no more evaluations than calls.

    Raises:
        UserError: the batch is larger than the training set, or cannot be cut into equal parts for
            the replicas and, by accumulate_steps, within them.
    """
    num_parts = num_replicas * config.accumulate_steps
    if config.batch_size == "auto":
        batch_size = min(_auto_batch_size(num_rows), num_rows)
        batch_size = max(batch_size // num_parts, 1) * num_parts
    else:
        batch_size = config.batch_size
    if batch_size % num_parts:
        lower = batch_size // num_parts * num_parts
        parts = f"{num_replicas} replicas"
        if config.accumulate_steps > 1:
            parts = f"{num_parts}, training.accumulate_steps times {parts}"
        raise UserError(
            f"training.batch_size must be a multiple of {parts}; received "
            f"{batch_size}. Use {f'{lower} or ' if lower else ''}{lower + num_parts}"
        )
    if batch_size > num_rows:
        raise UserError(
            f"training.batch_size {batch_size} is larger than the training set of {num_rows} rows; "
            f"use at most {num_rows}"
        )
    total_steps = _total_steps(config, num_rows, batch_size)
    steps_per_epoch = num_rows / batch_size
    if config.eval_steps == "auto":
        eval_steps = _auto_eval_steps(
            math.ceil(steps_per_epoch),
            num_rows,
            max(num_validation_rows / batch_size, TPU_STEPS_PER_CALL if is_tpu else 0),
            total_steps,
        )
    else:
        eval_steps = config.eval_steps
    if config.steps_per_call != "auto":
        per_call = config.steps_per_call
    elif is_tpu:
        per_call = TPU_STEPS_PER_CALL
    else:
        per_call = max(1, min(MOST_STEPS_PER_CALL, MOST_ROWS_PER_CALL // batch_size))
    return Plan(
        batch_size=batch_size,
        total_steps=total_steps,
        seconds=min((s for s in (config.seconds, config.max_seconds) if s), default=None),
        eval_steps=eval_steps,
        num_evals=config.num_evals,
        checkpoint_steps=config.checkpoint_steps,
        steps_per_call=per_call,
        steps_per_epoch=steps_per_epoch,
    )


def _auto_batch_size(num_rows: int) -> int:
    """2^floor(log2(rows / 28)) within 32..1024: an epoch has 28 to 56 steps, or more.

    Below some 7,000 rows batches of 256 leave too few steps: planted tables of 1,280 rows ended at
    an RMSE of 0.757, with 32 at 0.674 (three seeds, November 2026).

    >>> [_auto_batch_size(n) for n in (100, 1_280, 7_333, 25_000, 243_227)]
    [32, 32, 256, 512, 1024]
    """
    exponent = math.floor(math.log2(max(num_rows / ROWS_PER_BATCH_ROW, 1.0)))
    return min(MOST_BATCH_ROWS, max(LEAST_BATCH_ROWS, 2**exponent))


def _total_steps(config: TrainingConfig, num_rows: int, batch_size: int) -> int | None:
    if config.seconds is not None:
        return None
    if config.steps is not None:
        return config.steps
    if config.num_train_examples is not None:
        return math.ceil(config.num_train_examples / batch_size)
    epochs = DEFAULT_EPOCHS if config.epochs is None else config.epochs
    return math.ceil(epochs * num_rows / batch_size)


def _auto_eval_steps(
    epoch_steps: int, num_rows: int, least_steps: float, total_steps: int | None
) -> int:
    """An epoch; on large tables 64 steps, or `least_steps` where evaluating would take more rows.

    Fewer where that would make more than 1,000 evaluations, but at least one an epoch.
    """
    steps = epoch_steps
    if num_rows >= LARGE_TABLE_ROWS:
        steps = min(steps, max(LARGE_TABLE_EVAL_STEPS, math.ceil(least_steps)))
    rarely = math.ceil((total_steps or 0) / MOST_EVALUATIONS)
    return max(steps, min(rarely, epoch_steps))
