"""Checks of what a study's trials tell the trainer: each parameter is a flag, each value valid."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from trainer.errors import UserError, nearest
from trainer.flags import known_flags, parse_flags
from trainer.jobs.check_run import Run
from trainer.jobs.check_study import (
    VALUE_SPECS,
    Parameter,
    as_flag,
    listed_parents,
    parameters_of,
    values_of,
)
from trainer.jobs.findings import Finding, error, warning
from trainer.jobs.job_file import JobFile

# Whole trials that are tried; each pair of two-valued parameters is among them all but surely.
_NUM_TRIALS = 24


def check_trials(job: JobFile, run: Run) -> Iterator[Finding]:
    """Findings about the flags of the trials of a tuning job that is after `repair`.

    Args:
        job: the job file.
        run: what each trial tells the trainer besides.
    """
    found = [f for parameter in parameters_of(job) for f in _check_flag(job, parameter, run)]
    yield from found
    if not any(finding.severity == "error" for finding in found):
        yield from _check_whole_trials(job, (job.study or {}).get("parameters", []), run)


def _check_flag(job: JobFile, parameter: Parameter, run: Run) -> Iterator[Finding]:
    """A parameter reaches the trainer as a flag, with each value that it can take."""
    name = parameter.name
    known_names = known_flags(run.args)
    if name not in known_names:
        if name and not any(character.isspace() for character in name):
            yield error(
                job,
                (*parameter.path, "parameterId"),
                f"{name!r} is no flag of the trainer{nearest(name, known_names)}; see python -m "
                "trainer.task --help",
            )
        return
    if known_names[name].section in ("output", "tuning"):
        yield error(
            job, (*parameter.path, "parameterId"), f"{name} is set for each trial; do not tune it"
        )
        return
    if known_names[name] in parse_flags(run.args).layer:
        yield warning(
            job,
            (*parameter.path, "parameterId"),
            f"--{name} stands in args as well; the trial's value comes last and wins",
        )
    for value in parameter.values:
        known = {key: text for key, text in parameter.parents.items() if key in known_names}
        try:
            run.with_flags({**known, name: value})
        except UserError as failure:
            yield error(
                job,
                (*parameter.path, parameter.kind or ""),
                f"{name}={value} breaks a rule of the trainer: {failure}",
            )
            return


def _check_whole_trials(job: JobFile, specs: list[dict[str, Any]], run: Run) -> Iterator[Finding]:
    """Values that are valid one by one may break a rule together."""
    choices = random.Random(1)
    for _ in range(_NUM_TRIALS):
        flags = _draw_trial(specs, choices)
        known_names = known_flags(run.args)
        try:
            run.with_flags({name: value for name, value in flags.items() if name in known_names})
        except UserError as failure:
            named = [f"{n}={v}" for n, v in flags.items() if n in str(failure)] or ["these values"]
            yield error(
                job,
                ("studySpec", "parameters"),
                f"a trial with {' and '.join(named)} breaks a rule of the trainer: {failure}. Make "
                "one parameter conditional on the other",
            )
            return


def _draw_trial(specs: list[dict[str, Any]], choices: random.Random) -> dict[str, str]:
    """Flags of one trial, with the children of the values that were drawn."""
    flags: dict[str, str] = {}
    for spec in specs:
        kind = next((name for name in VALUE_SPECS if name in spec), None)
        values = values_of(kind, spec.get(kind or "", {}))
        if not values:
            continue
        value = choices.choice(values)
        flags[str(spec.get("parameterId", ""))] = value
        for condition in spec.get("conditionalParameterSpecs", []):
            parents = [as_flag(parent) for parent in listed_parents(condition)[1]]
            if value in parents and "parameterSpec" in condition:
                flags |= _draw_trial([condition["parameterSpec"]], choices)
    return flags
