"""The split optimizer: one rule for the wide part, one for the deep part, dense or by table rows.

Imports config, the rules, the schedules and tables; must not know the network or the loop.

The semantics are the same on both branches: gradients of equal ids are added before anything else,
and a table row whose merged gradient is all zero keeps its weights and slots ("lazy").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, Literal, NamedTuple, TypeVar

import tensorflow as tf

from trainer.clipping import clip, with_bounded_norms
from trainer.columns import Tower
from trainer.exchange import Rows, add_over_replicas, is_sent_by_rows, most_ids
from trainer.lookups import read_rows, write_rows
from trainer.optimizer_config import OptimizerConfig
from trainer.schedules import check_schedule, rate_factor
from trainer.tables import MergedRows, merge_dense, merge_rows
from trainer.update_rules import Rule, make_rule

Item = TypeVar("Item")


ParameterKind = Literal["table", "matrix", "vector", "statistic"]


class Parameter(NamedTuple):
    """A variable and how it is to be learned.

    kind: table for rows looked up by id; matrix for weights that are penalized; vector for biases
        and others that are not; statistic for moving averages over the data, whose
        pseudo-gradient is subtracted as it is: neither clipped nor penalized.
    dense_update: a table whose gradient is merged into a whole table; no meaning for other kinds.
    id_spaces: sizes of the id spaces of a table, and how many ids of each a row of a batch has;
        empty where they are not known.
    """

    variable: tf.Variable
    part: Tower
    kind: ParameterKind
    dense_update: bool = True
    id_spaces: tuple[tuple[int, int], ...] = ()

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
    loss (all parameters together), or each of their components; add penalties; apply the rule of
    the part; decoupled decay; bound the norm of the weights into each unit of the deep part.

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
        self._entries = Untracked(tuple(_make_entry(config, p) for p in parameters))
        self.slots = [_make_slots(e.parameter.variable, e.rule) for e in self._entries.items]

    def learning_rates(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The rates of the wide and of the deep part.

        Args:
            step: () int64, steps done before this one.

        Returns:
            Two () float32.
        """
        factor = rate_factor(self._config, step, self._total_steps)
        return (
            float(self._config.wide_learning_rate) * factor,
            self._config.deep_learning_rate * factor,
        )

    def holds_zeros(self) -> list[bool]:
        """Whether a penalty holds weights of a parameter at exactly 0, by its place."""
        return [entry.rule.holds_zeros for entry in self._entries.items]

    def variables_of(self, index: int) -> list[tf.Variable]:
        """Weights and slots of a parameter, by its place."""
        return [self._entries.items[index].parameter.variable, *self.slots[index].values()]

    def apply(
        self,
        gradients: Sequence[tf.Tensor | tf.IndexedSlices],
        step: tf.Tensor,
        held: Mapping[int, Sequence[tf.Tensor]] = MappingProxyType({}),
    ) -> dict[int, list[tf.Tensor]]:
        """Move the parameters.

        Args:
            gradients: of this replica's share of the loss (they are added over the replicas), one
                per parameter in their order, of the variable's shape or `tf.IndexedSlices` for a
                table; float32 or bfloat16.
            step: () int64, steps done before this one.
            held: rows of weights and slots that stand for a whole table with sparse updates, by the
                place of the parameter; its gradient is that of these rows. On one device only.

        Returns:
            The rows of `held`, moved: they are the caller's to write.

        Raises:
            ValueError: a gradient is None (the variable does not take part in the loss), or a table
                with sparse updates got a dense gradient.
        """
        entries = self._entries.items
        if len(gradients) != len(entries):
            raise ValueError(
                f"{len(entries)} parameters need as many gradients; received {len(gradients)}"
            )
        context = tf.distribute.get_replica_context()
        parameters = [e.parameter for e in entries]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            _check(parameter, gradient)
        if context.num_replicas_in_sync > 1:
            # TPUs cannot look for different ids.
            is_tpu = isinstance(context.strategy, tf.distribute.TPUStrategy)
            form = _merge if is_tpu else _to_send
            sent = [form(p, g) for p, g in zip(parameters, gradients, strict=True)]
            gradients = add_over_replicas(context, sent)
        merged = [
            merge_dense(g.indices, g.values, held[i][0].shape[0]) if i in held else _merge(p, g)
            for i, (p, g) in enumerate(zip(parameters, gradients, strict=True))
        ]
        merged = clip(self._config, merged, [p.kind != "statistic" for p in parameters])
        t = tf.cast(step, tf.float32) + 1.0
        rates = self.learning_rates(step)
        # On a parameter server the update must run where the variable is, not on the worker.
        is_remote = isinstance(context.strategy, tf.distribute.ParameterServerStrategy)
        if context.num_replicas_in_sync == 1 and not is_remote:
            return self._update(None, merged, rates, t, held)
        return context.merge_call(self._update, args=(merged, rates, t, held))

    def _update(
        self,
        strategy: tf.distribute.Strategy | None,
        merged: Sequence[tf.Tensor | MergedRows],
        rates: tuple[tf.Tensor, tf.Tensor],
        t: tf.Tensor,
        held: Mapping[int, Sequence[tf.Tensor]],
    ) -> dict[int, list[tf.Tensor]]:
        """Move every parameter, on every device of `strategy`; None where there is one replica."""
        moved = {}
        for i, (entry, gradient) in enumerate(zip(self._entries.items, merged, strict=True)):
            rate = rates[0] if entry.parameter.part == "wide" else rates[1]
            if i in held:
                moved[i] = entry.move(held[i], gradient, rate, t)
                continue
            variable = entry.parameter.variable
            update = _update_rows if entry.parameter.is_sparse else _update_whole
            arguments = (tuple(self.slots[i].values()), entry.move, gradient, rate, t)
            if strategy is None:
                update(variable, *arguments)
            else:
                strategy.extended.update(variable, update, args=arguments, group=False)
        return moved


