"""The wide part: linear over ids, buckets, crosses and numbers.

Axes: B batch, F features, N numbers, O outputs, S drawn classes.
"""

from __future__ import annotations

import functools

import keras
import tensorflow as tf

from trainer.candidates import Candidates
from trainer.class_tables import ClassBias, ClassLayer, make_class_lookups
from trainer.errors import UserError
from trainer.features import FeatureLayout
from trainer.lookups import StepLookup, make_lookups, select_columns
from trainer.table_plans import TablePlan, wide_plans
from trainer.tables import Table


class WidePart(keras.layers.Layer):
    """Linear over ids, buckets, crosses and numbers; all weights start at zero."""

    def __init__(self, layout: FeatureLayout, num_outputs: int, batch_size: int):
        """Take every feature that the layout marks as wide.

        Raises:
            UserError: there is none.
        """
        super().__init__(name="wide")
        self.num_outputs = num_outputs
        plans, self.number_columns = _members(layout, num_outputs)
        zeros = functools.partial(Table, initializer_sd=0.0)
        self.lookups = make_lookups(plans, batch_size, zeros)
        self.tables = [lookup.table for lookup in self.lookups]
        self.number_weights = (
            self.add_weight(
                shape=(len(self.number_columns), num_outputs), initializer="zeros", name="numbers"
            )
            if self.number_columns
            else None
        )
        self.bias = self.add_weight(shape=(num_outputs,), initializer="zeros", name="bias")

    @property
    def class_lookups(self) -> list[StepLookup]:
        """None: the weights of all classes stand in one row."""
        return []

    def call(self, ids_BF: tf.Tensor, numbers_BN: tf.Tensor) -> tf.Tensor:
        """(B, O) contribution to the logits."""
        logits_BO = self.bias.value + tf.zeros((tf.shape(ids_BF)[0], self.num_outputs))
        for lookup in self.lookups:
            logits_BO += tf.reduce_sum(lookup(ids_BF), axis=1)
        if self.number_weights is not None:
            numbers = select_columns(numbers_BN, self.number_columns)
            logits_BO += tf.matmul(numbers, self.number_weights.value)
        return logits_BO


class SampledWidePart(keras.layers.Layer):
    """The wide part of a sampled softmax: the same sums, of the candidates of a step."""

    def __init__(self, layout: FeatureLayout, num_outputs: int, batch_size: int, num_sampled: int):
        """Take every feature that the layout marks as wide.

        Raises:
            UserError: there is none.
        """
        super().__init__(name="wide")
        plans, self.number_columns = _members(layout, num_outputs)
        self.lookups = make_class_lookups(plans, batch_size, num_sampled)
        self.tables = [lookup.table for lookup in self.lookups]
        self.linear = (
            ClassLayer(num_outputs, batch_size + num_sampled, name="numbers")
            if self.number_columns
            else ClassBias(num_outputs)
        )

    @property
    def class_lookups(self) -> list[StepLookup]:
        """Tables of weights by class."""
        return [self.linear] if isinstance(self.linear, ClassLayer) else []

    def call(
        self, ids_BF: tf.Tensor, numbers_BN: tf.Tensor, candidates: Candidates | None = None
    ) -> tf.Tensor:
        """(B, O) contribution to the logits; of candidates (B, 1 + S)."""
        if isinstance(self.linear, ClassLayer):
            numbers = select_columns(numbers_BN, self.number_columns)
            logits = self.linear(numbers, candidates=candidates)
        else:
            logits = self.linear(candidates=candidates)
        for lookup in self.lookups:
            logits += lookup(ids_BF, candidates)
        return logits


def _members(layout: FeatureLayout, num_outputs: int) -> tuple[list[TablePlan], list[int]]:
    """The tables of the features that are wide, and the columns of the numbers that are.

    Raises:
        UserError: there is neither.
    """
    plans = wide_plans(layout, num_outputs)
    number_columns = [i for i, f in enumerate(layout.numbers) if f.wide]
    if not (plans or number_columns):
        raise UserError(
            "no column is in the wide part; add wide to the towers of a column, or use "
            "model.towers: deep"
        )
    return plans, number_columns
