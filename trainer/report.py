"""What a run says of itself: the start lines, report.json and the closing lines."""

from __future__ import annotations

import itertools
import logging
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from trainer import __version__
from trainer.baselines import Baselines
from trainer.columns import Tower
from trainer.config import Config
from trainer.data_files import Part
from trainer.decision import Decision
from trainer.evaluation import Measured
from trainer.export import ExportReport
from trainer.features import FeatureEncoder
from trainer.loop import RunState
from trainer.metrics import ByClass, format_metrics
from trainer.optimizers import Parameter
from trainer.plan import Plan
from trainer.program import Program
from trainer.row_stores import RowStore
from trainer.run_folder import RunFolder

logger = logging.getLogger(__name__)

# Of the start log: a table of 2,000 columns has as many.
MOST_FEATURE_LINES = 200

# Of more, by_class of report.json would be a table of tens of thousands of lines.
MOST_CLASSES = 1000


def log_start(
    encoder: FeatureEncoder, program: Program, plan: Plan, state: RunState, folder: RunFolder
) -> None:
    """What was decided, before the first step."""
    lines = encoder.describe()
    for line in lines[:MOST_FEATURE_LINES]:
        logger.info("  %s", line)
    if len(lines) > MOST_FEATURE_LINES:
        logger.info("  ... and %d lines of features more", len(lines) - MOST_FEATURE_LINES)
    logger.info("model: %d weights; %s", program.num_weights, program.objective.describe())
    for parameter in program.parameters:
        if parameter.kind == "table":
            rows, width = parameter.variable.shape
            update = "dense" if parameter.dense_update else "sparse"
            logger.info(
                "  %s table: %d rows of %d, %s updates", parameter.part, rows, width, update
            )
    for variable in program.model.frozen:
        logger.info("  deep table: %d rows of %d, frozen", *variable.shape)
    logger.info("training: %s", plan.describe())
    logger.info("devices: %s", program.distribution.describe())
    logger.info("run folder: %s", folder.job_dir)
    if state.step:
        logger.info("resuming at step %d", state.step)


def log_replicas(checksums: Sequence[int]) -> None:
    """Whether the weights of all replicas are the same bits, as they must be."""
    if len(set(checksums)) == 1:
        logger.info("weights are equal on all %d replicas (%06x)", len(checksums), checksums[0])
    else:
        logger.warning(
            "weights differ between the replicas (%s): the machines compute differently; use equal "
            "machines for all workers",
            ", ".join(f"{checksum:06x}" for checksum in checksums),
        )


def build_report(
    config: Config,
    *,
    stores: Mapping[Part, RowStore],
    program: Program,
    state: RunState,
    batch_size: int,
    measured: Mapping[Part, Measured],
    baselines: Baselines,
    watched: Mapping[str, float] | None,
    exported: ExportReport,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """report.json: outcome, baselines, what it was made from and with.

    Args:
        config: resolved.
        stores: encoded rows by part.
        program: the trained model.
        state: after training.
        batch_size: rows of a step.
        measured: validation and test rows by the kept weights.
        baselines: their metrics.
        watched: metrics of the validation rows before they chose a threshold or a calibration; None
            where they chose nothing.
        exported: of the SavedModel.
        seconds: spent, by phase.
    """
    by_class = {part: found.evaluator.by_class() for part, found in measured.items()}
    return {
        "task": config.label.task,
        "label": config.label.name,
        "metrics": {part: found.metrics for part, found in measured.items()},
        "by_class": {
            part: dict(itertools.islice(table.items(), MOST_CLASSES))
            for part, table in by_class.items()
            if table
        },
        **_decided(program.objective.decision, watched, by_class),
        "baselines": baselines,
        "monitor": program.objective.monitor,
        "kept_step": state.kept_step,
        "last_step": state.step,
        "stopped_by": state.finished,
        "rows": {name: store.num_rows for name, store in stores.items()},
        "storage": {name: store.kind for name, store in stores.items()},
        "num_weights": program.num_weights,
        "wide_zero_weights": round(_share_of_zeros(program.parameters, "wide"), 6),
        "examples_per_second": round(state.step * batch_size / state.seconds),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "model_dir": exported.model_dir,
        "export_max_difference": exported.max_difference,
        "versions": {
            "trainer": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
    }


def _decided(
    decision: Decision, watched: Mapping[str, float] | None, by_class: Mapping[Part, ByClass]
) -> dict[str, Any]:
    """`operating_point` and `calibration`, with the metrics of validation before them."""
    classes = list(next(iter(by_class.values()), {}))
    found = decision.to_dict(classes)
    if watched is not None:
        found["validation_before_decision"] = dict(watched)
    return found


def log_summary(report: Mapping[str, Any]) -> None:
    """The outcome beside the baselines, and where it lies."""
    logger.info(
        "stopped by %s at step %d; weights of step %d",
        report["stopped_by"],
        report["last_step"],
        report["kept_step"],
    )
    for part, metrics in report["metrics"].items():
        logger.info("%-10s  %-9s  %s", part, "model", format_metrics(metrics))
        for name, baseline in report["baselines"].items():
            logger.info("%-10s  %-9s  %s", part, name, format_metrics(baseline[part]))
    if report["wide_zero_weights"]:
        logger.info(
            "weights of the wide part that are exactly 0: %.1f %%",
            100 * report["wide_zero_weights"],
        )
    for finding in report.get("doctor", ()):
        level = logging.INFO if finding["severity"] == "info" else logging.WARNING
        logger.log(
            level, "doctor: %s: %s; %s", finding["illness"], finding["evidence"], finding["advice"]
        )
    logger.info("model: %s", report["model_dir"])
    logger.info("done in %.1f s", report["seconds"]["total"])


def _share_of_zeros(parameters: Sequence[Parameter], part: Tower) -> float:
    """The share of a part's weights, biases aside, that are exactly 0; 0 where there are none.

    Ids that no row had have weight 0 too.
    """
    weights = [p.variable for p in parameters if p.part == part and p.kind in ("table", "matrix")]
    num_weights = sum(int(w.shape.num_elements()) for w in weights)
    num_other = sum(int(tf.math.count_nonzero(w)) for w in weights)
    return 1.0 - num_other / num_weights if num_weights else 0.0
