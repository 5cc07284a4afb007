"""What TensorBoard gets after training: PR curves, hyperparameters and embeddings.

Scalars and histograms come while training, see `observers.Scalars`. Imports TensorBoard's own
definitions of its plugins' data. Axes: B rows, T thresholds, V ids of a feature, E embedding width.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from trainer import storage
from trainer.config import Config
from trainer.evaluation import Predictions
from trainer.feature_names import FeatureNames
from trainer.insight.evidence import Evidence, Sections
from trainer.insight.learned_weights import table_variables
from trainer.metrics import Vector, sigmoid
from trainer.observers import NAMES, VECTORS
from trainer.trained_embeddings import LearnedRows, LearnedTables

# As many as TensorBoard's own op takes by default.
NUM_THRESHOLDS = 201
# Rows of a feature that the projector shows: the missing one, then tokens by their count.
MOST_EMBEDDED = 5000
_TRAINING_KEYS = ("batch_size", "epochs", "steps", "patience", "precision", "seed")


def produce(evidence: Evidence) -> Sections:
    """Write curves and embeddings; {}, as they have no part in report.json."""
    log_dir, step = evidence.folder.log_dir, evidence.state.kept_step
    if evidence.config.label.task == "binary":
        for part, predictions in evidence.predictions.items():
            with _writer(log_dir, part):
                write_pr_curve(predictions, step)
    write_projector(learned_embeddings(evidence), log_dir)
    return {}


def learned_embeddings(evidence: Evidence) -> dict[str, LearnedRows]:
    """The first rows of the embedding of each feature, with what their ids stand for."""
    encoder = evidence.datasets.encoder
    tables = LearnedTables(encoder.layout, table_variables(evidence.program))
    names = FeatureNames(evidence.config, encoder)
    return {
        feature: LearnedRows(
            tuple(names.of(feature, range(min(len(rows), MOST_EMBEDDED)))), rows[:MOST_EMBEDDED]
        )
        for feature, rows in tables.embeddings.items()
    }


def write_pr_curve(predictions: Predictions, step: int) -> None:
    """Precision and recall by threshold, into the present writer; of rows with weight only.

    At the threshold i / (T - 1) a row counts as positive from that probability on.
    """
    from tensorboard.plugins.pr_curve import metadata

    probability_B = sigmoid(predictions.logits[:, 0])
    counts = pr_counts(predictions.labels[:, 0], probability_B, predictions.weight)
    tf.summary.write(
        "pr_curve",
        tf.constant(counts, tf.float32),
        step=step,
        metadata=_metadata(
            metadata.create_summary_metadata(
                display_name="precision and recall",
                description="of the kept weights",
                num_thresholds=NUM_THRESHOLDS,
            )
        ),
    )


def pr_counts(label_B: np.ndarray, probability_B: Vector, weight_B: np.ndarray) -> Vector:
    """(6, T): true and false positives, true and false negatives, precision, recall.

    Where no row counts as positive, precision is 1: the curve's start.
    """
    # float32 as the thresholds of a served model would see it.
    bins_B = np.floor(probability_B * (NUM_THRESHOLDS - 1)).astype(int)
    positive_T, negative_T = (
        np.bincount(bins_B, weight_B * is_class_B, NUM_THRESHOLDS)[::-1].cumsum()[::-1]
        for is_class_B in (label_B, 1 - label_B)
    )
    missed_T, refused_T = positive_T[0] - positive_T, negative_T[0] - negative_T
    chosen_T = positive_T + negative_T
    precision_T = np.divide(positive_T, chosen_T, out=np.ones_like(chosen_T), where=chosen_T > 0)
    recall_T = positive_T / max(positive_T[0], np.finfo(float).tiny)
    return np.stack([positive_T, negative_T, refused_T, missed_T, precision_T, recall_T])


def write_hparams(config: Config, report: Mapping[str, Any], log_dir: str) -> None:
    """The options of the model as hyperparameters, with the metric of the kept weights.

    Of trials too, which have no other report: TensorBoard shows them side by side, by the curve of
    the monitored metric, of which it takes the last value, and by that of the kept weights.
    """
    from tensorboard.plugins.hparams import api

    hparams, monitor = hyperparameters(config), report["monitor"]
    kept = report["metrics"].get("validation", {}).get(monitor)
    with _writer(log_dir, ""):
        api.hparams_config(
            hparams=[api.HParam(name) for name in hparams],
            metrics=[
                api.Metric(f"kept/{monitor}", display_name=f"kept val_{monitor}"),
                api.Metric(monitor, group="validation", display_name=f"last val_{monitor}"),
            ],
        )
        api.hparams(hparams)
        if kept is not None:
            tf.summary.scalar(f"kept/{monitor}", kept, step=report["kept_step"])


def hyperparameters(config: Config) -> dict[str, bool | int | float | str]:
    """Options of model, optimizer and training by dotted name; lists as texts, without nulls."""
    found: dict[str, bool | int | float | str] = {}
    for section in ("model", "optimizer", "training"):
        for name, value in getattr(config, section).model_dump(mode="json").items():
            if value is None or (section == "training" and name not in _TRAINING_KEYS):
                continue
            is_plain = isinstance(value, bool | int | float | str)
            found[f"{section}.{name}"] = value if is_plain else str(value)
    return found


def write_projector(embeddings: Mapping[str, LearnedRows], log_dir: str) -> None:
    """Vectors and names of each embedding as TSV, and the projector's config that names them."""
    from tensorboard.plugins.projector import projector_config_pb2

    config = projector_config_pb2.ProjectorConfig()
    for number, (name, learned) in enumerate(embeddings.items(), 1):
        entry = config.embeddings.add()
        entry.tensor_name = name
        entry.tensor_path = f"projector/{number}{VECTORS}"
        entry.metadata_path = f"projector/{number}{NAMES}"
        vectors = io.StringIO()
        np.savetxt(vectors, learned.rows, fmt="%.6g", delimiter="\t")
        storage.write_text(storage.join(log_dir, entry.tensor_path), vectors.getvalue())
        names = [" ".join(text.split()) or "(empty)" for text in learned.names]
        storage.write_text(storage.join(log_dir, entry.metadata_path), "\n".join(names) + "\n")
    if embeddings:
        path = storage.join(log_dir, "projector_config.pbtxt")
        storage.write_text(path, text_format.MessageToString(config))


@contextlib.contextmanager
def _writer(log_dir: str, part: str) -> Iterator[None]:
    """A block that writes events into a part of the log folder, local or remote."""
    target = storage.join(log_dir, part) if part else log_dir
    is_remote = storage.is_remote(target)
    folder = tempfile.mkdtemp(prefix="trainer-logs-") if is_remote else target
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default():
        yield
    writer.close()
    if is_remote:
        (newest,) = (file.name for file in Path(folder).iterdir())
        storage.commit_dir(folder, target, last=newest)
        shutil.rmtree(folder)


def _metadata(own: Any) -> Any:
    """TensorBoard's summary metadata as TensorFlow's message of the same fields."""
    return tf.compat.v1.SummaryMetadata.FromString(own.SerializeToString())
