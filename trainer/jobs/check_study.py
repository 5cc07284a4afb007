"""Checks of a tuning study by itself: its parameters, the search, the limits.

Source: Vertex AI, "Hyperparameter tuning overview" and "Use hyperparameter tuning"; the comments
of StudySpec.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainer.jobs.findings import Finding, error, warning
from trainer.jobs.job_fields import Path
from trainer.jobs.job_file import JobFile

VALUE_SPECS = (
    "doubleValueSpec",
    "integerValueSpec",
    "categoricalValueSpec",
    "discreteValueSpec",
)
_PARENT_VALUES = {
    "parentIntValues": "integerValueSpec",
    "parentDiscreteValues": "discreteValueSpec",
    "parentCategoricalValues": "categoricalValueSpec",
}
_MOST_DISCRETE_VALUES = 1000
_TRIALS_PER_PARAMETER = 10
_EPSILON = 1e-10


@dataclass(frozen=True)
class Parameter:
    """One parameter of a study, at the top or under a parent's values.

    Attributes:
        path: where it stands.
        spec: its ParameterSpec.
        kind: its value spec; None where it has none.
        values: the values to try: both ends of a range, each one of a list.
        parents: flags that are given together with it.
    """

    path: Path
    spec: Mapping[str, Any]
    kind: str | None
    values: tuple[str, ...]
    parents: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its ID, which is the name of the flag."""
        return str(self.spec.get("parameterId", ""))


def check_study(job: JobFile) -> Iterator[Finding]:
    """Findings about the study of a tuning job that is after `repair`, by itself."""
    yield from _check_limits(job)
    study = job.study or {}
    parameters = parameters_of(job)
    if not parameters:
        yield error(job, ("studySpec", "parameters"), "is missing; there is nothing to tune")
    for parameter in parameters:
        yield from _check_parameter(job, parameter)
    yield from _check_duplicates(job, parameters)
    yield from _check_search(job, study, parameters)


def parameters_of(job: JobFile) -> list[Parameter]:
    """All parameters of the study's tree, parents before their children."""
    specs = (job.study or {}).get("parameters", [])
    return list(_parameters(specs, ("studySpec", "parameters"), {}))


def _parameters(
    specs: list[dict[str, Any]], path: Path, parents: Mapping[str, str]
) -> Iterator[Parameter]:
    """All parameters of the tree, parents first."""
    for index, spec in enumerate(specs):
        yield from _tree(spec, (*path, index), parents)


def _tree(spec: dict[str, Any], path: Path, parents: Mapping[str, str]) -> Iterator[Parameter]:
    kind = next((name for name in VALUE_SPECS if name in spec), None)
    parameter = Parameter(path, spec, kind, values_of(kind, spec.get(kind or "", {})), parents)
    yield parameter
    for index, condition in enumerate(spec.get("conditionalParameterSpecs", [])):
        at = (*path, "conditionalParameterSpecs", index, "parameterSpec")
        condition_kind, values = listed_parents(condition)
        fits = values and _PARENT_VALUES[condition_kind or ""] == kind
        inherited = {**parents, parameter.name: as_flag(values[0])} if fits else parents
        if "parameterSpec" in condition:
            yield from _tree(condition["parameterSpec"], at, inherited)


def listed_parents(condition: Mapping[str, Any]) -> tuple[str | None, list[Any]]:
    """The kind of a condition, and the parent's values under which it holds."""
    for name in _PARENT_VALUES:
        if name in condition:
            return name, condition[name].get("values", [])
    return None, []


