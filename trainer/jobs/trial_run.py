"""One trial as a process: what it is started with, its measurements, its end.

The trainer gets the flags and variables that Vertex AI gives a trial. Everything of the trial lies
in its own folder, `<study_dir>/<trial id>/`. Must not know what is searched or why.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import trainer
from trainer.errors import UserError
from trainer.jobs.stopping import (
    Measurement,
    add_measurements,
    parse_measurements,
    reported_metrics,
)

# What would make the trial believe that it runs in the cloud, or in another trial.
_OF_VERTEX = re.compile(r"AIP_\w*|CLOUD_ML_\w*|CLUSTER_SPEC|TF_CONFIG|TPU_\w*")
_GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class TrialRequest:
    """What a trial is started with.

    Attributes:
        trial_id: from 1.
        folder: of the trial; its metric file, log and outputs lie there.
        arguments: of the trainer.
        variables: environment of the process, whole.
    """

    trial_id: int
    folder: Path
    arguments: tuple[str, ...]
    variables: Mapping[str, str]

    @property
    def metric_file(self) -> Path:
        """Where hypertune writes."""
        return metric_file(self.folder)

    @property
    def log_path(self) -> Path:
        """What the trial prints, of all its starts."""
        return self.folder / "log.txt"


class TrialProcess(Protocol):
    """A trial that was started; `subprocess.Popen` is one."""

    def poll(self) -> int | None:
        """The exit code; None while it runs."""

    def terminate(self) -> None:
        """Ask it to stop after a checkpoint."""

    def kill(self) -> None:
        """Stop it at once."""


Launch = Callable[[TrialRequest], TrialProcess]


def make_request(
    study_dir: Path,
    trial_id: int,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    pool_env: Mapping[str, str],
) -> TrialRequest:
    """The request of a trial.

    The variables are those of this process without what Vertex AI sets, those of the job file's
    pool, and the trial's. CLUSTER_SPEC and CLOUD_ML_PROJECT_ID are left out: with them the trainer
    logs JSON and takes local folders for lost ones.
    """
    folder = study_dir.absolute() / str(trial_id)
    package_dir = str(Path(trainer.__file__).absolute().parents[1])
    paths = [package_dir, environ.get("PYTHONPATH")]
    variables = {
        **{name: value for name, value in environ.items() if not _OF_VERTEX.fullmatch(name)},
        **pool_env,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "CLOUD_ML_TRIAL_ID": str(trial_id),
        "CLOUD_ML_HP_METRIC_FILE": str(metric_file(folder)),
        "AIP_MODEL_DIR": f"{folder}/model/",
        "AIP_CHECKPOINT_DIR": f"{folder}/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": f"{folder}/logs/",
    }
    return TrialRequest(trial_id, folder, tuple(arguments), variables)


def metric_file(folder: Path) -> Path:
    """The file that hypertune writes in a trial's folder."""
    return folder / "hypertune" / "output.metrics"


def launch_trainer(request: TrialRequest) -> TrialProcess:
    """Start `python -m trainer.task`."""
    return launch(request, [sys.executable, "-m", "trainer.task"])


def launch(request: TrialRequest, command: Sequence[str]) -> TrialProcess:
    """Start a command with the request's arguments, in a session that Ctrl-C does not reach.

    The process holds a lock on its folder as long as it lives, whatever becomes of this one; see
    `stop_orphan`.

    Raises:
        UserError: another process uses the folder.
    """
    with open(request.folder / "lock", "a+") as lock, open(request.log_path, "ab") as log:
        if not try_lock(lock):
            raise UserError(f"another process uses {request.folder}; stop it")
        lock.truncate(0)
        process = subprocess.Popen(
            [*command, *request.arguments],
            env=dict(request.variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
        lock.write(str(process.pid))
    return process


def stop_orphan(folder: Path, grace_seconds: float = _GRACE_SECONDS) -> bool:
    """Stop the trial's process where one outlived its tuner; gives whether there was one.

    It gets SIGTERM and time for a checkpoint, then SIGKILL.

    Raises:
        UserError: a process that cannot be told holds the folder.
    """
    path = folder / "lock"
    if not path.exists():
        return False
    pid = 0
    deadline = time.monotonic() + grace_seconds
    with open(path) as lock:
        while not try_lock(lock):
            lock.seek(0)
            text = lock.read()
            is_late = time.monotonic() > deadline
            if is_late and (pid or not text.isdecimal()):
                if not text.isdecimal() or time.monotonic() > deadline + grace_seconds:
                    raise UserError(f"another process uses {folder} and does not end; stop it")
                _signal(pid, signal.SIGKILL)
            elif text.isdecimal() and not pid:
                pid = int(text)  # it holds the lock, so the number is still its own
                _signal(pid, signal.SIGTERM)
            time.sleep(0.05)
    return pid > 0


def try_lock(file: IO[str]) -> bool:
    """Take the exclusive lock of an open file until it is closed; False where another has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class RunningTrial:
    """A trial's process and what it has reported so far."""

    def __init__(self, request: TrialRequest, metric: str, launch: Launch):
        """Start it; makes its folder."""
        request.metric_file.parent.mkdir(parents=True, exist_ok=True)
        self.request = request
        self.started = time.time()
        self.curve: list[Measurement] = []
        self.stop_reason = ""
        self._metric = metric
        self._last_text = ""
        self._log_start = request.log_path.stat().st_size if request.log_path.exists() else 0
        self._process = launch(request)
        self._stop_deadline = float("inf")

    def poll(self) -> int | None:
        """The exit code, None while it runs; kills it where it does not heed `stop`."""
        if time.monotonic() > self._stop_deadline:
            self._process.kill()
        return self._process.poll()

    def stop(self, reason: str, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Ask it to end. The first reason stays."""
        if not self.stop_reason:
            self.stop_reason = reason
            self._stop_deadline = time.monotonic() + grace_seconds
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, without a checkpoint."""
        self._process.kill()
        self._process.poll()

    def read_measurements(self) -> bool:
        """Read the metric file; gives whether there is a new report."""
        try:
            text = self.request.metric_file.read_text(errors="replace")
        except FileNotFoundError:
            return False
        if text == self._last_text:
            return False
        found = parse_measurements(text, self._metric, self.started)
        curve = add_measurements(self.curve, found)
        is_new = len(curve) > len(self.curve)
        self.curve, self._last_text = curve, text
        return is_new

    def final_curve(self) -> list[Measurement]:
        """All measurements, the last of the file at the end, whenever it was seen first."""
        self.read_measurements()
        last = parse_measurements(self._last_text, self._metric, self.started)[-1:]
        return [m for m in self.curve if not last or m[::2] != last[0][::2]] + last

    def cause(self, exit_code: int) -> str:
        """Why it has no value, in one line: what it did not report, or the end of its log."""
        if exit_code == 0:
            others = ", ".join(reported_metrics(self._last_text))
            return f"it reported {f'{others} and ' if others else ''}no {self._metric}"
        if exit_code < 0:
            name = signal.Signals(-exit_code).name
            hint = " (out of memory?)" if -exit_code == signal.SIGKILL else ""
            return f"killed by {name}{hint}"
        lines = self._log_lines()
        for line in reversed(lines):
            if line.startswith(("error: ", "interrupted: ")):
                return line.removeprefix("error: ")
        last = lines[-1].strip() if lines else "no output"
        return f"exit code {exit_code}: {last}"

    def _log_lines(self) -> list[str]:
        """What this start printed, without empty lines."""
        if not self.request.log_path.exists():
            return []
        with open(self.request.log_path, "rb") as log:
            log.seek(self._log_start)
            text = log.read().decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()]
