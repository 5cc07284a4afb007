"""Sections: whole processes: start-up, peak memory against rows, whole jobs, two workers."""

from __future__ import annotations

import fileinput
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmark_contenders import Contender, ours
from benchmark_measure import Recorder
from benchmark_peers import columns
from benchmark_setting import PEERS, ROOT, Setting, child_environment

MEMORY_FACTORS = (1, 4, 16)
MEMORY_MODES = ("stream", "disk", "memory")


def measure_startup(setting: Setting, recorder: Recorder) -> None:
    """Process start to the first step done, beside the import of TensorFlow, and --help."""
    runs = iter(range(10**6))

    def first_step() -> float:
        folder = setting.scratch(f"startup-{next(runs)}")
        log = folder.with_suffix(".log")
        flags = [f"--job_dir={folder}", "--steps_per_call=1", "--batch_size=256"]
        started = time.perf_counter()
        with Contender("ours", ours("call", flags), log) as contender:
            contender.wait_until_ready()
            return time.perf_counter() - started

    recorder.alternate(
        "s",
        {
            "startup/first step": first_step,
            "startup/import tensorflow": lambda: _run_seconds(["-c", "import tensorflow"]),
            "startup/help": lambda: _run_seconds(["-m", "trainer.task", "--help"]),
        },
    )


def measure_memory(setting: Setting, recorder: Recorder) -> None:
    """Peak memory of whole runs over 1, 4 and 16 times the rows, by where the rows are kept."""
    path = setting.config_file("course", columns.course_config())
    for mode in MEMORY_MODES:
        for factor in MEMORY_FACTORS:
            rows = repeated_rides(setting, setting.sizes.memory_rows, factor)
            run = run_job(
                [
                    f"--config={path}",
                    f"--train={rows}",
                    f"--job_dir={setting.scratch(f'memory-{mode}-{factor}')}",
                    f"--storage={mode}",
                    f"--batch_size={min(4096, setting.sizes.memory_rows)}",
                    "--epochs=1",
                    "--baseline=none",
                ]
            )
            num_rows = factor * setting.sizes.memory_rows
            recorder.tell(f"memory/{mode} {num_rows}", "MB", [run.peak_mb])


def measure_jobs(setting: Setting, recorder: Recorder) -> None:
    """Whole jobs of one epoch with the default config, by rows, and LightGBM on the same files."""
    path = setting.config_file("defaults", setting.default_config())
    for factor in (1, 4, 16):
        base = max(setting.sizes.rides // 16, 1)
        rows = repeated_rides(setting, base, factor)
        flags = [
            f"--config={path}",
            f"--train={rows}",
            f"--batch_size={min(1024, base)}",
            "--epochs=1",
            "--baseline=none",
        ]
        run = run_job([*flags, f"--job_dir={setting.scratch(f'job-{factor}')}"])
        recorder.tell(f"jobs/ours {factor * base}", "s", [run.seconds])
        boosted = _boosted_trees(setting, rows) if setting.has_peers else None
        if boosted is not None:
            recorder.tell(
                f"jobs/lightgbm {factor * base}", "s", [boosted["read"] + boosted["train"]]
            )


def measure_workers(setting: Setting, recorder: Recorder) -> None:
    """What a second worker brings, by scripts/benchmark_workers.py."""
    if len(os.sched_getaffinity(0)) < 2:
        return
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "scripts" / "benchmark_workers.py",
            "--rounds=1",
            f"--rows={min(setting.sizes.rides, 200_000)}",
            f"--batch_size={min(4096, setting.sizes.rides // 16)}",
            f"--steps={setting.sizes.worker_steps}",
        ],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"benchmark_workers.py ended with {done.returncode}: {done.stderr}")
    rows = re.findall(r"^(one worker|two, \w+|two jobs) +([\d,]+) ", done.stdout, re.M)
    for name, rate in rows:
        recorder.tell(f"workers/{name}", "examples/s", [float(rate.replace(",", ""))])


class Run:
    """A process that ended.

    seconds: wall time from start to end.
    peak_mb: its largest resident set, or that of a child, whichever is larger.
    """

    def __init__(self, arguments: Sequence[str]):
        """Run Python with the arguments to the end.

        Raises:
            RuntimeError: it failed; with the end of what it said.
        """
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said = process.stdout.read().decode()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds = time.perf_counter() - started
        self.peak_mb = usage.ru_maxrss / 1024
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments)} ended badly: {said[-2000:]}")


def run_job(flags: Sequence[str]) -> Run:
    """A whole run of the trainer."""
    return Run(["-m", "trainer.task", *flags])


def _run_seconds(arguments: Sequence[str]) -> float:
    return Run(arguments).seconds


def repeated_rides(setting: Setting, num_rows: int, factor: int) -> str:
    """Pattern of `factor` CSV files of the same `num_rows` rides: one file and links to it."""
    folder = setting.folder / f"rides-{num_rows}-times-{factor}"
    if not folder.exists():
        folder.mkdir()
        first = _first_rides(setting, num_rows)
        for i in range(factor):
            os.link(first, folder / f"{i:02d}.csv")
    return str(folder / "*.csv")


def _first_rides(setting: Setting, num_rows: int) -> Path:
    """A CSV file of the first rides."""
    path = setting.folder / f"first-{num_rows}.csv"
    if not path.exists():
        with fileinput.input(sorted(setting.folder.glob("rides-*.csv")), mode="rb") as lines:
            path.write_bytes(b"".join(itertools.islice(lines, num_rows)))
    return path


def _boosted_trees(setting: Setting, pattern: str) -> dict[str, float] | None:
    """Seconds of LightGBM's reading and training; None where it is not installed."""
    files = sorted(str(path) for path in Path(pattern).parent.glob("*.csv"))
    done = subprocess.run(
        [setting.peer_python, PEERS / "boosted_trees.py", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"lightgbm is left out: {done.stderr.strip().splitlines()[-1]}")
        return None
    return json.loads(done.stdout.splitlines()[-1])
