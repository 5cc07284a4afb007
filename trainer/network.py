"""The wide-and-deep network as a Keras model over encoded features.

logit = offset + wide + deep. The wide part is linear over ids and numbers (one weight per id, read
from one table; never a one-hot). The deep part is a dense tower over numbers, their
piecewise-linear encodings, and embeddings.

Axes: B batch, F features, N numbers, K bins, D encoding width, E embedding width, O outputs.
Source: Cheng et al. 2016, Wide & Deep Learning for Recommender Systems; Gorishniy et al. 2022, On
Embeddings for Numerical Features (piecewise-linear encoding).
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.columns import Tower
from trainer.config import ModelConfig
from trainer.dropout import dropout
from trainer.errors import UserError
from trainer.features import FeatureLayout
from trainer.lookups import Lookup, make_lookups, select_columns
from trainer.model_size import check_size, memory_bytes
from trainer.optimizers import Parameter, ParameterKind
from trainer.tables import Table

# Scaled numbers are cut here before the linear and dense layers: one outlier must not move a batch.
NUMBER_BOUND = 5.0
# Width of the encoding of one piecewise-linear column, as in the recipe that was measured.
ENCODING_WIDTH = 8
EMBEDDING_SD = 0.05
# Components of a batch from which on their arithmetic is compiled in training: one pass over memory
# instead of four, 0.6 ms instead of 1.3 at 1.1 million (2 CPU cores, November 2026), for 0.1 s of
# compilation. Never in the exported model, which has to serve where there is no XLA.
_COMPILED_COMPONENTS = 400_000


class WideAndDeep(keras.Model):
    """Encoded ids and numbers to logits."""

    def __init__(
        self,
        layout: FeatureLayout,
        config: ModelConfig,
        *,
        batch_size: int,
        num_outputs: int = 1,
        offset: float = 0.0,
        seed: int = 1,
        precision: str = "float32",
    ):
        """Build all weights.

        Args:
            layout: the features.
            config: towers, widths, activation, dropout (`ModelConfig.for_task`).
            batch_size: rows of a training step over all replicas; decides with the table sizes
                which tables take dense updates.
            num_outputs: O.
            offset: constant of the logit: the label's mean or log-odds.
            seed: of the initial weights.
            precision: float32, or bfloat16 for the matrix products of the deep part.

        Raises:
            UserError: a part has no feature, or the weights do not fit into memory.
        """
        if not isinstance(tf.distribute.get_strategy(), tf.distribute.ParameterServerStrategy):
            check_size(layout, config, num_outputs, memory_bytes())
        super().__init__(name="wide_and_deep")
        self.optimizer = None  # Keras' own callbacks look for one; ours belongs to the program.
        self.stop_training = False  # set by callbacks; Keras defines it in fit only
        self.offset = offset
        self.wide: WidePart | None = None
        self.deep: DeepPart | None = None
        if config.towers in ("wide", "both"):
            self.wide = WidePart(layout, num_outputs, batch_size)
        if config.towers in ("deep", "both"):
            self.deep = DeepPart(layout, config, num_outputs, batch_size, seed, precision)
        self(
            tf.zeros((1, len(layout.ids)), tf.int32),
            tf.zeros((1, len(layout.numbers)), tf.float32),
        )

    def call(
        self,
        ids_BF: tf.Tensor,
        numbers_BN: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Logits (B, O) float32.

        Args:
            ids_BF: int32 ids as `FeatureEncoder` gives them.
            numbers_BN: float32 scaled numbers.
            training: whether dropout is on.
            seed: (2,) int32; dropout is a pure function of it. Needed in training with dropout.
        """
        bounded_BN = tf.clip_by_value(numbers_BN, -NUMBER_BOUND, NUMBER_BOUND)
        logits = tf.constant(self.offset, tf.float32)
        if self.wide is not None:
            logits += self.wide(ids_BF, bounded_BN)
        if self.deep is not None:
            logits += self.deep(ids_BF, bounded_BN, numbers_BN, training=training, seed=seed)
        return logits

    def lookups(self) -> list[Lookup]:
        """All tables, with the features that are looked up in them."""
        return [lookup for part in (self.wide, self.deep) if part for lookup in part.lookups]

    def parameters(self) -> list[Parameter]:
        """Every trainable variable with its part, its kind, and how its gradient is applied."""
        found: list[Parameter] = []
        towers: tuple[tuple[Tower, WidePart | DeepPart | None], ...] = (
            ("wide", self.wide),
            ("deep", self.deep),
        )
        for part, tower in towers:
            if tower is None:
                continue
            tables = {id(table.table): table for table in tower.tables}
            for weight in tower.trainable_variables:
                table = tables.get(id(weight))
                kind: ParameterKind = "vector" if weight.name == "bias" else "matrix"
                if table is not None:
                    kind = "table"
                dense_update = table is None or table.dense_update
                id_spaces = () if table is None else table.id_spaces
                found.append(Parameter(weight.value, part, kind, dense_update, id_spaces))
        return found


