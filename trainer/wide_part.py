"""The wide part: linear over ids, buckets, crosses and numbers.

Axes: B batch, F features, N numbers, O outputs.
"""

from __future__ import annotations

import functools

import keras
import tensorflow as tf

from trainer.errors import UserError
from trainer.features import FeatureLayout
from trainer.lookups import make_lookups, select_columns
from trainer.table_plans import wide_plans
from trainer.tables import Table


class WidePart(keras.layers.Layer):
    """Linear over ids, buckets, crosses and numbers; all weights start at zero."""

    def __init__(self, layout: FeatureLayout, num_outputs: int, batch_size: int):
        """Take every feature that the layout marks as wide.

        Raises:
            UserError: there is none.
        """
        super().__init__(name="wide")
        plans = wide_plans(layout, num_outputs)
        self.num_outputs = num_outputs
        self.number_columns = [i for i, f in enumerate(layout.numbers) if f.wide]
        if not (plans or self.number_columns):
            raise UserError(
                "no column is in the wide part; add wide to the towers of a column, or use "
                "model.towers: deep"
            )
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

    def call(self, ids_BF: tf.Tensor, numbers_BN: tf.Tensor) -> tf.Tensor:
        """(B, O) contribution to the logits."""
        logits_BO = self.bias.value + tf.zeros((tf.shape(ids_BF)[0], self.num_outputs))
        for lookup in self.lookups:
            logits_BO += tf.reduce_sum(lookup(ids_BF), axis=1)
        if self.number_weights is not None:
            numbers = select_columns(numbers_BN, self.number_columns)
            logits_BO += tf.matmul(numbers, self.number_weights.value)
        return logits_BO
