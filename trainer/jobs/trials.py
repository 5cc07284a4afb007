"""Trials of a tuning study, and the table that ranks them; the study may be in the cloud or here.

Imports nothing of the trainer but `errors` and what talks to the service. Must not know how a trial
is run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Goal = Literal["MAXIMIZE", "MINIMIZE"]

NONE = "-"


@dataclass(frozen=True)
class Trial:
    """One run of a study.

    Attributes:
        id: its number, from "1".
        state: as the service names it: REQUESTED, ACTIVE, STOPPING, SUCCEEDED, INFEASIBLE; on this
            machine also STOPPED, ended early below the median.
        parameters: parameterId -> value; a conditional one that does not apply is absent.
        metrics: metricId -> value at the selected measurement; empty where none was reported.
        steps: the step of that measurement; None where none was reported.
        seconds: from its start to its end; None where it has not ended.
        reason: why it is INFEASIBLE or STOPPED, in one line; else ''.
    """

    id: str
    state: str
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    steps: int | None = None
    seconds: float | None = None
    reason: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come from it."""
        return self.state in ("SUCCEEDED", "INFEASIBLE", "STOPPED")


def ranked(trials: Sequence[Trial], goals: Mapping[str, Goal]) -> list[Trial]:
    """The trials: best by the first metric of `goals` first, then unfinished, then failed ones.

    Failed is a trial that is INFEASIBLE, was STOPPED early (it has no model), or ended without a
    finite value of that metric. Equal values, and trials without rank, keep their order.
    """
    metric, goal = next(iter(goals.items()))

    def place(trial: Trial) -> tuple[int, float]:
        if not trial.has_ended:
            return 1, 0.0
        if not is_ranked(trial, metric):
            return 2, 0.0
        value = trial.metrics[metric]
        return 0, -value if goal == "MAXIMIZE" else value

    return sorted(trials, key=place)


def is_ranked(trial: Trial, metric: str) -> bool:
    """Whether the trial ended well and has a finite value of the metric."""
    return trial.state == "SUCCEEDED" and math.isfinite(trial.metrics.get(metric, math.nan))


def best_trial(trials: Sequence[Trial], goals: Mapping[str, Goal]) -> Trial | None:
    """The first of `ranked` that has a rank; None where every trial failed or runs."""
    metric = next(iter(goals))
    return next((t for t in ranked(trials, goals) if is_ranked(t, metric)), None)


def ranked_table(trials: Sequence[Trial], goals: Mapping[str, Goal]) -> str:
    """The trials as plain text in the order of `ranked`, a line each under a head line.

    >>> print(ranked_table(
    ...     [Trial("1", "SUCCEEDED", {"rate": 0.5}, {"auc": 0.75}, 100, 61.0),
    ...      Trial("2", "INFEASIBLE", {"rate": 9.0}, reason="loss is not finite"),
    ...      Trial("3", "SUCCEEDED", {"rate": 0.25}, {"auc": 0.875}, 200, 5.4)],
    ...     {"auc": "MAXIMIZE"}))
    rank  trial  auc (max)  steps  time    rate  note
    1     3      0.875      200    5.4 s   0.25
    2     1      0.75       100    1m 01s  0.5
    -     2      -          -      -       9     INFEASIBLE: loss is not finite
    """
    names = list(dict.fromkeys(name for trial in trials for name in trial.parameters))
    metric = next(iter(goals))
    heads = [f"{name} ({goal[:3].lower()})" for name, goal in goals.items()]
    rows = [["rank", "trial", *heads, "steps", "time", *names, "note"]]
    for rank, trial in enumerate(ranked(trials, goals), 1):
        rows.append(
            [
                str(rank) if is_ranked(trial, metric) else NONE,
                trial.id,
                *(_number(trial.metrics.get(name)) for name in goals),
                NONE if trial.steps is None else str(trial.steps),
                NONE if trial.seconds is None else format_seconds(trial.seconds),
                *(_number(trial.parameters.get(name)) for name in names),
                _note(trial, metric),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def flags_of(trial: Trial) -> list[str]:
    """The trainer's flags that give the trial's parameters, exact to the last digit.

    >>> flags_of(Trial("1", "SUCCEEDED", {"learning_rate": 0.1, "batch_size": 128.0}))
    ['--learning_rate=0.1', '--batch_size=128']
    """
    return [f"--{name}={_exact(value)}" for name, value in trial.parameters.items()]


def format_seconds(seconds: float) -> str:
    """A duration as people say it.

    >>> [format_seconds(s) for s in (0.25, 59.96, 3599.6, 90061)]
    ['0.2 s', '1m 00s', '1h 00m', '25h 01m']
    """
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}h {minutes:02d}m"


def _note(trial: Trial, metric: str) -> str:
    """What is to be said of a trial that has no rank, on one line."""
    if is_ranked(trial, metric):
        return ""
    reason = " ".join(trial.reason.split())
    if not reason and trial.state == "SUCCEEDED":
        reason = f"no finite {metric} was reported"
    return f"{trial.state}: {reason}" if reason else trial.state


def _number(value: float | str | None) -> str:
    """To six digits; the service gives whole numbers as doubles."""
    if value is None:
        return NONE
    return value if isinstance(value, str) else f"{value:.6g}"


def _exact(value: float | str) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