class WidePart(keras.layers.Layer):
    """Linear over ids, buckets, crosses and numbers; all weights start at zero."""

    def __init__(self, layout: FeatureLayout, num_outputs: int, batch_size: int):
        """Take every feature that the layout marks as wide.

        Raises:
            UserError: there is none.
        """
        super().__init__(name="wide")
        ids = [(i, f) for i, f in enumerate(layout.ids) if f.wide]
        self.num_outputs = num_outputs
        self.number_columns = [i for i, f in enumerate(layout.numbers) if f.wide]
        if not (ids or self.number_columns):
            raise UserError(
                "no column is in the wide part; add wide to the towers of a column, or use "
                "model.towers: deep"
            )
        zeros = functools.partial(Table, initializer_sd=0.0)
        self.lookups = make_lookups(ids, num_outputs, batch_size, zeros, "table")
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


class DeepPart(keras.layers.Layer):
    """A dense tower over bounded numbers, piecewise-linear encodings and embeddings."""

    def __init__(
        self,
        layout: FeatureLayout,
        config: ModelConfig,
        num_outputs: int,
        batch_size: int,
        seed: int,
        precision: str,
    ):
        """Take every feature that the layout marks as deep.

        Raises:
            UserError: there is none.
        """
        super().__init__(name="deep")
        seeds = itertools.count(seed)
        self.number_columns = [i for i, f in enumerate(layout.numbers) if f.deep]
        self.encoding = PiecewiseLinear(layout, next(seeds))
        self.lookups: list[Lookup] = []
        embedded = [(i, f) for i, f in enumerate(layout.ids) if f.embedding_dim]
        if not (embedded or self.number_columns or self.encoding.columns):
            raise UserError(
                "no column is in the deep part; add deep to the towers of a column, or use "
                "model.towers: wide"
            )

        def normal(num_rows: int, width: int, **options: Any) -> Table:
            return Table(num_rows, width, initializer_sd=EMBEDDING_SD, seed=next(seeds), **options)

        for width in sorted({f.embedding_dim for _, f in embedded}):
            members = [(i, f) for i, f in embedded if f.embedding_dim == width]
            self.lookups += make_lookups(members, width, batch_size, normal, f"embedding_{width}")
        self.tables = [lookup.table for lookup in self.lookups]
        self.input_dropout, self.dropout = float(config.input_dropout), float(config.dropout)
        policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
        self.hidden = [
            keras.layers.Dense(
                units,
                activation=config.activation,
                kernel_initializer=keras.initializers.HeNormal(next(seeds)),
                dtype=policy,
                name=f"hidden_{i}",
            )
            for i, units in enumerate(config.hidden_units, start=1)
        ]
        self.output_layer = keras.layers.Dense(
            num_outputs,
            kernel_initializer=keras.initializers.GlorotUniform(next(seeds)),
            dtype="float32",
            name="output",
        )

    def call(
        self,
        ids_BF: tf.Tensor,
        bounded_BN: tf.Tensor,
        numbers_BN: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """(B, O) contribution to the logits."""
        inputs = [select_columns(bounded_BN, self.number_columns)] if self.number_columns else []
        if self.encoding.columns:
            inputs.append(self.encoding(numbers_BN, training=training))
        for lookup in self.lookups:
            embedded_BFE = lookup(ids_BF)
            inputs.append(tf.reshape(embedded_BFE, (-1, np.prod(embedded_BFE.shape[1:]))))
        x = tf.concat(inputs, axis=1)
        if training and self.input_dropout:
            x = dropout(x, self.input_dropout, seed=seed, layer=0)
        for number, layer in enumerate(self.hidden, start=1):
            x = layer(x)
            if training and self.dropout:
                x = dropout(x, self.dropout, seed=seed, layer=number)
        return self.output_layer(tf.cast(x, tf.float32))


class PiecewiseLinear(keras.layers.Layer):
    """Piecewise-linear encoding of numbers, then ReLU of a linear map of its own per column.

    A number x has K components: component k is (x - e_k) / (e_k+1 - e_k), cut to [0, 1]. So 2.5 on
    edges (0, 1, 2, 3) is (1, 1, 0.5).
    """

    def __init__(self, layout: FeatureLayout, seed: int):
        """Take the numbers whose layout has edges."""
        super().__init__(name="piecewise_linear")
        encoded = [(i, f) for i, f in enumerate(layout.numbers) if len(f.piecewise_edges) > 1]
        self.columns = [i for i, _ in encoded]
        if not encoded:
            self.built = True  # Keras would warn of a layer without weights.
            return
        num_bins = max(len(f.piecewise_edges) for _, f in encoded) - 1
        # Columns with fewer bins are filled with bins of slope 0, whose component is always 0. They
        # start at 0: with the largest float there, -1e32 would overflow and give NaN.
        self.starts_F1K = np.zeros((len(encoded), 1, num_bins), np.float32)
        self.slopes_F1K = np.zeros((len(encoded), 1, num_bins), np.float32)
        for row, (_, feature) in enumerate(encoded):
            edges = np.asarray(feature.piecewise_edges, np.float32)
            self.starts_F1K[row, 0, : len(edges) - 1] = edges[:-1]
            self.slopes_F1K[row, 0, : len(edges) - 1] = 1.0 / np.maximum(np.diff(edges), 1e-12)
        self.kernel_FKD = self.add_weight(
            shape=(len(encoded), num_bins, ENCODING_WIDTH),
            initializer=keras.initializers.RandomUniform(
                -(num_bins**-0.5), num_bins**-0.5, seed=seed
            ),
            name="kernel",
        )
        self._compiled_bins = tf.function(self._bins, jit_compile=True, autograph=False)
        self.bias_FD = self.add_weight(
            shape=(len(encoded), ENCODING_WIDTH), initializer="zeros", name="bias"
        )

    def call(self, numbers_BN: tf.Tensor, training: bool = False) -> tf.Tensor:
        """(B, F * D)."""
        # Columns first, while it is still one number each, for the product of a matrix per column.
        numbers_FB1 = tf.transpose(select_columns(numbers_BN, self.columns))[:, :, tf.newaxis]
        num_components = (numbers_FB1.shape.num_elements() or 0) * self.starts_F1K.shape[2]
        is_compiled = training and num_components >= _COMPILED_COMPONENTS
        bins_FBK = (self._compiled_bins if is_compiled else self._bins)(numbers_FB1)
        encoded_FBD = tf.matmul(tf.stop_gradient(bins_FBK), self.kernel_FKD.value)
        encoded_BFD = tf.nn.relu(tf.transpose(encoded_FBD, (1, 0, 2)) + self.bias_FD.value)
        return tf.reshape(encoded_BFD, (-1, len(self.columns) * ENCODING_WIDTH))

    def _bins(self, numbers_FB1: tf.Tensor) -> tf.Tensor:
        places_FBK = (numbers_FB1 - self.starts_F1K) * self.slopes_F1K
        return tf.clip_by_value(places_FBK, 0.0, 1.0)
