"""The split optimizer: one rule for the wide part, one for the deep part, dense or by table rows.

Imports config, the rules, the schedules and tables; must not know the network or the loop.

The semantics are the same on both branches: gradients of equal ids are added before anything else,
and a table row whose merged gradient is all zero keeps its weights and slots ("lazy").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

import tensorflow as tf

from trainer.columns import Tower
from trainer.config import OptimizerConfig
from trainer.schedules import check_schedule, rate_factor
from trainer.tables import MergedRows, merge_dense, merge_rows
from trainer.update_rules import Rule, make_rule

Item = TypeVar("Item")


class Parameter(NamedTuple):
    """A variable and how it is to be learned.

    kind: table for rows looked up by id; matrix for weights that are penalized; vector for biases
        and others that are not.
    dense_update: a table whose gradient is merged into a whole table; no meaning for other kinds.
    """

    variable: tf.Variable
    part: Tower
    kind: Literal["table", "matrix", "vector"]
    dense_update: bool = True

    @property
    def is_sparse(self) -> bool:
        """Whether it is updated by touched rows."""
        return self.kind == "table" and not self.dense_update


@dataclass(frozen=True)
class Untracked(Generic[Item]):
    """Things that a `tf.Module` uses but does not own: its checkpoints leave them out."""

    items: tuple[Item, ...]


class Optimizer(tf.Module):
    """Moves all parameters by one step.

    Order within a step: merge equal ids; clip by the global norm of the merged gradients of the
    loss (all parameters together); add penalties; apply the rule of the part; decoupled decay.

    Args:
        config: the optimizer section.
        parameters: every trainable variable, once.
        total_steps: steps of the whole run, for schedules; None where not known.

    Raises:
        UserError: the schedule needs total_steps.
    """

    def __init__(
        self, config: OptimizerConfig, parameters: Sequence[Parameter], total_steps: int | None
    ) -> None:
        super().__init__(name="optimizer")
        check_schedule(config, total_steps)
        self._config = config
        self._total_steps = total_steps
        rules = [make_rule(config, p.part, p.kind) for p in parameters]
        self._entries = Untracked(tuple(zip(parameters, rules, strict=True)))
        self.slots = [_make_slots(parameter, rule) for parameter, rule in self._entries.items]

    def learning_rates(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The rates of the wide and of the deep part.

        Args:
            step: () int64, steps done before this one.

        Returns:
            Two () float32.
        """
        factor = rate_factor(self._config, step, self._total_steps)
        return (
            self._config.wide_learning_rate * factor,
            self._config.deep_learning_rate * factor,
        )

    def apply(self, gradients: Sequence[tf.Tensor | tf.IndexedSlices], step: tf.Tensor) -> None:
        """Move the parameters.

        Args:
            gradients: of the loss, one per parameter in their order, of the variable's shape or
                `tf.IndexedSlices` for a table; float32 or bfloat16.
            step: () int64, steps done before this one.

        Raises:
            ValueError: a gradient is None (the variable does not take part in the loss), or a table
                with sparse updates got a dense gradient.
        """
        entries = self._entries.items
        if len(gradients) != len(entries):
            raise ValueError(
                f"{len(entries)} parameters need as many gradients; got {len(gradients)}"
            )
        merged = [_merge(p, g) for (p, _), g in zip(entries, gradients, strict=True)]
        if self._config.clip_norm:
            merged = _clip(merged, self._config.clip_norm)
        t = tf.cast(step, tf.float32) + 1.0
        wide_rate, deep_rate = self.learning_rates(step)
        for (parameter, rule), slots, gradient in zip(entries, self.slots, merged, strict=True):
            rate = wide_rate if parameter.part == "wide" else deep_rate
            variables = (parameter.variable, *slots.values())
            if isinstance(gradient, MergedRows):
                _update_rows(rule, variables, gradient, rate, t)
            else:
                _update_whole(rule, variables, gradient, rate, t, parameter.kind == "table")


def _make_slots(parameter: Parameter, rule: Rule) -> dict[str, tf.Variable]:
    variable = parameter.variable
    with tf.distribute.get_strategy().extended.colocate_vars_with(variable):
        return {
            name: tf.Variable(tf.fill(variable.shape, initial), trainable=False, name=name)
            for name, initial in rule.slots.items()
        }


def _merge(
    parameter: Parameter, gradient: tf.Tensor | tf.IndexedSlices | None
) -> tf.Tensor | MergedRows:
    name = parameter.variable.name
    if gradient is None:
        raise ValueError(f"variable {name} has no gradient, so it would not train")
    if isinstance(gradient, tf.IndexedSlices):
        if parameter.is_sparse:
            return merge_rows(gradient)
        return merge_dense(gradient.indices, gradient.values, parameter.variable.shape[0])
    if parameter.is_sparse:
        raise ValueError(f"table {name} with sparse updates got a dense gradient; look it up by id")
    return tf.cast(gradient, tf.float32)


def _clip(merged: Sequence[tf.Tensor | MergedRows], bound: float) -> list[tf.Tensor | MergedRows]:
    """Scale all gradients by bound / max(bound, their common norm)."""
    values = [g.values if isinstance(g, MergedRows) else g for g in merged]
    squares = tf.add_n([tf.reduce_sum(tf.square(v)) for v in values])
    scale = bound / tf.maximum(tf.sqrt(squares), bound)
    return [
        MergedRows(g.ids, g.values * scale) if isinstance(g, MergedRows) else g * scale
        for g in merged
    ]


def _update_whole(
    rule: Rule,
    variables: Sequence[tf.Variable],
    gradient: tf.Tensor,
    rate: tf.Tensor,
    t: tf.Tensor,
    is_table: bool,
) -> None:
    old = [tf.convert_to_tensor(variable) for variable in variables]
    new = _moved(rule, old, gradient, rate, t, is_table)
    for variable, value in zip(variables, new, strict=True):
        variable.assign(value)


def _update_rows(
    rule: Rule,
    variables: Sequence[tf.Variable],
    gradient: MergedRows,
    rate: tf.Tensor,
    t: tf.Tensor,
) -> None:
    old = [tf.gather(variable, gradient.ids) for variable in variables]
    new = _moved(rule, old, gradient.values, rate, t, True)
    for variable, value in zip(variables, new, strict=True):
        # The raw op writes in place; reading the variable here would make it copy the table.
        tf.raw_ops.ResourceScatterUpdate(
            resource=variable.handle, indices=gradient.ids, updates=value
        )


def _moved(
    rule: Rule,
    old: Sequence[tf.Tensor],
    gradient: tf.Tensor,
    rate: tf.Tensor,
    t: tf.Tensor,
    is_table: bool,
) -> Sequence[tf.Tensor]:
    """Weight and slots after the rule; rows of a table without gradient as they were."""
    weight, slots = rule.update(old[0], gradient, tuple(old[1:]), rate, t)
    new = (weight, *slots)
    if not is_table:
        return new
    touched = tf.reduce_any(tf.not_equal(gradient, 0.0), axis=-1, keepdims=True)
    return [tf.where(touched, n, o) for n, o in zip(new, old, strict=True)]
