"""The training loop: calls of many steps, evaluations, checkpoints, and the reasons to stop.

Order after each call, which makes a resumed run equal to an uninterrupted one:
1. losses are checked for being finite;
2. an evaluation, where the plan has one, and with it the best weights and the patience;
3. a checkpoint of all of that, where one is due, or a signal asks for it;
4. the end, where a budget, the patience, a callback or a signal says so.
"""

from __future__ import annotations

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.checkpoint import CheckpointFolder
from trainer.config import TrainingConfig
from trainer.errors import Interrupted, TrainingFailed, UserError
from trainer.evaluation import averaged_weights
from trainer.plan import Plan
from trainer.program import Program


@dataclasses.dataclass
class RunState:
    """What Python knows of a run, besides the variables; saved with every checkpoint.

    Attributes:
        step: steps done.
        seconds: spent in training, over all starts.
        waiting_seconds: of these, between calls, for the rows of the next one.
        loss_sum, loss_steps: of the steps since the last evaluation.
        best_step, best_value: of the best evaluation; None before the first.
        kept_step: of the weights that are exported; 0 before the first evaluation.
        evaluations_since_best: against the patience.
        finished: why training ended; '' while it goes on.
        history: one record for each evaluation.
    """

    step: int = 0
    seconds: float = 0.0
    waiting_seconds: float = 0.0
    loss_sum: float = 0.0
    loss_steps: int = 0
    best_step: int | None = None
    kept_step: int = 0
    best_value: float | None = None
    evaluations_since_best: int = 0
    finished: str = ""
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)


