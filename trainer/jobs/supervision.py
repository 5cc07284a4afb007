"""Failures and restarts of a job's replicas, as Vertex AI documents them.

1. The job ends when the primary (the chief) exits with 0; the others are then ended.
2. SIGABRT (134) and SIGSEGV (139) are passing faults: the whole job is started again, at most 3
   times.
3. A replica that any other signal killed was lost with its machine: it alone is started again, at
   most 5 times; after that the whole job is. With `restartJobOnWorkerRestart` the whole job is
   started again each time. 75, the trainer's answer to SIGTERM, counts as lost too.
4. Any other exit code but 0 is permanent and ends the job.
5. `disableRetries` allows no restart of the whole job; `timeout` bounds the time of all starts.

Source: Vertex AI, "Understand the custom training service"; the API's Scheduling message.
"""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from trainer.errors import Interrupted, TrainingFailed, UserError
from trainer.jobs.job_file import JobFile
from trainer.jobs.replicas import Replica

MAX_WORKER_RESTARTS = 5
MAX_JOB_RETRIES = 3
DEFAULT_TIMEOUT_SECONDS = 7 * 86400.0
# What `timeout` of coreutils exits with.
TIMEOUT_EXIT_CODE = 124

_PASSING_FAULTS = (128 + signal.SIGABRT, 128 + signal.SIGSEGV)
_POLL_SECONDS = 0.05
# Exits that follow from one another are seen as one event: a worker that loses its chief aborts at
# once, and Vertex AI too looks only every few seconds.
_SETTLE_SECONDS = 1.0

State = Literal["succeeded", "failed", "timed_out"]


