"""The parameters that a study searches: values, scales, conditions, and Optuna's view of them.

Optuna is imported where it is needed. Must not know YAML, nor how a trial is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Value = int | float | str
Kind = Literal["double", "integer", "discrete", "categorical"]
Scale = Literal["linear", "log", "reverse_log"]

# "The Epsilon of the value matching is 1e-10." Source: DiscreteValueCondition of the API.
_MATCHING_EPSILON = 1e-10


@dataclass(frozen=True)
class Parameter:
    """One parameterSpec.

    Attributes:
        name: parameterId, the flag of the trainer.
        key: unique in the study; for a child, the way to it, e.g. `optimizer=sgd/momentum`, as two
            branches may give the same flag.
        kind: type of its values: float, int, float, str.
        choices: all values of a discrete (increasing) or categorical one; else ().
        low: smallest value of a double or integer one.
        high: its largest, inclusive.
        scale: how the values of a double or integer one are spread; reverse_log is dense near
            `high`. A discrete one is searched by the place in its list, whatever its scale.
        parent_values: values of the parent with which it is active; () without a parent.
        children: parameters that some of its values make active.
    """

    name: str
    key: str
    kind: Kind
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    scale: Scale = "linear"
    parent_values: tuple[Value, ...] = ()
    children: tuple[Parameter, ...] = ()

    def active_children(self, value: Value) -> list[Parameter]:
        """The children that this value makes active."""
        return [c for c in self.children if any(is_equal(value, v) for v in c.parent_values)]


def walk(parameters: Sequence[Parameter], choose: Callable[[Parameter], Value]) -> dict[str, Value]:
    """Name -> value of every active parameter, parents first; `choose` is asked for each."""
    point: dict[str, Value] = {}
    for parameter in parameters:
        value = choose(parameter)
        point[parameter.name] = value
        point |= walk(parameter.active_children(value), choose)
    return point


def grid(parameters: Sequence[Parameter]) -> Iterator[dict[str, Value]]:
    """Every point of the space as key -> value, the last parameter changing fastest.

    A conditional parameter multiplies only the branches in which it is active.
    """
    if not parameters:
        yield {}
        return
    first, rest = parameters[0], parameters[1:]
    values: Sequence[Value] = first.choices or range(round(first.low), round(first.high) + 1)
    for value in values:
        for point in grid((*first.active_children(value), *rest)):
            yield {first.key: value, **point}


def grid_size(parameters: Sequence[Parameter]) -> int:
    """Number of points of `grid`, without making them."""
    size = 1
    for parameter in parameters:
        if not parameter.children:
            size *= len(parameter.choices) or round(parameter.high) - round(parameter.low) + 1
        else:
            values = parameter.choices or range(round(parameter.low), round(parameter.high) + 1)
            size *= sum(grid_size(parameter.active_children(value)) for value in values)
    return size


def flags(parameters: Sequence[Parameter], point: Mapping[str, Value]) -> list[str]:
    """The flags of a point (name -> value) as the service passes them: of the active ones only.

    A DOUBLE or DISCRETE value is a double: 128 becomes `128.0`.
    """
    texts: list[str] = []

    def note(parameter: Parameter) -> Value:
        value = point[parameter.name]
        is_double = parameter.kind in ("double", "discrete")
        texts.append(f"--{parameter.name}={float(value) if is_double else value}")
        return value

    walk(parameters, note)
    return texts


def distribution(parameter: Parameter) -> Any:
    """Optuna's distribution of the parameter's *coordinate*, see `decode`."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.kind == "categorical":
        return CategoricalDistribution(parameter.choices)
    if parameter.kind == "discrete":
        return IntDistribution(0, len(parameter.choices) - 1)
    is_log = parameter.scale != "linear"
    if parameter.kind == "integer":
        return IntDistribution(round(parameter.low), round(parameter.high), log=is_log)
    return FloatDistribution(parameter.low, parameter.high, log=is_log)


def decode(parameter: Parameter, coordinate: Any) -> Value:
    """The value at a coordinate of `distribution`.

    That is the value itself, but the place in the list for a discrete parameter, and for
    reverse_log the mirror image low + high - value, whose logarithm Optuna spreads evenly.
    """
    if parameter.kind == "discrete":
        return parameter.choices[int(coordinate)]
    if parameter.kind == "categorical":
        return str(coordinate)
    value = coordinate
    if parameter.scale == "reverse_log":
        # Rounding must not leave the range: the service refuses nothing, but the trainer may.
        value = min(max(parameter.low + parameter.high - coordinate, parameter.low), parameter.high)
    return round(value) if parameter.kind == "integer" else float(value)


def encode(parameter: Parameter, value: Value) -> Any:
    """The coordinate of a value: the inverse of `decode`."""
    if parameter.kind == "discrete":
        return parameter.choices.index(value)
    if parameter.kind == "categorical":
        return value
    coordinate = float(value)
    if parameter.scale == "reverse_log":
        coordinate = parameter.low + parameter.high - coordinate
    return round(coordinate) if parameter.kind == "integer" else coordinate


def is_equal(value: Value, other: Value) -> bool:
    """Whether two values of a parameter are the same one to the service."""
    if isinstance(value, str) or isinstance(other, str):
        return value == other
    return abs(value - other) <= _MATCHING_EPSILON
