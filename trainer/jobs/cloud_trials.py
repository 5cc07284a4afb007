"""The trials of a tuning job of Vertex AI, and the command that lists them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.errors import UserError
from trainer.jobs.job_service import (
    JobName,
    Place,
    add_place_options,
    connect,
    parse_job_name,
    read_place,
    refusals,
)
from trainer.jobs.trials import Goal, Trial, best_trial, flags_of, ranked_table


def main(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Print the ranked trials of the tuning job that `argv` names.

    Raises:
        UserError: there is no such job, or it may not be seen.
    """
    parser = argparse.ArgumentParser(
        prog="python scripts/list_trials.py",
        description="The trials of a tuning job on Vertex AI, best first.",
    )
    parser.add_argument("job", help="number of the job, or projects/.../hyperparameterTuningJobs/N")
    add_place_options(parser)
    options = parser.parse_args(argv)
    if "/" in options.job:
        name = parse_job_name(options.job)
        place = Place(name.project, name.region, options.api_endpoint)
    else:
        place = read_place(options)[0]
        name = JobName(place.project, place.region, "hyperparameterTuningJobs", options.job)
    if name.collection != "hyperparameterTuningJobs":
        raise UserError(f"{name} is no tuning job; it has no trials. See it: {name.console_url}")
    client = connect(place)
    with refusals(place):
        job = client.get_hyperparameter_tuning_job(name=str(name))
    print(f"{job.display_name}: {job.state.name.removeprefix('JOB_STATE_').lower()}")
    print(describe_trials(job))


def describe_trials(job: Any) -> str:
    """The table of the job's trials and, under it, the flags of the best."""
    trials, goals = read_trials(job), read_goals(job)
    lines = [ranked_table(trials, goals)]
    best = best_trial(trials, goals)
    if best is not None:
        lines.append(f"flags of trial {best.id}, the best: {' '.join(flags_of(best))}")
    return "\n".join(lines)


def read_goals(job: Any) -> dict[str, Goal]:
    """Metric -> goal of a HyperparameterTuningJob, in the order of its studySpec."""
    return {metric.metric_id: metric.goal.name for metric in job.study_spec.metrics}


def read_trials(job: Any) -> list[Trial]:
    """The trials of a HyperparameterTuningJob, in the order in which they were made.

    The measurement is the one that the service selected (measurementSelectionType), and of a trial
    that has not ended the last one.
    """
    return [_read_trial(trial) for trial in job.trials]


def _read_trial(trial: Any) -> Trial:
    measurement = None
    if "final_measurement" in trial:
        measurement = trial.final_measurement
    elif trial.measurements:
        measurement = trial.measurements[-1]
    reason = ""
    if trial.state.name == "INFEASIBLE":
        reason = trial.infeasible_reason or f"see {trial.custom_job or 'its log'}"
    times = (trial.start_time, trial.end_time)
    return Trial(
        id=trial.id,
        state=trial.state.name,
        parameters={p.parameter_id: p.value for p in trial.parameters},
        metrics={m.metric_id: m.value for m in measurement.metrics} if measurement else {},
        steps=int(measurement.step_count) if measurement else None,
        seconds=(times[1] - times[0]).total_seconds() if all(times) else None,
        reason=reason,
    )
