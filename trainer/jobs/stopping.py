"""The measurements of a trial, and the rule that stops one which stays below the median."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple

# The service does not say from how many trials on it stops others. With fewer, the median is that
# of the first random tries and would stop half of what comes next.
MIN_ENDED_TRIALS = 5


class Measurement(NamedTuple):
    """One report of a trial: steps so far, seconds since its start, value of the metric."""

    step: int
    seconds: float
    value: float


def parse_measurements(text: str, metric: str, started: float) -> list[Measurement]:
    """The finite values of a metric in hypertune's file, in the order of the file.

    Lines that are half written, or of other metrics, are passed over: hypertune rewrites the whole
    file at each report.

    Args:
        text: one JSON object a line, values as texts.
        metric: the metricId.
        started: time of the trial's start, in seconds since 1970.

    >>> parse_measurements('{"global_step": "8", "timestamp": 107.5, "val_auc": "0.5"}\\n{"glo',
    ...                    "val_auc", started=100.0)
    [Measurement(step=8, seconds=7.5, value=0.5)]
    """
    found = []
    for line in text.splitlines():
        try:
            report = json.loads(line)
            value = float(report[metric])
            step = int(float(report.get("global_step") or 0))
            # Reports of an earlier start of the trial are before this one.
            seconds = max(0.0, float(report.get("timestamp") or started) - started)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue
        if math.isfinite(value):
            found.append(Measurement(step, seconds, value))
    return found


def reported_metrics(text: str) -> list[str]:
    """The metricIds in hypertune's file, sorted.

    >>> reported_metrics('{"checkpoint_path": "", "global_step": "8", "val_auc": "0.5"}')
    ['val_auc']
    """
    names: set[str] = set()
    for line in text.splitlines():
        try:
            names |= set(dict(json.loads(line)))
        except (ValueError, TypeError):
            continue
    return sorted(names - {"checkpoint_path", "global_step", "timestamp", "trial"})


def add_measurements(curve: list[Measurement], found: Sequence[Measurement]) -> list[Measurement]:
    """The curve with the reports that it does not have yet: a file holds the last 100 only.

    A trial that is started again reports its past again, at other times.
    """
    known = {(m.step, m.value) for m in curve}
    added = list(curve)
    for measurement in found:
        if (measurement.step, measurement.value) not in known:
            known.add((measurement.step, measurement.value))
            added.append(measurement)
    return added


def select(
    curve: Sequence[Measurement], selection: Literal["last", "best"], *, maximize: bool
) -> Measurement | None:
    """The measurement that counts for the trial; None where there is none. Of equals, the first."""
    if not curve:
        return None
    if selection == "last":
        return curve[-1]
    sign = 1 if maximize else -1
    return max(curve, key=lambda m: sign * m.value)


def is_below_median(
    curve: Sequence[Measurement],
    ended: Sequence[Sequence[Measurement]],
    *,
    maximize: bool,
    by_seconds: bool = False,
) -> bool:
    """Whether the median rule stops the trial.

    It does where the trial's best value is strictly worse than the median, over the trials that
    have ended, of the mean of what each had reported up to the trial's last measurement.

    Args:
        curve: of the trial that runs.
        ended: curves of the trials that have ended well or were stopped.
        maximize: whether more is better.
        by_seconds: compare at equal seconds since the start instead of at equal steps.

    Source: StudySpec.MedianAutomatedStoppingSpec of the API; the least number of ended trials is
    ours.
    """
    if not curve:
        return False
    axis = 1 if by_seconds else 0
    now = max(m[axis] for m in curve)
    means = []
    for other in ended:
        values = [m.value for m in other if m[axis] <= now]
        if values:
            means.append(statistics.fmean(values))
    if len(means) < MIN_ENDED_TRIALS:
        return False
    best, median = select(curve, "best", maximize=maximize), statistics.median(means)
    if best is None:
        return False
    return best.value < median if maximize else best.value > median