class Process(Protocol):
    """What is asked of a replica's process; see `replica_process.ReplicaProcess`."""

    @property
    def pid(self) -> int: ...  # noqa: D102
    @property
    def last_error(self) -> str | None: ...  # noqa: D102
    def poll(self) -> int | None: ...  # noqa: D102
    def terminate(self) -> None: ...  # noqa: D102
    def kill(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Scheduling:
    """The job's scheduling section.

    Attributes:
        timeout_seconds: of the job, its restarts included.
        restart_job_on_worker_restart: whether the loss of one replica restarts all.
        disable_retries: whether the whole job is started only once.
    """

    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    restart_job_on_worker_restart: bool = False
    disable_retries: bool = False


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended.

    Attributes:
        state: in one word.
        exit_code: 0 when it succeeded, 124 at its timeout, else of the replica that failed it.
        cause: a sentence.
        exit_codes: of each replica's last process; None where it was ended with the job.
        worker_restarts: by replica.
        job_retries: starts of the whole job after the first.
        seconds: from the first start to the end of the last process.
    """

    state: State
    exit_code: int
    cause: str
    exit_codes: dict[str, int | None]
    worker_restarts: dict[str, int]
    job_retries: int
    seconds: float


def read_scheduling(job: JobFile) -> Scheduling:
    """The scheduling of a job file.

    Raises:
        UserError: it is no mapping, or the timeout is not written as seconds, e.g. 7200s.
    """
    section = job.job_spec.get("scheduling") or {}
    if not isinstance(section, dict):
        where = job.where((*job.spec_path, "scheduling"))
        raise UserError(f"{where} must be a mapping, e.g. {{timeout: 7200s}}; got {section!r}")
    timeout = section.get("timeout")
    if timeout is not None and not re.fullmatch(r"[0-9]+(\.[0-9]+)?s", str(timeout)):
        where = job.where((*job.spec_path, "scheduling", "timeout"))
        raise UserError(f"{where} must be seconds with an s behind, e.g. 7200s; got {timeout!r}")
    disable_retries = section.get("disableRetries") is True
    return Scheduling(
        timeout_seconds=float(timeout[:-1]) if timeout else DEFAULT_TIMEOUT_SECONDS,
        # The API: disableRetries overrides it to false.
        restart_job_on_worker_restart=(
            section.get("restartJobOnWorkerRestart") is True and not disable_retries
        ),
        disable_retries=disable_retries,
    )


class Supervisor:
    """Starts the replicas of a job and reacts to their exits."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        start: Callable[[Replica], Process],
        scheduling: Scheduling,
        *,
        note: Callable[[str], None],
        grace_seconds: float = 10.0,
    ):
        """Prepare; nothing is started yet.

        Args:
            replicas: the primary among them.
            start: starts a replica's process.
            scheduling: of the job.
            note: gets a sentence about each restart.
            grace_seconds: between SIGTERM and SIGKILL where a replica is ended.
        """
        self._replicas = {replica.name: replica for replica in replicas}
        self._primary = next(replica.name for replica in replicas if replica.is_primary)
        self._start = start
        self._scheduling = scheduling
        self._note = note
        self._grace_seconds = grace_seconds
        self._processes: dict[str, Process] = {}
        self._restarts: Counter[str] = Counter()
        self._restarts_of_this_try: Counter[str] = Counter()
        self._retries = 0

    def run(self) -> JobOutcome:
        """Run the job to its end; whatever happens, no process is left.

        An exception such as KeyboardInterrupt ends the replicas as the end of the job does; a
        second one kills them.
        """
        started = time.monotonic()
        codes: dict[str, int | None] = {}
        try:
            self._start_all()
            deadline = started + self._scheduling.timeout_seconds
            verdict = None
            while verdict is None:
                failed = self._wait_for_exit(deadline)
                codes = self._poll()
                verdict = self._judge(codes, failed, is_late=time.monotonic() >= deadline)
        finally:
            self._stop_all()
        state, exit_code, cause = verdict
        return JobOutcome(
            state=state,
            exit_code=exit_code,
            cause=cause,
            exit_codes=codes,
            worker_restarts=dict(self._restarts),
            job_retries=self._retries,
            seconds=time.monotonic() - started,
        )

    def _poll(self) -> dict[str, int | None]:
        return {name: process.poll() for name, process in self._processes.items()}

    def _wait_for_exit(self, deadline: float) -> list[str]:
        """Names of the replicas that failed, the first one first; [] when the job is over."""
        failed: list[str] = []
        settled = deadline
        while True:
            codes = self._poll()
            if codes[self._primary] == 0:
                return []
            failed += [name for name, code in codes.items() if code and name not in failed]
            now = time.monotonic()
            if failed:
                settled = min(settled, now + _SETTLE_SECONDS)
            if now >= settled or (failed and None not in codes.values()):
                return failed
            time.sleep(_POLL_SECONDS)

    def _judge(
        self, codes: dict[str, int | None], failed: Sequence[str], *, is_late: bool
    ) -> tuple[State, int, str] | None:
        """State, exit code and cause of a job that is over; None after a restart."""
        if codes[self._primary] == 0:
            return "succeeded", 0, f"{self._primary} finished"
        permanent = [name for name in failed if not _is_passing(codes[name])]
        if permanent:
            return self._failure(self._primary if self._primary in permanent else permanent[0])
        if is_late:
            cause = f"it ran longer than its timeout of {self._scheduling.timeout_seconds:g} s"
            return "timed_out", TIMEOUT_EXIT_CODE, cause
        faults = [name for name in failed if codes[name] in _PASSING_FAULTS]
        if faults:
            return self._retry_job(faults[0])
        for name in failed:
            self._restarts_of_this_try[name] += 1
            if self._restarts_of_this_try[name] > MAX_WORKER_RESTARTS:
                return self._retry_job(name)
        self._restart_workers(failed)
        return None

    def _failure(self, name: str) -> tuple[State, int, str]:
        process = self._processes[name]
        code = process.poll() or 0
        reason = f": {process.last_error}" if process.last_error else ""
        return "failed", code, f"{name} {describe_exit(code)}{reason}"

    def _restart_workers(self, lost: Sequence[str]) -> None:
        whole_job = self._scheduling.restart_job_on_worker_restart
        for name in lost:
            self._restarts[name] += 1
            count = f"{self._restarts_of_this_try[name]} of {MAX_WORKER_RESTARTS}"
            what = "all replicas start" if whole_job else "it starts"
            how = describe_exit(self._processes[name].poll() or 0)
            self._note(f"{name} {how}; {what} again (restart {count})")
        if whole_job:
            self._stop_all()
            self._start_all()
            return
        for name in lost:
            self._processes[name] = self._start(self._replicas[name])

    def _retry_job(self, name: str) -> tuple[State, int, str] | None:
        if self._scheduling.disable_retries or self._retries == MAX_JOB_RETRIES:
            state, code, cause = self._failure(name)
            why = (
                "scheduling.disableRetries allows no other try"
                if self._scheduling.disable_retries
                else f"the job was started {MAX_JOB_RETRIES + 1} times"
            )
            return state, code, f"{cause}; {why}"
        self._retries += 1
        how = describe_exit(self._processes[name].poll() or 0)
        self._note(
            f"{name} {how}; the job starts again (retry {self._retries} of {MAX_JOB_RETRIES})"
        )
        self._restarts_of_this_try.clear()
        self._stop_all()
        self._start_all()
        return None

    def _start_all(self) -> None:
        for name, replica in self._replicas.items():
            self._processes[name] = self._start(replica)

    def _stop_all(self) -> None:
        """End what still runs: SIGTERM, and SIGKILL after the grace period."""
        deadline = time.monotonic() + self._grace_seconds
        try:
            for process in self._processes.values():
                process.terminate()
            while None in self._poll().values() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        finally:
            for process in self._processes.values():
                process.kill()


def describe_exit(code: int) -> str:
    """What an exit code means, as the end of a sentence that begins with the replica.

    >>> describe_exit(2), describe_exit(137)
    ('exited with 2 (a mistake of the user)', 'was killed by SIGKILL')
    """
    if code > 128:
        try:
            return f"was killed by {signal.Signals(code - 128).name}"
        except ValueError:
            return f"exited with {code}"
    meanings = {
        1: "unexpected, see its traceback",
        UserError.exit_code: "a mistake of the user",
        TrainingFailed.exit_code: "training failed",
        Interrupted.exit_code: "interrupted",
    }
    meaning = f" ({meanings[code]})" if code in meanings else ""
    return f"exited with {code}{meaning}"


def _is_passing(code: int | None) -> bool:
    """Whether a replica with that exit code is started again."""
    return code is None or 128 < code < 128 + signal.NSIG or code == Interrupted.exit_code
