"""What a run tells while it trains, as Keras callbacks: console, files, TensorBoard, tuning.

Each reads the last record of the loop's history at `on_epoch_end` and decides nothing. (The logs
that Keras hands over are a sorted copy with every integer made a float.)
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from trainer import storage
from trainer.errors import UserError
from trainer.metrics import format_metrics
from trainer.plan import Plan
from trainer.tuning import MetricReporter

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_COPIES = 60
# What TensorFlow wraps around a message: the kernel's place and name.
_PROVENANCE = re.compile(r"\{\{[^}]*\}\} | \[Op:.*")
_LARGEST = float(np.finfo(np.float32).max)

# Of the files that the embedding projector shows.
VECTORS, NAMES = "_vectors.tsv", "_names.tsv"

Record = dict[str, Any]


class Console(keras.callbacks.Callback):
    """One line for each evaluation, and a progress bar where a person watches."""

    def __init__(self, plan: Plan, first_step: int, history: list[Record]):
        """Count from `first_step` to the plan's end."""
        super().__init__()
        self._plan, self._first_step, self._history = plan, first_step, history
        self._bar: tqdm | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the bar, on a terminal only."""
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=self._plan.total_steps, initial=self._first_step, unit="step", leave=False
            )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar; `batch` is the last step of the call, counted from 0."""
        if self._bar is not None:
            self._bar.update(batch + 1 - self._bar.n)
            self._bar.set_postfix_str(f"loss {(logs or {})['loss']:.4g}", refresh=False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the evaluation."""
        record = self._history[-1]
        line = f"step {record['step']:>7}  epoch {record['epoch']:7.2f}  loss {record['loss']:.4f}"
        validation = {k: v for k, v in record.items() if k.startswith("val_")}
        if validation:
            line += "  " + format_metrics(validation)
        with tqdm.external_write_mode(file=sys.stdout):
            logger.info(line)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class JsonLines(keras.callbacks.Callback):
    """metrics.jsonl: the records of all evaluations, written whole each time, so also on gs://."""

    def __init__(self, path: str, history: list[Record]):
        """Write the loop's own history, which a resumed run has from its checkpoint."""
        super().__init__()
        self._path, self._history = path, history

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the file."""
        lines = [json.dumps(record) for record in self._history]
        storage.write_text(self._path, "\n".join(lines) + "\n")


class Scalars(keras.callbacks.Callback):
    """TensorBoard scalars, and histograms: `train/` and `validation/` under the log folder.

    A remote folder gets copies of local event files, about once a minute and at the end.
    """

    def __init__(
        self,
        log_dir: str,
        history: list[Record],
        weights: Callable[[int], Mapping[str, np.ndarray]] | None = None,
    ):
        """Open the writers when the first record comes.

        Args:
            log_dir: local or remote.
            history: of the loop.
            weights: of the number of an evaluation, from 1: numbers by name to make histograms of.
        """
        super().__init__()
        self._log_dir, self._history, self._weights = log_dir, history, weights
        self._is_remote = storage.is_remote(log_dir)
        self._local_dir = tempfile.mkdtemp(prefix="trainer-logs-") if self._is_remote else log_dir
        self._copied_at = time.monotonic()
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write every number of the record at its step."""
        record = self._history[-1]
        for name, value in record.items():
            part = "validation" if name.startswith("val_") else "train"
            if part not in self._writers:
                self._writers[part] = _open_writer(storage.join(self._local_dir, part))
            if name not in ("step", "examples"):
                # Scalars are float32: what is beyond, such as the metrics of a label of 1e38, is
                # cut.
                value = min(max(value, -_LARGEST), _LARGEST)
                with self._writers[part].as_default():
                    tf.summary.scalar(name.removeprefix("val_"), value, step=record["step"])
        if self._weights is not None:
            with self._writers["train"].as_default():
                for name, values in self._weights(len(self._history)).items():
                    write_histogram(f"weights/{name}", values, record["step"])
        if time.monotonic() - self._copied_at > _SECONDS_BETWEEN_COPIES:
            self._copy()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Flush and close."""
        self._copy()
        for writer in self._writers.values():
            writer.close()
        if self._is_remote:
            shutil.rmtree(self._local_dir)

    def _copy(self) -> None:
        for part, writer in self._writers.items():
            writer.flush()
            if self._is_remote:
                source = Path(self._local_dir, part)
                newest = max(file.name for file in source.iterdir())
                storage.commit_dir(str(source), storage.join(self._log_dir, part), last=newest)
        self._copied_at = time.monotonic()


def write_histogram(name: str, values: np.ndarray, step: int) -> None:
    """Write counts in 30 equal bins, into the present writer.

    Not tf.summary.histogram, which takes ten times as long. Source: tensorboard's
    plugins/histogram/summary.py: a row of left edge, right edge and count for each bin.
    """
    counts, edges = np.histogram(values, bins=30)
    bins = np.stack([edges[:-1], edges[1:], counts], axis=1)
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "histograms"
    tf.summary.write(name, bins, step=step, metadata=metadata)


def discard_logs(log_dir: str) -> None:
    """Delete what TensorBoard got of a run and its evaluator, and nothing else in the folder."""
    for name in ("projector_config.pbtxt", *_projector_files(log_dir)):
        storage.remove(storage.join(log_dir, name))
    storage.remove(storage.join(log_dir, "plugins", "profile"))
    for part in ("projector", "plugins"):
        storage.remove_if_empty(storage.join(log_dir, part))
    for part in ("evaluator/validation", "evaluator", "test", "validation", "train", ""):
        folder = storage.join(log_dir, part)
        for name in storage.list_dir(folder):
            if name.startswith("events.out.tfevents."):
                storage.remove(storage.join(folder, name))
        storage.remove_if_empty(folder)


def _projector_files(log_dir: str) -> list[str]:
    names = storage.list_dir(storage.join(log_dir, "projector"))
    return [f"projector/{name}" for name in names if name.endswith((VECTORS, NAMES))]


def _open_writer(path: str) -> tf.summary.SummaryWriter:
    try:
        return tf.summary.create_file_writer(path)
    except tf.errors.OpError as error:
        raise UserError(
            f"cannot write TensorBoard logs to {path}: "
            f"{_PROVENANCE.sub('', error.message)}; name another output.log_dir"
        ) from error


class Tuning(keras.callbacks.Callback):
    """The tuning metric at every evaluation."""

    def __init__(self, reporter: MetricReporter, history: list[Record]):
        """Report what a resumed run had reported before: the file may be a new one."""
        super().__init__()
        self._reporter, self._history = reporter, history
        reporter.replay(history)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the record."""
        record = self._history[-1]
        self._reporter.report(record["step"], record)
