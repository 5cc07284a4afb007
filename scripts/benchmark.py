#!/usr/bin/env python3
"""Measure the stages of a run on generated taxi rides: read and encode, then train from memory.

Prints rows and examples per second, the best and the median of several rounds; on a machine that
others use, the best is nearer to what the code can do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 5


def rates(work: Callable[[], int]) -> tuple[float, float]:
    """Best and median number of things per second over the rounds; `work` gives their number."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        found.append(work() / (time.perf_counter() - started))
    return max(found), statistics.median(found)


def main(argv: list[str]) -> int:
    """Run the stages; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rides to generate")
    parser.add_argument("--batch_size", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=256, help="steps of a round")
    parser.add_argument("flags", nargs="*", help="after --: flags of trainer.task, e.g. --xla=true")
    options = parser.parse_args(argv)

    import pyarrow.csv

    from trainer import sample

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "rides.csv"))
        table = sample.generate_rides(options.rows, seed=1)
        no_header = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
        pyarrow.csv.write_csv(table, path, no_header)
        measure(path, folder, options)
    return 0


def measure(path: str, folder: str, options: argparse.Namespace) -> None:
    """Time the stages on the file and print a line for each."""
    from trainer import cli, model
    from trainer.objective import Objective
    from trainer.plan import make_plan
    from trainer.strategy import make_one_device

    config = cli.load_config(
        [
            f"--train={path}",
            f"--job_dir={folder}",
            f"--batch_size={options.batch_size}",
            "--steps=1000000000",
            "--eval_steps=1000000000",
            "--memory_budget_mb=100000",
            *options.flags,
        ],
        {},
    ).config
    files = {"train": (path,)}
    datasets = model.build_datasets(config, files)
    part = datasets.parts["train"]

    def report(stage: str, unit: str, work: Callable[[], int]) -> None:
        best, median = rates(work)
        print(f"{stage:<24} {best:>12,.0f} {unit}/s best  {median:>12,.0f} median", flush=True)

    report("read CSV", "rows", lambda: sum(block.num_rows for block in part.blocks()))
    report("read, statistics", "rows", lambda: part.statistics().num_rows)
    encode = part.packed(datasets.encoder)
    report("read, encode, pack", "rows", lambda: sum(len(rows) for rows in encode([0])))

    plan = make_plan(config.training, datasets.stores["train"].num_rows, 0)
    objective = Objective(config, datasets.statistics)
    device = make_one_device()
    program = model.build_program(config, datasets, objective, plan, device)
    calls = iter(model.training_rows(config, datasets, plan, device, first_step=0))

    def train() -> int:
        steps = 0
        while steps < options.steps:
            rows = next(calls)
            steps += len(program.train(rows, steps))
        return steps * options.batch_size

    train()  # traces
    report(f"train, batch {options.batch_size}", "examples", train)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
