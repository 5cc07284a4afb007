"""What a run will take: two short runs on this machine, drawn out to the rows and the budget asked.

No prices are kept here: the user types in the price of an hour of a machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer import cli, compat
from trainer.config import Config
from trainer.errors import UserError
from trainer.flags import FLAGS, parse_flags
from trainer.jobs.costs import Costs, Line, ShortRun, Workload, derive_costs, draw_out, plan_work
from trainer.jobs.trials import format_seconds
from trainer.plan import make_plan

_ROOT = Path(__file__).resolve().parents[2]
# Flags of the user that the short runs set themselves.
_OURS = {"job_dir", "model_dir", "checkpoint_dir", "log_dir", "limit_rows", "batch_size", "resume"}
_OURS |= {"epochs", "steps", "num_train_examples", "seconds", "num_evals", "eval_steps"}


def main(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run the trainer twice for a short while, and print what the real run will take.

    Raises:
        UserError: the trainer does not run with this config, or the options do not fit.
    """
    options, flags = _parse(argv)
    flags = [*([f"--config={options.config}"] if options.config else []), *flags]
    if options.epochs is not None:
        flags.append(f"--epochs={options.epochs:g}")
    config = cli.load_config(flags, {}).config
    rows = options.rows or options.smoke_rows[1]
    plan = make_plan(config.training, rows, 0, options.machines)
    plan_work(plan, 0, 0)  # An error of the budget comes before the runs.
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for index in (0, 1):
            own = [
                f"--job_dir={folder}/{index}",
                f"--limit_rows={options.smoke_rows[index]}",
                f"--steps={options.smoke_steps[index]}",
                f"--batch_size={plan.batch_size}",
                "--num_evals=1",
            ]
            runs.append(run_shortly([*_others(flags), *own], f"{folder}/{index}", environ))
            print(_describe_run(runs[-1]), flush=True)
    costs = derive_costs(*runs)
    print(_describe_costs(costs))
    if options.rows is None:
        print("pass --rows=N, the number of training rows, for time and money of the real run")
        return
    print(_describe_estimate(costs, config, runs[1], options))


def run_shortly(flags: Sequence[str], job_dir: str, environ: Mapping[str, str]) -> ShortRun:
    """Run the trainer in a process of its own, and read from its folder what it did.

    Raises:
        UserError: it failed; its last line.
    """
    path = os.pathsep.join(filter(None, [str(_ROOT), environ.get("PYTHONPATH")]))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "trainer.task", *flags],
        env={**environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.monotonic() - began
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"the short run failed: {lines[-1].removeprefix('error: ')}")
    return read_short_run(job_dir, wall)


def read_short_run(job_dir: str, wall_seconds: float) -> ShortRun:
    """The figures in a finished run's report.json and metrics.jsonl.

    Args:
        job_dir: of the run.
        wall_seconds: from the start of its process to its end.
    """
    report = json.loads(Path(job_dir, "report.json").read_text())
    lines = Path(job_dir, "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    seconds = report["seconds"]
    return ShortRun(
        rows=report["rows"],
        examples=metrics[-1]["examples"],
        evaluated=sum(int(line.get("val_num_rows", 0)) for line in metrics),
        prepare=seconds["prepare"],
        train=seconds["train"],
        finish=seconds["evaluate_and_export"],
        start=max(0.0, wall_seconds - seconds["total"]),
    )


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the trainer's flags that stand after `--`."""
    argv = list(argv)
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(
        prog="python scripts/estimate.py",
        usage="python scripts/estimate.py [--config=PATH] --rows=N [options] [-- TRAINER FLAGS]",
        description="Time two short runs here and say what the real run takes and costs.",
    )
    add = parser.add_argument
    add("--config", help="the trainer's config; not given: the embedded taxi rides")
    add("--rows", type=_count, help="training rows of the real run, e.g. 10e6")
    add("--validation_rows", type=_count, help="not given: in the proportion of the short run")
    add("--test_rows", type=_count, help="not given: in the proportion of the short run")
    add("--epochs", type=_positive, help="instead of the config's budget")
    add("--machines", type=_count, default=1, help="that train together (%(default)s)")
    add("--trials", type=_count, default=1, help="runs, in a study (%(default)s)")
    add("--price_per_hour", type=_positive, help="of one machine, in any currency")
    add("--speed", type=_positive, default=1.0, help="of a machine, this one being 1")
    add(
        "--startup_minutes",
        type=_minutes,
        default=5.0,
        help="until a machine runs and has its image: an assumption (%(default)g)",
    )
    add("--smoke_rows", type=_pair, default=(10_000, 250_000), help="rows of the two short runs")
    add("--smoke_steps", type=_pair, default=(50, 400), help="steps of the two short runs")
    return parser.parse_args(argv[:cut]), argv[cut + 1 :]


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0; received {text!r}")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number from 0; received {text!r}")
    return value


