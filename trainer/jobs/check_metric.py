"""Checks of the metric that a tuning study compares against what the trainer reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainer.errors import nearest
from trainer.flags import parse_flags
from trainer.jobs.check_run import Run
from trainer.jobs.findings import Finding, error, warning
from trainer.jobs.job_file import JobFile
from trainer.metric_names import METRIC_GOALS, names_of, resolve_monitor
from trainer.sections import Key
from trainer.tuning import RESERVED_TAGS

_TAG = Key("tuning", "metric_tag")


def check_metric(job: JobFile, run: Run | None) -> Iterator[Finding]:
    """Findings about studySpec.metrics of a job that is after `repair`.

    Args:
        job: the job file.
        run: what each trial tells the trainer; None where it runs another program.
    """
    path = ("studySpec", "metrics")
    metrics = (job.study or {}).get("metrics", [])
    if not metrics:
        yield error(job, path, "is missing; write {metricId: val_rmse, goal: MINIMIZE}")
        return
    if len(metrics) > 1:
        yield error(
            job,
            (*path, 1),
            f"the trainer reports one metric, --metric_tag; received {len(metrics)}",
        )
    metric = metrics[0]
    tag = str(metric.get("metricId", ""))
    at = (*path, 0, "metricId")
    if not tag or any(character.isspace() for character in tag):
        yield error(job, at, f"must not be empty and have no spaces; received {tag!r}")
    elif tag in RESERVED_TAGS:
        yield error(job, at, f"{tag} is another field of hypertune's file; write val_rmse")
    elif run is not None:
        yield from _check_reported(job, run, tag)
    yield from _check_goal(job, metric, tag)


def _check_reported(job: JobFile, run: Run, tag: str) -> Iterator[Finding]:
    """The study waits for its metricId; the trainer reports under one tag."""
    at = ("studySpec", "metrics", 0, "metricId")
    config, flags = run.config, parse_flags(run.args).layer
    name = tag.removeprefix("val_")
    names = METRIC_GOALS if config is None else names_of(config.label.task, config.model.loss)
    if name not in names:
        task = "" if config is None else f" of label.task {config.label.task}"
        yield error(
            job,
            at,
            f"no evaluation{task} reports {tag!r}{nearest(tag, [f'val_{n}' for n in names])}; it "
            f"has {', '.join(f'val_{n}' for n in names)}",
        )
        return
    given = flags.get(_TAG) if config is None else config.tuning.metric_tag
    if given in (None, "auto"):
        if config is None:
            return
        monitor = resolve_monitor(config.training.monitor, config.label.task, config.model.loss)
        given = f"val_{monitor.name}"
    if given != tag:
        yield error(
            job,
            at,
            f"is {tag}, but the trials report {given}; add --metric_tag={tag} to args, or write "
            f"metricId: {given}",
        )
    elif config is not None and not (config.data.validation or config.data.validation_fraction):
        yield error(job, at, "is never reported: the config has no validation rows")


def _check_goal(job: JobFile, metric: dict[str, Any], tag: str) -> Iterator[Finding]:
    at = ("studySpec", "metrics", 0, "goal")
    goal = str(metric.get("goal", "GOAL_TYPE_UNSPECIFIED"))
    better = METRIC_GOALS.get(tag.removeprefix("val_"))
    if goal == "GOAL_TYPE_UNSPECIFIED":
        finding = error if better == "minimize" else warning
        yield finding(job, at, "is not set, which means MAXIMIZE; write MINIMIZE or MAXIMIZE")
    elif better is not None and goal != better.upper():
        yield error(job, at, f"{goal} of {tag} looks for the worst model; write {better.upper()}")