def values_of(kind: str | None, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The values to try: both ends of a range, each one of a list."""
    if kind is None:
        return ()
    if kind in ("doubleValueSpec", "integerValueSpec"):
        ends = (spec.get("minValue", 0), spec.get("maxValue", 0))
        return tuple(dict.fromkeys(as_flag(end) for end in ends))
    return tuple(as_flag(value) for value in spec.get("values", []))


def as_flag(value: Any) -> str:
    """The value as the service passes it: whole numbers of a list may come as 128.0."""
    return str(value)


def _check_parameter(job: JobFile, parameter: Parameter) -> Iterator[Finding]:
    """A parameter by itself."""
    spec, path = parameter.spec, parameter.path
    if not parameter.name or any(character.isspace() for character in parameter.name):
        yield error(
            job,
            (*path, "parameterId"),
            f"must be the name of a flag, without spaces; received {parameter.name!r}",
        )
    if parameter.kind is None:
        yield error(job, path, f"has no values; add one of {', '.join(VALUE_SPECS)}")
        return
    at = (*path, parameter.kind)
    values = spec[parameter.kind]
    if parameter.kind in ("doubleValueSpec", "integerValueSpec"):
        yield from _check_range(job, at, parameter, values)
    elif not values.get("values"):
        yield error(job, (*at, "values"), "is empty; list at least one value")
    elif parameter.kind == "discreteValueSpec":
        numbers = values["values"]
        if any(a >= b for a, b in itertools.pairwise(numbers)):
            yield error(job, (*at, "values"), f"must increase strictly; received {numbers}")
        if len(numbers) > _MOST_DISCRETE_VALUES:
            yield error(
                job, (*at, "values"), f"at most {_MOST_DISCRETE_VALUES}; received {len(numbers)}"
            )
    elif len(set(values["values"])) < len(values["values"]):
        yield error(job, (*at, "values"), f"names a value twice: {values['values']}")
    yield from _check_scale(job, parameter)
    yield from _check_conditions(job, parameter)


def _check_range(
    job: JobFile, at: Path, parameter: Parameter, values: Mapping[str, Any]
) -> Iterator[Finding]:
    low, high = values.get("minValue", 0), values.get("maxValue", 0)
    if low >= high:
        yield error(
            job, at, f"{parameter.name}: minValue must be below maxValue; received {low} and {high}"
        )


def _check_scale(job: JobFile, parameter: Parameter) -> Iterator[Finding]:
    at = (*parameter.path, "scaleType")
    scale = str(parameter.spec.get("scaleType", "SCALE_TYPE_UNSPECIFIED"))
    if scale == "SCALE_TYPE_UNSPECIFIED":
        return
    if parameter.kind == "categoricalValueSpec":
        yield error(job, at, f"{parameter.name}: categories have no scale; remove scaleType")
    elif "LOG" in scale and any(float(value) <= 0 for value in parameter.values):
        lowest = min(float(value) for value in parameter.values)
        yield error(
            job,
            at,
            f"{parameter.name}: {scale} needs values above 0; the lowest is {lowest:g}. Use "
            "UNIT_LINEAR_SCALE or a small positive minValue",
        )


def _check_conditions(job: JobFile, parameter: Parameter) -> Iterator[Finding]:
    """The values under which children are active must be values of the parent."""
    for index, condition in enumerate(parameter.spec.get("conditionalParameterSpecs", [])):
        at = (*parameter.path, "conditionalParameterSpecs", index)
        kind, values = listed_parents(condition)
        fitting = {spec: name for name, spec in _PARENT_VALUES.items()}.get(parameter.kind or "")
        if "parameterSpec" not in condition:
            yield error(job, at, "has no parameterSpec")
        if fitting is None:
            yield error(
                job, at, f"{parameter.name} is a double; only lists and integers can be a condition"
            )
        elif kind != fitting:
            yield error(
                job, at, f"{parameter.name} needs {fitting} as condition; received {kind or 'none'}"
            )
        else:
            outside = [value for value in values if not _is_value(parameter, value)]
            if outside or not values:
                yield error(
                    job,
                    (*at, fitting),
                    f"must be values of {parameter.name}; received {outside or 'none'}, it has "
                    f"{' to '.join(parameter.values) if fitting == 'parentIntValues' else ', '.join(parameter.values)}",  # noqa: E501
                )


def _is_value(parameter: Parameter, value: Any) -> bool:
    if parameter.kind == "categoricalValueSpec":
        return str(value) in parameter.values
    numbers = [float(number) for number in parameter.values]
    if parameter.kind == "integerValueSpec":
        return min(numbers) <= float(value) <= max(numbers)
    return any(abs(float(value) - number) <= _EPSILON for number in numbers)


def _check_duplicates(job: JobFile, parameters: list[Parameter]) -> Iterator[Finding]:
    """One name stands once, but for conditions of one parent that exclude each other."""
    seen: dict[str, Parameter] = {}
    for parameter in parameters:
        first = seen.setdefault(parameter.name, parameter)
        if first is parameter or (first.parents and first.path[:3] == parameter.path[:3]):
            continue
        yield error(
            job,
            (*parameter.path, "parameterId"),
            f"{parameter.name} stands twice, first in line {job.line_of(first.path)}",
        )


def _check_search(
    job: JobFile, study: Mapping[str, Any], parameters: list[Parameter]
) -> Iterator[Finding]:
    """The algorithm beside the parameters, and how many trials they take."""
    trials = int(job.values.get("maxTrialCount", 0))
    if study.get("algorithm") == "GRID_SEARCH":
        for parameter in parameters:
            if parameter.kind == "doubleValueSpec":
                yield error(
                    job,
                    (*parameter.path, "doubleValueSpec"),
                    f"{parameter.name}: GRID_SEARCH takes no doubles; use discreteValueSpec",
                )
    elif 0 < trials < len(parameters):
        yield warning(
            job,
            ("maxTrialCount",),
            f"{trials} trials for {len(parameters)} parameters; Google advises "
            f"{_TRIALS_PER_PARAMETER} a parameter",
        )
    if study.get("measurementSelectionType", "MEASUREMENT_SELECTION_TYPE_UNSPECIFIED") == (
        "MEASUREMENT_SELECTION_TYPE_UNSPECIFIED"
    ):
        yield warning(
            job,
            ("studySpec", "measurementSelectionType"),
            "is not set, so the LAST measurement of a trial counts; write BEST_MEASUREMENT, or "
            "LAST_MEASUREMENT to say that it is meant",
        )


def _check_limits(job: JobFile) -> Iterator[Finding]:
    """The numbers of trials."""
    values = job.values
    trials, parallel = values.get("maxTrialCount"), values.get("parallelTrialCount")
    failed = values.get("maxFailedTrialCount", 0)
    if "displayName" not in values:
        yield error(job, ("displayName",), "is missing; write displayName: ${JOB}")
    if trials is None or parallel is None:
        key = "maxTrialCount" if trials is None else "parallelTrialCount"
        yield error(job, (key,), "is missing; gcloud would take 1")
        return
    if trials < 1 or parallel < 1:
        key = "maxTrialCount" if trials < 1 else "parallelTrialCount"
        yield error(job, (key,), f"must be 1 or more; received {min(trials, parallel)}")
        return
    if parallel > trials:
        yield error(job, ("parallelTrialCount",), f"{parallel} is above maxTrialCount {trials}")
    elif parallel > 1 and parallel > trials / 2:
        yield warning(
            job,
            ("parallelTrialCount",),
            f"{parallel} of {trials} trials start together, so the search learns little from them",
        )
    if failed > trials:
        yield error(job, ("maxFailedTrialCount",), f"{failed} is above maxTrialCount {trials}")
    elif failed < 1:
        yield warning(
            job,
            ("maxFailedTrialCount",),
            "is 0 or not set: the first trial that fails ends the job; set it to a tenth of the "
            "trials",
        )
