"""What the studySpec of a HyperparameterTuningJob says: what is searched, how, and when it ends.

Must not know how a trial is run or where its results stay.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainer.errors import UserError, nearest
from trainer.jobs.search_space import Kind, Parameter, Scale, Value, is_equal
from trainer.jobs.trials import Goal

Algorithm = Literal["tpe", "grid", "random"]
Stopping = Literal["none", "median_by_steps", "median_by_seconds"]

_KINDS: dict[str, Kind] = {
    "doubleValueSpec": "double",
    "integerValueSpec": "integer",
    "discreteValueSpec": "discrete",
    "categoricalValueSpec": "categorical",
}
_SCALES: dict[str, Scale] = {
    "SCALE_TYPE_UNSPECIFIED": "linear",
    "UNIT_LINEAR_SCALE": "linear",
    "UNIT_LOG_SCALE": "log",
    "UNIT_REVERSE_LOG_SCALE": "reverse_log",
}
_CONDITIONS: dict[str, Kind] = {
    "parentDiscreteValues": "discrete",
    "parentIntValues": "integer",
    "parentCategoricalValues": "categorical",
}
_ALGORITHMS: dict[str, Algorithm] = {
    "ALGORITHM_UNSPECIFIED": "tpe",
    "GRID_SEARCH": "grid",
    "RANDOM_SEARCH": "random",
}
_SELECTIONS: dict[str, Literal["last", "best"]] = {
    "MEASUREMENT_SELECTION_TYPE_UNSPECIFIED": "last",
    "LAST_MEASUREMENT": "last",
    "BEST_MEASUREMENT": "best",
}
_NOT_EMULATED = ("decayCurveStoppingSpec", "convexAutomatedStoppingSpec")


@dataclass(frozen=True)
class Study:
    """What a HyperparameterTuningJob searches, and when it ends.

    Attributes:
        goals: metricId -> MAXIMIZE or MINIMIZE; the first is what trials are ranked by.
        parameters: those without a parent.
        algorithm: tpe stands for the service's Bayesian search.
        selection: which measurement of a trial counts.
        stopping: whether trials below the median are stopped, compared at equal steps or seconds.
        max_trials: trials in all.
        parallel: trials at a time.
        max_failed: failed trials that end the study, 1 or more.
        notes: what is not done here as on Vertex AI, a sentence each.
    """

    goals: Mapping[str, Goal]
    parameters: tuple[Parameter, ...]
    algorithm: Algorithm = "tpe"
    selection: Literal["last", "best"] = "last"
    stopping: Stopping = "none"
    max_trials: int = 1
    parallel: int = 1
    max_failed: int = 1
    notes: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """The metricId that trials are ranked by."""
        return next(iter(self.goals))

    @property
    def maximizes(self) -> bool:
        """Whether more is better."""
        return self.goals[self.metric] == "MAXIMIZE"


def read_study(values: Mapping[str, Any], path: str) -> Study:
    """The study of a tuning job.

    Args:
        values: the HyperparameterTuningJob as its YAML says it.
        path: of the YAML, for messages.

    Raises:
        UserError: no usable studySpec; names the field.
    """
    try:
        return _read_study(values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _read_study(values: Mapping[str, Any]) -> Study:
    spec = _mapping(values.get("studySpec"), "studySpec")
    goals, notes = _read_metrics(spec), []
    if len(goals) > 1:
        notes.append(f"trials are ranked by {next(iter(goals))} alone, the first of the metrics")
    for name in _NOT_EMULATED:
        if name in spec:
            notes.append(f"{name} is not emulated; no trial is stopped early")
    parameters = tuple(
        _read_parameter(item, f"studySpec.parameters[{i}]")
        for i, item in enumerate(_list(spec.get("parameters"), "studySpec.parameters"))
    )
    _refuse_same_names(parameters, "studySpec.parameters")
    algorithm = _choice(spec, "algorithm", _ALGORITHMS, "studySpec")
    if algorithm == "grid":
        _refuse_doubles(parameters)
    stopping: Stopping = "none"
    if (median := "medianAutomatedStoppingSpec") in spec:
        options = _mapping(spec[median] or {}, f"studySpec.{median}")
        by_seconds = options.get("useElapsedDuration", False)
        stopping = "median_by_seconds" if by_seconds else "median_by_steps"
    return Study(
        goals=goals,
        parameters=parameters,
        algorithm=algorithm,
        selection=_choice(spec, "measurementSelectionType", _SELECTIONS, "studySpec"),
        stopping=stopping,
        max_trials=_count(values, "maxTrialCount"),
        parallel=_count(values, "parallelTrialCount"),
        max_failed=_count(values, "maxFailedTrialCount"),
        notes=tuple(notes),
    )


def _read_metrics(spec: Mapping[str, Any]) -> dict[str, Goal]:
    goals: dict[str, Goal] = {}
    for i, item in enumerate(_list(spec.get("metrics"), "studySpec.metrics")):
        metric = _mapping(item, f"studySpec.metrics[{i}]")
        name, goal = metric.get("metricId"), metric.get("goal")
        if not isinstance(name, str) or not name or name in goals:
            raise UserError(f"studySpec.metrics[{i}].metricId must be a new text; got {name!r}")
        if goal not in ("MAXIMIZE", "MINIMIZE"):
            raise UserError(
                f"studySpec.metrics[{i}].goal must be MAXIMIZE or MINIMIZE; received {goal!r}"
            )
        goals[name] = goal
    return goals


def _read_parameter(
    item: Any, where: str, parent_key: str = "", parent_values: tuple[Value, ...] = ()
) -> Parameter:
    spec = _mapping(item, where)
    valid = ("parameterId", "scaleType", "conditionalParameterSpecs", *_KINDS)
    for key in spec:
        if key not in valid:
            raise UserError(
                f"{where} has the unknown key {key!r}{nearest(str(key), valid)}; "
                f"valid: {', '.join(valid)}"
            )
    name = spec.get("parameterId")
    if not isinstance(name, str) or not name:
        raise UserError(f"{where}.parameterId must be a flag of the trainer; received {name!r}")
    where = f"{where} {name}"
    given = [field for field in _KINDS if field in spec]
    if len(given) != 1:
        raise UserError(f"{where} must have one of {', '.join(_KINDS)}; received {len(given)}")
    kind = _KINDS[given[0]]
    ranges = _mapping(spec[given[0]], f"{where}.{given[0]}")
    choices, low, high = _read_values(kind, ranges, f"{where}.{given[0]}")
    scale = _choice(spec, "scaleType", _SCALES, where)
    if kind == "categorical" and "scaleType" in spec:
        raise UserError(f"{where}.scaleType has no meaning for categorical values; remove it")
    if scale != "linear" and low <= 0:
        raise UserError(f"{where}: a log scale needs values above 0; the smallest is {low:g}")
    values = "|".join(map(str, parent_values))
    key = f"{parent_key}={values}/{name}" if parent_values else name
    parameter = Parameter(name, key, kind, choices, low, high, scale, parent_values)
    conditions, where = spec.get("conditionalParameterSpecs"), f"{where}.conditionalParameterSpecs"
    children = tuple(
        _read_condition(child, parameter, f"{where}[{i}]")
        for i, child in enumerate(_list(conditions, where) if conditions else ())
    )
    _refuse_same_names(children, where)
    return replace(parameter, children=children)


def _read_values(
    kind: Kind, ranges: Mapping[str, Any], where: str
) -> tuple[tuple[Any, ...], float, float]:
    """Choices, lowest and highest value."""
    if kind == "categorical":
        texts = _list(ranges.get("values"), f"{where}.values")
        if len(set(map(str, texts))) < len(texts):
            raise UserError(f"{where}.values must differ; received {texts}")
        return tuple(map(str, texts)), 0.0, 0.0
    if kind == "discrete":
        numbers = [
            _number(value, f"{where}.values[{i}]")
            for i, value in enumerate(_list(ranges.get("values"), f"{where}.values"))
        ]
        if any(b <= a for a, b in itertools.pairwise(numbers)):
            raise UserError(f"{where}.values must increase; received {numbers}")
        return tuple(numbers), numbers[0], numbers[-1]
    low, high = (_number(ranges.get(n), f"{where}.{n}") for n in ("minValue", "maxValue"))
    if low > high:
        raise UserError(f"{where}.minValue {low:g} is above maxValue {high:g}")
    if kind == "integer" and not (low.is_integer() and high.is_integer()):
        raise UserError(f"{where} must have whole bounds; received {low:g} and {high:g}")
    return (), low, high


def _read_condition(item: Any, parent: Parameter, where: str) -> Parameter:
    spec = _mapping(item, where)
    expected = next((name for name, kind in _CONDITIONS.items() if kind == parent.kind), None)
    if expected is None:
        raise UserError(f"{where}: a parameter of doubleValueSpec can have no conditional ones")
    if expected not in spec:
        raise UserError(f"{where} must have {expected}, as {parent.name} is {parent.kind}")
    listed = _mapping(spec[expected], f"{where}.{expected}").get("values")
    values: list[Value] = [
        str(value) if parent.kind == "categorical" else _number(value, f"{where}.{expected}")
        for value in _list(listed, f"{where}.{expected}.values")
    ]
    for value in values:
        is_whole = isinstance(value, float) and value.is_integer()
        inside = parent.kind == "integer" and is_whole and parent.low <= float(value) <= parent.high
        if not inside and not any(is_equal(value, choice) for choice in parent.choices):
            raise UserError(f"{where}.{expected}: {value!r} is no value of {parent.name}")
    exact = [int(v) if parent.kind == "integer" else v for v in values]
    return _read_parameter(
        spec.get("parameterSpec"), f"{where}.parameterSpec", parent.key, tuple(exact)
    )


def _refuse_same_names(parameters: Sequence[Parameter], where: str) -> None:
    """Children of one name are fine where no value of the parent makes both active."""
    for i, parameter in enumerate(parameters):
        for other in parameters[:i]:
            if parameter.name != other.name:
                continue
            if not parameter.parent_values or set(parameter.parent_values) & set(
                other.parent_values
            ):
                raise UserError(f"{where} names {parameter.name} twice")


def _refuse_doubles(parameters: Sequence[Parameter]) -> None:
    for parameter in parameters:
        if parameter.kind == "double":
            raise UserError(
                f"GRID_SEARCH takes no doubleValueSpec; {parameter.name} has one. "
                "List its values in a discreteValueSpec"
            )
        _refuse_doubles(parameter.children)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where} must be a mapping; received {value!r}")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise UserError(f"{where} must be a list with at least one item; received {value!r}")
    return value


def _number(value: Any, where: str) -> float:
    """A number as the API reads it, from 3 or from "3"."""
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise UserError(f"{where} must be a number; received {value!r}")
    return number


def _count(values: Mapping[str, Any], name: str) -> int:
    """A count of trials; 0 or absent is 1, as for gcloud and, of failed trials, for the service."""
    number = _number(values.get(name) or 0, name)
    if number < 0 or not number.is_integer():
        raise UserError(f"{name} must be a whole number from 0; received {values.get(name)!r}")
    return max(1, int(number))


def _choice(spec: Mapping[str, Any], name: str, choices: Mapping[str, Any], where: str) -> Any:
    """What `choices` has for the enum's name; the first where it is absent."""
    text = spec.get(name, next(iter(choices)))
    if not isinstance(text, str) or text not in choices:
        raise UserError(
            f"{where}.{name} must be one of {', '.join(choices)}; received {text!r}"
            f"{nearest(str(text), choices)}"
        )
    return choices[text]
