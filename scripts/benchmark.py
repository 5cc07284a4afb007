#!/usr/bin/env python3
"""Measure the trainer: its stages, whole jobs, the machine's own limits, and its peers.

    python scripts/benchmark.py                         all, under 15 minutes on 2 cores
    python scripts/benchmark.py --only=read,step        some sections
    python scripts/benchmark.py --quick                 tiny sizes: whether it works

Prints every figure as it is found, then each bar with its figure, and writes benchmark.json and
plots. A section that is measured again replaces its figures in benchmark.json. How to read it:
scripts/benchmark_notes.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import benchmark_contenders
import benchmark_processes
import benchmark_reading
import benchmark_serving
import benchmark_training
from benchmark_measure import Recorder
from benchmark_report import Report
from benchmark_setting import QUICK, Setting, Sizes, make_tables

from trainer import logs

SECTIONS: dict[str, Callable[[Setting, Recorder], None]] = {
    "machine": benchmark_reading.measure_machine,
    "read": benchmark_reading.measure_reading,
    "step": benchmark_training.measure_steps,
    "csv": benchmark_contenders.measure_csv,
    "memory_peers": benchmark_contenders.measure_memory_peers,
    "table": benchmark_training.measure_tables,
    "columns": benchmark_training.measure_columns,
    "finish": benchmark_serving.measure_finish,
    "startup": benchmark_processes.measure_startup,
    "memory": benchmark_processes.measure_memory,
    "jobs": benchmark_processes.measure_jobs,
    "workers": benchmark_processes.measure_workers,
    "large": benchmark_training.measure_large_table,
}
ON_REQUEST = ("large",)


def main(argv: list[str]) -> int:
    """Measure and report; gives the exit code: 1 where a section failed."""
    options = parse(argv)
    sizes = QUICK if options.quick else Sizes()
    report = Report(Path(options.output), options.peer_python)
    failed = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        setting = Setting(
            sizes,
            Path(folder),
            peer_python=options.peer_python,
            has_peers=not options.without_peers,
        )
        make_tables(setting)
        for name in options.only:
            started = time.monotonic()
            report.begin(name)
            if not run_section(name, setting, report):
                failed.append(name)
            report.end(time.monotonic() - started)
    report.finish()
    if failed:
        print(f"failed: {', '.join(failed)}; see above", file=sys.stderr)
    return 1 if failed else 0


def parse(argv: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = [name for name in SECTIONS if name not in ON_REQUEST]
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=usual,
        help=f"sections, with commas, of {', '.join(SECTIONS)}; default: all but the last",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round")
    parser.add_argument("--large", action="store_true", help="also 50 million ids, 10 GB")
    parser.add_argument("--without_peers", action="store_true", help="measure no peers")
    parser.add_argument(
        "--peer_python", default=sys.executable, help="interpreter with the peers' packages"
    )
    parser.add_argument("--output", default="benchmark", help="folder of benchmark.json and plots")
    options = parser.parse_args(argv)
    if unknown := sorted(set(options.only) - set(SECTIONS)):
        parser.error(f"--only: no section {', '.join(unknown)}; valid: {', '.join(SECTIONS)}")
    if options.large and "large" not in options.only:
        options.only = [*options.only, "large"]
    return options


def run_section(name: str, setting: Setting, report: Report) -> bool:
    """Run a section in a process of its own, so that none inherits threads and memory."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=section_process, args=(name, setting, theirs))
    process.start()
    theirs.close()
    while True:
        try:
            report.add(ours.recv())
        except EOFError:
            break
    process.join()
    return process.exitcode == 0


def section_process(name: str, setting: Setting, pipe: Connection) -> None:
    """The process of a section: figures go into the pipe."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with logs.without_native_notes():
        SECTIONS[name](setting, Recorder(pipe.send, setting.sizes.rounds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
