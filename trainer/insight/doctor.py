"""The training doctor: what is ill about a run, how one can tell, and what to do.

`diagnose` is a pure function; what it reads of the rows themselves is collected by `produce`.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.evaluation import MOST_BATCH_LOGITS
from trainer.input import unpack_rows
from trainer.insight import data_illnesses, training_illnesses
from trainer.insight.evidence import Evidence, Sections
from trainer.insight.health import health_of
from trainer.insight.illness import Case, Finding, Repeats
from trainer.insight.layer_probe import fixed_rows

_SEVERITIES = ("alarm", "warning", "info")
# Rows in which repeats are looked for.
MOST_ROWS = 200_000


def produce(evidence: Evidence) -> Sections:
    """`doctor`: the findings as dictionaries, worst first; [] for a sound run."""
    state, objective, report = evidence.state, evidence.program.objective, evidence.report
    case = Case(
        config=evidence.config,
        history=state.history,
        health=health_of(state.history) if state.history else {},
        statistics=evidence.datasets.statistics,
        metrics=report["metrics"],
        baselines=report["baselines"],
        monitor=objective.monitor,
        maximize=objective.maximize,
        kept_step=state.kept_step,
        stopped_by=state.finished,
        data_profile=report.get("data_profile", {}),
        repeats=_repeats(evidence),
        constant_loss=_constant_loss(evidence),
    )
    return {"doctor": [finding._asdict() for finding in diagnose(case)]}


def diagnose(case: Case) -> list[Finding]:
    """The findings, worst first."""
    found = [rule(case) for rule in (*training_illnesses.RULES, *data_illnesses.RULES)]
    present = [finding for finding in found if finding is not None]
    return sorted(present, key=lambda finding: _SEVERITIES.index(finding.severity))


def find_repeats(
    key_R: np.ndarray, label_R: np.ndarray, prediction_R: np.ndarray
) -> Repeats | None:
    """What rows of equal features say of the noise of the label; None where none are equal.

    variance = sum (y - mean of the y of equal rows)^2 / (rows - different rows), which is
    without bias.

    Source: Draper and Smith, Applied Regression Analysis (1998), section 2.1, pure error.

    Args:
        key_R: equal for rows of equal features.
        label_R: y.
        prediction_R: of y.
    """
    _, group_R, count_G = np.unique(key_R, return_inverse=True, return_counts=True)
    repeats_R = count_G[group_R] > 1
    num_free = int(repeats_R.sum() - (count_G > 1).sum())
    if not num_free:
        return None
    mean_G = np.bincount(group_R, label_R) / count_G
    squares = np.square(label_R - mean_G[group_R])[repeats_R].sum()
    error = np.square(label_R - prediction_R)[repeats_R].mean()
    return Repeats(float(repeats_R.mean()), num_free, float(squares / num_free), float(error))


def _constant_loss(evidence: Evidence) -> float:
    """Mean training loss of the best constant, over the rows that the layers are looked at with."""
    objective, layout = evidence.program.objective, evidence.datasets.layout
    most_rows = max(1, MOST_BATCH_LOGITS // objective.num_outputs)
    seed = evidence.config.training.seed
    rows = fixed_rows(evidence.datasets.stores["train"], seed, most_rows)
    batch = unpack_rows(tf.constant(rows), layout)
    logits = np.tile(objective.head.constant_logits, (len(rows), 1)).astype(np.float32)
    loss_B = objective.loss(batch.label, tf.constant(logits)).numpy()
    return float(np.average(loss_B, weights=batch.weight)) or 1.0


def _repeats(evidence: Evidence) -> Repeats | None:
    """Of the validation rows of one number or probability, where all weigh the same."""
    predictions = evidence.predictions.get("validation")
    is_single = evidence.config.label.task in ("regression", "binary")
    if predictions is None or not is_single or np.ptp(predictions.weight) > 0:
        return None
    keys = _row_keys(evidence, len(predictions.labels))
    logits = tf.constant(predictions.logits[: len(keys)])
    score = np.asarray(evidence.program.objective.prediction(logits))
    label = predictions.labels[: len(keys), 0]
    return find_repeats(keys, label.astype(np.float64), score.astype(np.float64))


def _row_keys(evidence: Evidence, num_rows: int) -> np.ndarray:
    """(R,) uint64 sums of the bits of the features of the first rows, times random odd numbers.

    Rows of other features have the same sum by a chance of about R^2 / 2^64.
    """
    store, layout = evidence.datasets.stores["validation"], evidence.datasets.layout
    num_features = layout.num_ids + layout.num_numbers
    factors_F = np.random.default_rng(0).integers(2**63, size=num_features, dtype=np.uint64) * 2 + 1
    keys, left = [], min(MOST_ROWS, num_rows)
    for block in store.in_order():
        rows = block[:left, :num_features].astype(np.uint32).astype(np.uint64)
        keys.append(rows @ factors_F)
        left -= len(rows)
        if not left:
            break
    return np.concatenate(keys)
