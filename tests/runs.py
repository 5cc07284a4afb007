"""Runs of `python -m trainer.task` in processes of their own, as a user starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def command(*flags):
    return [sys.executable, "-m", "trainer.task", *map(str, flags)]


def environment(**variables):
    """This process's environment with the checkout on the path, and `variables`."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **variables}


def run_task(*flags, cwd, **variables):
    """Run to the end; gives the finished process with its output as text."""
    return subprocess.run(
        command(*flags),
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run_script(name, *arguments, cwd):
    """Run a Python script of the project to its end, as `run_task`."""
    return run_python(ROOT / "scripts" / name, *arguments, cwd=cwd)


def run_python(*arguments, cwd):
    """Run Python to its end, as `run_task`."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def start_task(*flags, cwd, prefix=(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **variables):
    """Start, with `prefix` before the command, and give the running process."""
    return subprocess.Popen(
        [*prefix, *command(*flags)],
        cwd=cwd,
        env=environment(**variables),
        stdout=stdout,
        stderr=stderr,
        text=True,
    )


def reason(done):
    """Why a run ended: its line on stderr, or the last JSON entry of its log."""
    if done.stderr:
        return done.stderr
    entry = json.loads(done.stdout.splitlines()[-1])
    assert entry["severity"] in ("WARNING", "ERROR")
    return entry["message"] + "\n"


def read_report(job_dir):
    return json.loads((Path(job_dir) / "report.json").read_text())


def read_metrics(job_dir):
    lines = (Path(job_dir) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
