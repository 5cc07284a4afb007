"""The arithmetic of an estimate: a line through two short runs, drawn out to a real one.

Pure: seconds and rows come in, seconds and hours go out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from trainer.errors import UserError
from trainer.plan import Plan


@dataclass(frozen=True)
class ShortRun:
    """What a short run did and took.

    Attributes:
        rows: train, validation and test rows that were read and encoded, by part.
        examples: rows trained, a row of two epochs twice.
        evaluated: validation rows evaluated while training.
        prepare: seconds of reading and encoding.
        train: seconds of training and of the evaluations in it, compiling included.
        finish: seconds of the last evaluation, the export and its check.
        start: seconds before and after these: the process, the imports.
    """

    rows: Mapping[str, int]
    examples: int
    evaluated: int
    prepare: float
    train: float
    finish: float
    start: float


class Line(NamedTuple):
    """Seconds by rows: `intercept` plus `slope` a row, at most that where `is_bound`."""

    slope: float
    intercept: float
    is_bound: bool = False


@dataclass(frozen=True)
class Costs:
    """Seconds on this machine: of rows read and encoded, of rows trained, and of each run."""

    read: Line
    train: Line
    fixed: Mapping[str, float]


@dataclass(frozen=True)
class Workload:
    """What is to be done: rows read by each machine, rows trained or evaluated, and where.

    Attributes:
        rows: of all parts.
        work: rows trained plus rows evaluated, over the whole run.
        machines: that share the work; each reads all rows.
        trials: runs, in a study.
        speed: of a machine, where this one is 1.
        startup: seconds until a machine runs.
    """

    rows: int
    work: int
    machines: int = 1
    trials: int = 1
    speed: float = 1.0
    startup: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """Seconds of one run by what they go to, and the hours of all machines in all runs."""

    fixed: float
    read: float
    train: float
    machine_hours: float

    @property
    def seconds(self) -> float:
        """Of one run."""
        return self.fixed + self.read + self.train


def fit_line(short: tuple[float, float], long: tuple[float, float]) -> Line:
    """The line through two points (amount, seconds), with slope and intercept not below 0.

    Where the larger amount took no longer, or much longer, the clock's noise hides the line: all
    seconds of the larger amount are then taken for its slope, which is an upper bound or, in the
    second case, all that is known.

    >>> fit_line((100, 5.0), (300, 9.0))
    Line(slope=0.02, intercept=3.0, is_bound=False)
    >>> fit_line((100, 5.0), (300, 4.5))
    Line(slope=0.015, intercept=0.0, is_bound=True)
    """
    slope = (long[1] - short[1]) / (long[0] - short[0])
    intercept = short[1] - slope * short[0]
    if slope > 0 and intercept >= 0:
        return Line(slope, intercept, False)
    return Line(long[1] / long[0], 0.0, slope <= 0)


def derive_costs(short: ShortRun, long: ShortRun) -> Costs:
    """What a row and what a run costs, from two runs of different length.

    Raises:
        UserError: both read or trained equally many rows.
    """
    rows = [sum(run.rows.values()) for run in (short, long)]
    work = [run.examples + run.evaluated for run in (short, long)]
    for what, (few, many), option in (
        ("read", rows, f"--smoke_rows={max(1, rows[1] // 4)},{rows[1]}"),
        ("trained", work, "--smoke_steps=50,400"),
    ):
        if few >= many:
            raise UserError(
                f"the second short run must do more than the first, but they {what} {few} and "
                f"{many} rows; the data may have no more. Try {option}"
            )
    read = fit_line((rows[0], short.prepare), (rows[1], long.prepare))
    train = fit_line((work[0], short.train), (work[1], long.train))
    return Costs(
        read=read,
        train=train,
        fixed={
            "start": (short.start + long.start) / 2,
            "prepare": read.intercept,
            "compile": train.intercept,
            "evaluate and export": (short.finish + long.finish) / 2,
        },
    )


def draw_out(costs: Costs, load: Workload) -> Estimate:
    """The time of a run of that size, and the hours of all machines."""
    fixed = load.startup + sum(costs.fixed.values()) / load.speed
    read = load.rows * costs.read.slope / load.speed
    train = load.work * costs.train.slope / load.speed / load.machines
    return Estimate(fixed, read, train, (fixed + read + train) / 3600 * load.machines * load.trials)


def plan_work(plan: Plan, validation_rows: int, test_rows: int, eval_rows: int = 0) -> int:
    """Rows trained plus rows evaluated in a run that goes on to the end of its budget.

    Args:
        plan: of the run.
        validation_rows: number of them.
        test_rows: number of them, evaluated once.
        eval_rows: validation rows of an evaluation while training; 0: all.

    Raises:
        UserError: the budget is in seconds; then there is nothing to estimate.
    """
    if plan.total_steps is None:
        raise UserError(
            "the budget is training.seconds, which is the answer; give --epochs instead"
        )
    evals = plan.num_evals or math.ceil(plan.total_steps / plan.eval_steps)
    each = min(validation_rows, eval_rows or validation_rows)
    return plan.total_steps * plan.batch_size + evals * each + validation_rows + test_rows