class StopSignal:
    """SIGTERM and SIGINT as a wish: taken at once, or at the next safe point while deferred.

    A second signal of the same kind is not caught any more.
    """

    def __init__(self) -> None:
        """Nothing is caught before `__enter__`."""
        self.requested = ""
        self.deferred = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        """Catch the signals, in the main thread only: Python lets no other one do it."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number).name
        signal.signal(number, self._previous[signal.Signals(number)])
        if not self.deferred:
            raise Interrupted(f"{self.requested}; start again to go on")


class TrainingLoop:
    """Drives a program along its plan, and Keras callbacks with it."""

    def __init__(
        self,
        program: Program,
        plan: Plan,
        config: TrainingConfig,
        *,
        state: RunState,
        evaluate: Callable[[], dict[str, float]] | None,
        checkpoints: CheckpointFolder,
        callbacks: keras.callbacks.CallbackList,
        stop: StopSignal,
        probe: Callable[[int], dict[str, float]] | None = None,
    ):
        """Prepare; nothing runs yet.

        Args:
            program: the compiled steps.
            plan: when to evaluate, save and end.
            config: patience, checkpoint seconds, which weights are kept.
            state: where the run stands; advanced in place.
            evaluate: metrics of the validation rows by the present weights; None without them.
            checkpoints: where they go.
            callbacks: told of calls as batches and of evaluations as epochs.
            stop: the wish to stop.
            probe: of the number of an evaluation, from 1: what its record says of the weights as
                training has them, before they are averaged.
        """
        self._program, self._plan, self._config = program, plan, config
        self._state, self._evaluate, self._probe = state, evaluate, probe
        self._checkpoints, self._callbacks, self._stop = checkpoints, callbacks, stop
        self._saved_at = time.monotonic()
        self._stops = False

    def run(self, rows_of_calls: Iterable[tf.Tensor]) -> None:
        """Train from the state's step to the end.

        Args:
            rows_of_calls: packed rows of each call, (S, B, W), from the state's step on.

        Raises:
            TrainingFailed: a loss is not finite; names the step.
            Interrupted: a signal came; a checkpoint was saved.
        """
        state = self._state
        self._stop.deferred = True
        self._callbacks.on_train_begin()
        clock = time.monotonic()
        for rows in () if state.finished else rows_of_calls:
            arrived = time.monotonic()
            self._call(rows)
            state.waiting_seconds += arrived - clock
            state.seconds += time.monotonic() - clock
            if self._ends_after_call():
                break
            clock = time.monotonic()
        else:
            if not state.finished:
                raise RuntimeError(f"the rows ended at step {state.step}, before training did")
        self._callbacks.on_train_end()
        self._stop.deferred = False
        if self._stops or self._stop.requested:
            raise Interrupted(
                f"{self._stop.requested or 'a signal to another process'} at step {state.step}; a "
                "checkpoint is saved, start again to go on"
            )

    def _call(self, rows: tf.Tensor) -> None:
        state = self._state
        first = state.step
        if not state.loss_steps:
            self._callbacks.on_epoch_begin(len(state.history))
        self._callbacks.on_train_batch_begin(first)
        losses = self._program.train(rows, first)
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            raise TrainingFailed(
                f"the loss is {losses[bad[0]]} at step {first + bad[0] + 1}; nothing is exported. "
                "Lower optimizer.deep_learning_rate or optimizer.wide_learning_rate, or set "
                "optimizer.clip_norm"
            )
        state.step = first + len(losses)
        state.loss_sum += float(losses.sum(dtype=np.float64))
        state.loss_steps += len(losses)
        self._callbacks.on_train_batch_end(state.step - 1, {"loss": float(losses.mean())})

    def _ends_after_call(self) -> bool:
        """Evaluate and save what is due; whether training is over."""
        state, plan = self._state, self._plan
        stops, late, is_out_of_time = self._agree()
        at_end = plan.total_steps is not None and state.step >= plan.total_steps
        at_end = at_end or is_out_of_time
        if at_end:
            state.finished = "budget"
        if plan.evaluates_at(state.step) or at_end:
            self._evaluate_now()
        is_over = bool(state.finished or stops)
        self._stops = stops
        if late or plan.saves_at(state.step) or is_over:
            self._save()
        return is_over

    def _agree(self) -> tuple[bool, bool, bool]:
        """A signal came to any process; a checkpoint is due by time; the seconds are spent.

        The processes of a job must do the same at the same step: what depends on a clock is the
        chief's to say. Asked once a call: a signal that comes while saving waits for the next
        call, and its checkpoint.
        """
        due, seconds = self._config.checkpoint_seconds, self._plan.seconds
        late = bool(due) and time.monotonic() - self._saved_at >= due
        is_out_of_time = seconds is not None and self._state.seconds >= seconds
        is_chief = self._program.distribution.is_chief
        own = [bool(self._stop.requested), is_chief and late, is_chief and is_out_of_time]
        votes = self._program.distribution.sum_over_peers(np.array(own, np.float32))
        stops, late, is_out_of_time = (bool(vote) for vote in votes)
        return stops, late, is_out_of_time

    def _evaluate_now(self) -> None:
        state, plan = self._state, self._plan
        wide_rate, deep_rate = self._program.optimizer.learning_rates(
            tf.constant(max(state.step - 1, 0), tf.int64)
        )
        record: dict[str, Any] = {
            "step": state.step,
            "epoch": round(state.step / plan.steps_per_epoch, 4),
            "examples": state.step * plan.batch_size,
            "seconds": round(state.seconds, 3),
            "waiting_seconds": round(state.waiting_seconds, 3),
            "loss": state.loss_sum / state.loss_steps,
            "wide_learning_rate": float(wide_rate),
            "deep_learning_rate": float(deep_rate),
        }
        state.loss_sum, state.loss_steps = 0.0, 0
        if self._probe is not None:
            record |= self._probe(len(state.history) + 1)
        with averaged_weights(self._program):
            if self._evaluate is not None:
                record |= {f"val_{name}": value for name, value in self._evaluate().items()}
                self._check_monitored(record)
            self._keep_weights(record)
        state.history.append(record)
        # Not with "epoch", which Keras' ModelCheckpoint adds by itself to what it formats.
        logs = {name: value for name, value in record.items() if name != "epoch"}
        self._callbacks.on_epoch_end(len(state.history) - 1, logs)
        if self._program.model.stop_training:
            state.finished = state.finished or "callback"

    def _check_monitored(self, record: dict[str, Any]) -> None:
        monitor = self._program.objective.monitor
        if f"val_{monitor}" not in record and not self._state.history:
            raise UserError(
                f"training.monitor {monitor} is not defined on the validation rows, which have one "
                "class or one value only; choose another metric or another validation set"
            )

    def _keep_weights(self, record: dict[str, Any]) -> None:
        """Copy the evaluated weights where they are the ones to export; count the patience."""
        state, objective = self._state, self._program.objective
        value = record.get(f"val_{objective.monitor}", math.nan)
        better = objective.is_better(value, state.best_value, self._config.min_delta)
        if better:
            state.best_value, state.best_step, state.evaluations_since_best = value, state.step, 0
        else:
            state.evaluations_since_best += 1
        if better or self._config.keep_weights == "last" or state.best_step is None:
            self._program.best.capture()
            state.kept_step = state.step
        patience = self._config.patience
        if self._evaluate is not None and patience and state.evaluations_since_best >= patience:
            state.finished = state.finished or "patience"

    def _save(self) -> None:
        if self._program.distribution.is_chief:
            self._checkpoints.save(
                self._state.step, self._program.checkpoint, dataclasses.asdict(self._state)
            )
        self._saved_at = time.monotonic()
