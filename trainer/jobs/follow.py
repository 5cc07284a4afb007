"""Follow a job until it ends: its states with the time, the trials of a study, and the outcome.

Must not know job files. The clock and the pause are parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from trainer.errors import Interrupted, TrainingFailed, UserError
from trainer.jobs.cloud_trials import read_goals, read_trials
from trainer.jobs.job_service import JobName, Place, is_passing, quota_advice, refusals
from trainer.jobs.trials import best_trial, format_seconds

POLL_SECONDS = 10.0
# Of polls in a row that get no answer; at 10 s a poll, five minutes.
MAX_MISSED = 30

_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED")
_RESOURCE_EXHAUSTED = 8


def announce(name: JobName, say: Callable[[str], None]) -> None:
    """Print where to see a job that was just submitted."""
    say(f"submitted {name}")
    say(f"console: {name.console_url}")
    say(f"logs:    {name.logs_url}")
    say(f"stream:  {name.command('stream-logs')}")


def follow(
    client: Any,
    name: JobName,
    place: Place,
    *,
    say: Callable[[str], None],
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    poll_seconds: float = POLL_SECONDS,
) -> Any:
    """The job when it has succeeded; each change of its state is printed with its time.

    Raises:
        TrainingFailed: the job failed; the service's message.
        Interrupted: it was cancelled or expired, or Ctrl-C ended the following: the job goes on.
        UserError: it may not be seen any more; the job goes on.
    """
    started = now()
    shown = progress = ""
    try:
        for job in _looks(client, name, place, say, sleep, poll_seconds):
            state = job.state.name.removeprefix("JOB_STATE_")
            if _progress(job) not in ("", progress):
                progress = _progress(job)
                say(f"{now():%H:%M:%S}  {progress}")
            if state != shown:
                after = (now() - started).total_seconds()
                since = f" after {format_seconds(after)}" if shown else ""
                say(f"{now():%H:%M:%S}  {state.lower()}{since}")
                shown = state
            if state in _ENDED:
                break
    except KeyboardInterrupt as interrupt:
        raise Interrupted(
            f"stopped following; the job goes on. Cancel it: {name.command('cancel')}"
        ) from interrupt
    _judge(job, shown, name, place, say)
    return job


def _looks(
    client: Any,
    name: JobName,
    place: Place,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
    poll_seconds: float,
) -> Iterator[Any]:
    """The job at each poll; polls that get no answer are passed over, but not for ever."""
    is_study = name.collection == "hyperparameterTuningJobs"
    get = client.get_hyperparameter_tuning_job if is_study else client.get_custom_job
    missed = 0
    while True:
        try:
            with refusals(place):
                job = get(name=str(name), timeout=60)
        except UserError as error:
            cause = error.__cause__
            missed += 1
            if not isinstance(cause, Exception) or not is_passing(cause) or missed >= MAX_MISSED:
                raise UserError(f"{error}. The job itself goes on: {name.console_url}") from error
            if missed == 1:
                say(f"cannot see the job for now, it goes on: {error}")
        else:
            missed = 0
            yield job
        sleep(poll_seconds)


def _progress(job: Any) -> str:
    """How many trials of a study have ended, and the best; '' before the first has."""
    if not hasattr(job, "study_spec"):
        return ""
    trials, goals = read_trials(job), read_goals(job)
    ended = sum(trial.has_ended for trial in trials)
    if not ended:
        return ""
    best = best_trial(trials, goals)
    metric = next(iter(goals))
    result = "none succeeded" if best is None else f"best {metric} {best.metrics[metric]:.6g}"
    return f"{ended} of {job.max_trial_count} trials ended, {result}"


def _judge(job: Any, state: str, name: JobName, place: Place, say: Callable[[str], None]) -> None:
    """Raises what a job that did not succeed ended with."""
    message = " ".join(job.error.message.split()).rstrip(".")
    if state in ("SUCCEEDED", "PARTIALLY_SUCCEEDED"):
        if message:
            say(f"note: {message}")
        return
    if state == "FAILED":
        advice = f"; {quota_advice(place)}" if job.error.code == _RESOURCE_EXHAUSTED else ""
        raise TrainingFailed(
            f"the job failed: {message or 'the service gives no reason'}{advice}; "
            f"its log: {name.logs_url}"
        )
    raise Interrupted(f"the job was {state.lower()}{f' ({message})' if message else ''}")