def _count(text: str) -> int:
    value = _positive(text.replace("_", "").replace(",", ""))
    if not value.is_integer():
        raise argparse.ArgumentTypeError(f"must be a whole number; received {text!r}")
    return int(value)


def _pair(text: str) -> tuple[int, int]:
    values = [_count(part) for part in text.split(",")]
    if len(values) != 2 or values[0] >= values[1]:
        raise argparse.ArgumentTypeError(f"must be two numbers, FEW,MANY; received {text!r}")
    return values[0], values[1]


def _others(flags: Sequence[str]) -> list[str]:
    """The user's flags without those that a short run sets itself."""
    parsed = parse_flags(flags)
    kept = [f"--config={parsed.config_path}"] if parsed.config_path else []
    if parsed.foreign:
        kept += [f"--compat={compat.NAME}"]
        kept += [f"--{name}={value}" for name, value in parsed.foreign.items()]
    for name, key in FLAGS.items():
        if key in parsed.layer and name not in _OURS:
            value = parsed.layer[key]
            kept.append(f"--{name}={'' if value is None else value}")
    return kept


def _describe_run(run: ShortRun) -> str:
    return (
        f"short run: {sum(run.rows.values()):,} rows read in {run.prepare:.1f} s, "
        f"{run.examples:,} trained and {run.evaluated:,} evaluated in {run.train:.1f} s, "
        f"{run.start + run.finish:.1f} s for the rest"
    )


def _describe_costs(costs: Costs) -> str:
    parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in costs.fixed.items())
    return "\n".join(
        [
            "on this machine:",
            f"  read and encode  {_describe_line(costs.read, '--smoke_rows=FEW,MANY')}",
            f"  train            {_describe_line(costs.train, '--smoke_steps=FEW,MANY')}",
            f"  fixed            {sum(costs.fixed.values()):10.2f} s a run: {parts}",
        ]
    )


def _describe_line(line: Line, option: str) -> str:
    bound = f", at most: the runs are too short to tell; see {option}" if line.is_bound else ""
    return f"{line.slope * 1e6:10.2f} s per million rows{bound}"


def _describe_estimate(
    costs: Costs, config: Config, run: ShortRun, options: argparse.Namespace
) -> str:
    """The real run's time and money, and what was assumed."""
    train_rows = options.rows
    others = []
    for part in ("validation", "test"):
        given = getattr(options, f"{part}_rows")
        share = run.rows.get(part, 0) / run.rows["train"]
        others.append(round(train_rows * share) if given is None else given)
    plan = make_plan(config.training, train_rows, others[0], options.machines)
    load = Workload(
        rows=train_rows + sum(others),
        work=plan_work(plan, others[0], others[1], config.evaluation.eval_rows),
        machines=options.machines,
        trials=options.trials,
        speed=options.speed,
        startup=options.startup_minutes * 60,
    )
    estimate = draw_out(costs, load)
    lines = [
        f"estimate for {train_rows:,} training rows ({others[0]:,} for validation, {others[1]:,} "
        f"for test), {plan.describe()}:",
        f"  fixed            {format_seconds(estimate.fixed):>10}, of which "
        f"{options.startup_minutes:g} minutes for the machine to start",
        f"  read and encode  {format_seconds(estimate.read):>10}",
        f"  train            {format_seconds(estimate.train):>10} on {load.machines} machine(s)",
        f"  one run          {format_seconds(estimate.seconds):>10}",
        f"  all              {estimate.machine_hours:10.2f} machine hours, {load.trials} run(s)",
    ]
    if options.price_per_hour is not None:
        money = estimate.machine_hours * options.price_per_hour
        lines.append(f"  money            {money:10.2f} at {options.price_per_hour:g} an hour")
    lines.append(
        f"assumed: a machine is {load.speed:g} times as fast as this one; machines share the "
        "training evenly and each reads all rows; an evaluated row takes as long as a trained one; "
        "no early stop; no restart"
    )
    return "\n".join(lines)
