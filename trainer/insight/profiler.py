"""TensorFlow's profiler around some steps, for TensorBoard's profile tab."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from trainer import storage
from trainer.plan import Plan


class Profiler(keras.callbacks.Callback):
    """Profiles the calls of the compiled loop that contain some steps, once in a run.

    What it sees lies in `plugins/profile/` of the log folder. The first call also has the time of
    tracing and compiling.
    """

    def __init__(self, profile_steps: str, plan: Plan, log_dir: str):
        """Take the option training.profile_steps, "first,last" counted from 1."""
        super().__init__()
        self._first, self._last = map(int, profile_steps.split(","))
        self._plan, self._log_dir = plan, log_dir
        self._local_dir = ""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Start before the call with the first of the steps; `batch` steps are done."""
        is_due = batch + self._plan.call_length(batch) >= self._first and batch < self._last
        if is_due and not self._local_dir:
            is_remote = storage.is_remote(self._log_dir)
            self._local_dir = tempfile.mkdtemp(prefix="profile-") if is_remote else self._log_dir
            tf.profiler.experimental.start(self._local_dir)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop after the call with the last of the steps."""
        if self._local_dir and batch + 1 >= self._last:
            self._stop()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stop where training ended earlier."""
        if self._local_dir:
            self._stop()

    def _stop(self) -> None:
        tf.profiler.experimental.stop()
        if self._local_dir != self._log_dir:
            for file in sorted(Path(self._local_dir).rglob("*")):
                if file.is_file():
                    place = file.relative_to(self._local_dir).as_posix()
                    storage.write_bytes(storage.join(self._log_dir, place), file.read_bytes())
            shutil.rmtree(self._local_dir)
        self._local_dir = ""
