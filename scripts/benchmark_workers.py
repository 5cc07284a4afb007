#!/usr/bin/env python3
"""Measure what a second worker brings: one core each, alternating rounds of real training jobs.

Each process is a `python -m trainer.task` with its TF_CONFIG, pinned to one core, with one thread
in each of TensorFlow's pools. Examples per second are those of metrics.jsonl after the warm-up.

    one worker      batch B
    two, weak       batch 2B: B rows a worker, as a larger cluster is used; the ratio that counts
    two, strong     batch B: B/2 rows a worker
    two jobs        two jobs of one worker at the same time: what the machine gives at most

Prints the median of the rounds, the ratio to one worker, and microseconds of CPU time an example.
On a machine that others use, the CPU time says more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from trainer.jobs.replicas import free_ports

# Evaluations, which have no validation rows and cost nothing, are the clock's ticks.
WARM_UP_TICKS = 2
CALL_STEPS = 32
SECONDS_UNTIL_GIVEN_UP = 300.0
CPU_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Found(NamedTuple):
    """What one measurement gave: examples a second, and CPU seconds an example."""

    rate: float
    cpu: float


class Worker:
    """A pinned process of a job, and its clock."""

    def __init__(self, folder: Path, flags: Sequence[str], core: int, tf_config: str = ""):
        """Start it; its log goes beside the run."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "TF_CONFIG": tf_config,
        }
        with (folder / f"core-{core}.log").open("w") as self.log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), sys.executable, "-m", "trainer.task", *flags],
                env=environment,
                stdout=self.log,
                stderr=subprocess.STDOUT,
            )

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / CPU_TICKS_PER_SECOND

    def check(self) -> None:
        """Stop the benchmark where the process has ended."""
        if self.process.poll() is not None:
            sys.exit(f"a worker ended with {self.process.returncode}; see {self.log.name}")

    def end(self) -> None:
        """End it now: nothing of the run is wanted."""
        self.process.kill()
        self.process.wait()


def start_job(
    folder: Path, flags: Sequence[str], *, cores: Sequence[int], batch_size: int
) -> list[Worker]:
    """One process for each core, the first of them the chief."""
    flags = [*flags, f"--job_dir={folder}/run", f"--batch_size={batch_size}"]
    if len(cores) == 1:
        return [Worker(folder, flags, cores[0])]
    addresses = [f"localhost:{port}" for port in free_ports(len(cores))]
    cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    tasks = [("chief", 0), *(("worker", i) for i in range(len(cores) - 1))]
    return [
        Worker(
            folder,
            flags,
            core,
            json.dumps({"cluster": cluster, "task": {"type": role, "index": index}}),
        )
        for core, (role, index) in zip(cores, tasks, strict=True)
    ]


def measure(jobs: Sequence[list[Worker]], num_ticks: int) -> Found:
    """Rate and CPU time of all jobs together, from the warm-up to `num_ticks` ticks later."""
    workers = [worker for job in jobs for worker in job]
    try:
        first = _wait_for(jobs, WARM_UP_TICKS, workers)
        cpu = -sum(worker.cpu_seconds() for worker in workers)
        last = _wait_for(jobs, WARM_UP_TICKS + num_ticks, workers)
        cpu += sum(worker.cpu_seconds() for worker in workers)
    finally:
        for worker in workers:
            worker.end()
    examples = [b["examples"] - a["examples"] for a, b in zip(first, last, strict=True)]
    seconds = [b["seconds"] - a["seconds"] for a, b in zip(first, last, strict=True)]
    rate = sum(e / s for e, s in zip(examples, seconds, strict=True))
    return Found(rate, cpu / sum(examples))


def _wait_for(
    jobs: Sequence[list[Worker]], num_ticks: int, workers: Sequence[Worker]
) -> list[dict[str, float]]:
    """The record of that tick of every job, when all have written it."""
    end = time.monotonic() + SECONDS_UNTIL_GIVEN_UP
    paths = [job[0].folder / "run" / "metrics.jsonl" for job in jobs]
    while True:
        lines = [path.read_text().splitlines() if path.exists() else [] for path in paths]
        if all(len(each) >= num_ticks for each in lines):
            return [json.loads(each[num_ticks - 1]) for each in lines]
        for worker in workers:
            worker.check()
        if time.monotonic() > end:
            sys.exit(
                f"no tick {num_ticks} after {SECONDS_UNTIL_GIVEN_UP:g} s; see {workers[0].log.name}"
            )
        time.sleep(0.02)


def main(argv: list[str]) -> int:
    """Run the rounds and print the table; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000, help="rides to generate")
    parser.add_argument("--batch_size", type=int, default=4096, help="B, rows of a worker")
    parser.add_argument("--steps", type=int, default=256, help="steps of a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--log_dir", help="where logs are kept; a temporary folder without")
    parser.add_argument("flags", nargs="*", help="after --: flags of trainer.task")
    options = parser.parse_args(argv)
    # As an exception, on which the workers are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        sys.exit("two workers need two cores; this process may use one")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.log_dir or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            sys.exit(f"--log_dir {folder} is not empty: runs in it would go on; give another one")
        rides = write_rides(folder, options.rows)
        flags = [
            f"--train={rides}",
            "--steps=1000000000",
            f"--eval_steps={CALL_STEPS}",
            f"--steps_per_call={CALL_STEPS}",
            "--keep_weights=last",
            "--baseline=none",
            *options.flags,
        ]
        run_rounds(folder, flags, cores, options)
    return 0


def write_rides(folder: Path, num_rows: int) -> Path:
    """A CSV file of generated rides."""
    import pyarrow.csv

    from trainer import sample

    path = folder / "rides.csv"
    no_header = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(sample.generate_rides(num_rows, seed=1), str(path), no_header)
    return path


def run_rounds(
    folder: Path, flags: Sequence[str], cores: Sequence[int], options: argparse.Namespace
) -> None:
    """Measure every arrangement once a round, and print the table of medians."""
    batch = options.batch_size
    first, second = cores

    def job(name: str, cores: Sequence[int], batch_size: int) -> list[Worker]:
        return start_job(folder / name, flags, cores=cores, batch_size=batch_size)

    arrangements: dict[str, Callable[[str], list[list[Worker]]]] = {
        "one worker": lambda name: [job(name, [first], batch)],
        "two, weak": lambda name: [job(name, cores, 2 * batch)],
        "two, strong": lambda name: [job(name, cores, batch)],
        "two jobs": lambda name: [
            job(f"{name}-a", [first], batch),
            job(f"{name}-b", [second], batch),
        ],
    }
    found: dict[str, list[Found]] = {name: [] for name in arrangements}
    for number in range(options.rounds):
        for name, start in arrangements.items():
            folder_name = f"{number}-{name.replace(', ', '-').replace(' ', '-')}"
            num_ticks = max(options.steps // CALL_STEPS, 1)
            found[name].append(measure(start(folder_name), num_ticks))
            print(f"round {number + 1}  {name:<12} {found[name][-1].rate:>12,.0f} examples/s")
    print(f"\n{'':<12} {'examples/s':>12} {'ratio':>6} {'CPU us/example':>15}")
    for name, each in found.items():
        rate = statistics.median(f.rate for f in each)
        # Within the rounds, so that what else the machine did weighs on both.
        ratio = statistics.median(
            f.rate / one.rate for f, one in zip(each, found["one worker"], strict=True)
        )
        cpu = 1e6 * statistics.median(f.cpu for f in each)
        print(f"{name:<12} {rate:>12,.0f} {ratio:>6.2f} {cpu:>15.2f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
