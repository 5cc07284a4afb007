"""k-fold cross-validation: a run for each fold, and what their metrics say together.

JOB_DIR/fold_1 ... fold_<k>   a whole run each, see run_folder.py
JOB_DIR/report.json           mean, standard deviation and standard error of each metric
JOB_DIR/report.html           the same to be looked at
JOB_DIR/COMPLETE              written last
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from trainer import storage
from trainer.config import Config
from trainer.data_files import Tables
from trainer.errors import UserError
from trainer.insight.fold_page import write_fold_page
from trainer.model import train_and_evaluate
from trainer.tuning import MetricReporter
from trainer.vertex import VertexEnvironment

Summary = dict[str, float | list[float]]

logger = logging.getLogger(__name__)


def cross_validate(
    config: Config,
    environment: VertexEnvironment | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    tables: Tables | None = None,
) -> dict[str, Any]:
    """Train each of data.folds, or go on where an earlier start of it stood.

    Folds that are complete are not trained again. A tuning study gets the mean over the folds.

    Args:
        config: with data.folds; the others as of `model.train_and_evaluate`.
        environment: of the Vertex replica; None for a local run.
        callbacks: Keras callbacks of each run.
        tables: as of `model.train_and_evaluate`.

    Returns:
        The report: metrics and baselines by part and name as `summarize` gives them, the folds'
        run folders, seconds.

    Raises:
        UserError: the run is one of several processes, or as of `model.train_and_evaluate`.
    """
    started = time.monotonic()
    environment = environment or VertexEnvironment()
    job_dir = config.output.job_dir
    if environment.cluster.addresses:
        raise UserError(
            "data.folds trains in one process, and this one is part of a cluster; run each fold as "
            "a job of its own, with --fold"
        )
    if job_dir is None:
        raise UserError("output.job_dir is not set; give --job_dir DIRECTORY")
    # What a study is told of is the mean over the folds.
    of_a_fold = dataclasses.replace(environment, trial_id=None, metric_file=None)
    num_folds = config.data.folds
    storage.remove(storage.join(job_dir, "COMPLETE"))
    reports = []
    for fold in range(1, num_folds + 1):
        logger.info("fold %d of %d", fold, num_folds)
        reports.append(train_and_evaluate(config_of(config, fold), of_a_fold, callbacks, tables))
    report = {
        "folds": num_folds,
        "task": config.label.task,
        "label": config.label.name,
        "monitor": reports[0]["monitor"],
        "metrics": summarize([_judged(report) for report in reports]),
        "baselines": {
            name: summarize([report["baselines"][name] for report in reports])
            for name in reports[0]["baselines"]
        },
        "rows": [report["rows"] for report in reports],
        "runs": [_folder(job_dir, fold) for fold in range(1, num_folds + 1)],
        "seconds": round(time.monotonic() - started, 3),
    }
    _report_to_study(config, environment, report)
    storage.write_text(storage.join(job_dir, "report.json"), json.dumps(report, indent=1))
    if config.evaluation.report != "none":
        write_fold_page(report, job_dir)
    storage.write_text(storage.join(job_dir, "COMPLETE"), "")
    for part, metrics in report["metrics"].items():
        for name, found in metrics.items():
            logger.info("%s", describe(part, name, found))
    return report


def config_of(config: Config, fold: int) -> Config:
    """The config of one fold's run, in a folder of its own."""
    output = config.output
    folders = {
        name: _folder(folder, fold)
        for name in ("job_dir", "model_dir", "checkpoint_dir", "log_dir")
        if (folder := getattr(output, name)) is not None
    }
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"fold": fold}),
            "output": output.model_copy(update=folders),
        }
    )


def summarize(
    folds: Sequence[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, Summary]]:
    """Each metric over the folds: mean, sd (of a sample), standard_error, values.

    The standard error of the mean is sd / sqrt(k), as if the folds were independent; they share
    training rows, so it is somewhat too small.

    Args:
        folds: metrics by part and name of each, two or more; a metric that one lacks is left out.

    >>> summarize([{"test": {"mae": 2}}, {"test": {"mae": 4}}])["test"]["mae"]["mean"]
    3.0
    """
    found: dict[str, dict[str, Summary]] = {}
    for part in folds[0]:
        for name in folds[0][part]:
            values = [fold[part][name] for fold in folds if name in fold.get(part, {})]
            if len(values) < len(folds) or not all(isinstance(v, int | float) for v in values):
                continue
            sd = statistics.stdev(values)
            found.setdefault(part, {})[name] = {
                "mean": statistics.fmean(values),
                "sd": sd,
                "standard_error": sd / math.sqrt(len(values)),
                "values": list(values),
            }
    return found


def describe(part: str, name: str, found: Mapping[str, Any]) -> str:
    """One line of a metric.

    >>> describe("test", "auc", {"mean": 0.625, "sd": 0.2, "standard_error": 0.1, "values": [0, 1]})
    'test auc: mean 0.625, standard error 0.1, sd 0.2 over 2 folds'
    """
    return (
        f"{part} {name}: mean {found['mean']:.6g}, standard error {found['standard_error']:.2g}, "
        f"sd {found['sd']:.2g} over {len(found['values'])} folds"
    )


def _judged(report: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    """Metrics by part; of validation those of the time when nothing was chosen on its rows."""
    before = report.get("validation_before_decision")
    metrics: Mapping[str, Mapping[str, float]] = report["metrics"]
    return metrics if before is None else {**metrics, "validation": before}


def _folder(base: str, fold: int) -> str:
    return storage.join(base, f"fold_{fold}")


def _report_to_study(
    config: Config, environment: VertexEnvironment, report: Mapping[str, Any]
) -> None:
    reporter = MetricReporter(config.tuning.metric_tag, report["monitor"], environment)
    means = {name: found["mean"] for name, found in report["metrics"]["validation"].items()}
    reporter.report_final(report["folds"], means)