# Numbers of a table from which on compiling its update is worth the wait.
_COMPILED_NUMBERS = 20_000

# (old weight and slots, gradient, rate, t) -> new weight and slots
Move = Callable[[Sequence[tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor], list[tf.Tensor]]


class _Entry(NamedTuple):
    """A parameter, its rule, and the rule as it is applied to it."""

    parameter: Parameter
    rule: Rule
    move: Move


def _make_entry(config: OptimizerConfig, parameter: Parameter) -> _Entry:
    rule = make_rule(config, parameter.part, parameter.kind)
    bound = config.max_norm if (parameter.part, parameter.kind) == ("deep", "matrix") else 0.0

    def move(
        old: Sequence[tf.Tensor], gradient: tf.Tensor, rate: tf.Tensor, t: tf.Tensor
    ) -> list[tf.Tensor]:
        weight, slots = rule.update(old[0], gradient, tuple(old[1:]), rate, t)
        new = [with_bounded_norms(weight, bound) if bound else weight, *slots]
        if parameter.kind != "table":
            return new
        touched = tf.reduce_any(tf.not_equal(gradient, 0.0), axis=-1, keepdims=True)
        return [tf.where(touched, n, o) for n, o in zip(new, old, strict=True)]

    is_large = parameter.variable.shape.num_elements() >= _COMPILED_NUMBERS
    if parameter.kind == "table" and parameter.dense_update and is_large:
        # A pass over a whole table is worth a compiled kernel: 1.2 -> 0.7 ms a step for 40,000 rows
        # of width 1 and 8,000 of width 8, for 0.1 s of compilation; compiling the small matrices
        # too gained nothing and took 0.4 s (2-core AMD EPYC VM, November 2026).
        return _Entry(parameter, rule, tf.function(move, jit_compile=True, autograph=False))
    return _Entry(parameter, rule, move)


def _make_slots(variable: tf.Variable, rule: Rule) -> dict[str, tf.Variable]:
    with tf.distribute.get_strategy().extended.colocate_vars_with(variable):
        return {
            name: tf.Variable(tf.fill(variable.shape, initial), trainable=False, name=name)
            for name, initial in rule.slots.items()
        }


def _check(parameter: Parameter, gradient: tf.Tensor | tf.IndexedSlices | None) -> None:
    name = parameter.variable.name
    if gradient is None:
        raise ValueError(f"variable {name} has no gradient, so it would not train")
    if parameter.is_sparse and not isinstance(gradient, tf.IndexedSlices):
        raise ValueError(f"table {name} has sparse updates, but its gradient is dense")


def _to_send(parameter: Parameter, gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | Rows:
    """The gradient in the form that is the cheaper one to send."""
    if not isinstance(gradient, tf.IndexedSlices):
        return _merge(parameter, gradient)
    num_ids = gradient.values.shape[0]
    capacity = most_ids(parameter.id_spaces, num_ids)
    num_rows, width = parameter.variable.shape
    if parameter.is_sparse or is_sent_by_rows(num_rows, width, num_ids=num_ids, capacity=capacity):
        return Rows(gradient, capacity)
    return _merge(parameter, gradient)


def _merge(parameter: Parameter, gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | MergedRows:
    """The gradient with equal ids added up, dense unless the parameter is updated by rows."""
    if parameter.is_sparse:
        return merge_rows(gradient)
    if isinstance(gradient, tf.IndexedSlices):
        return merge_dense(gradient.indices, gradient.values, parameter.variable.shape[0])
    return tf.cast(gradient, tf.float32)


def _update_whole(
    variable: tf.Variable,
    slots: Sequence[tf.Variable],
    move: Move,
    gradient: tf.Tensor,
    rate: tf.Tensor,
    t: tf.Tensor,
) -> None:
    old = [tf.convert_to_tensor(v) for v in (variable, *slots)]
    for v, value in zip((variable, *slots), move(old, gradient, rate, t), strict=True):
        v.assign(value)


def _update_rows(
    variable: tf.Variable,
    slots: Sequence[tf.Variable],
    move: Move,
    gradient: MergedRows,
    rate: tf.Tensor,
    t: tf.Tensor,
) -> None:
    # Not `tf.gather`: it reads a mirrored variable as a whole, and the next update would copy it.
    variables = (variable, *slots)
    old = read_rows(gradient.ids, variables)
    write_rows(gradient.ids, move(old, gradient.values, rate, t), variables)
