"""The deep part: a dense tower over numbers, their piecewise-linear encodings, and embeddings.

Axes: B batch, F features, N numbers, E embedding width, O outputs.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.candidates import Candidates
from trainer.class_tables import ClassLayer
from trainer.dense_tower import DenseTower
from trainer.dropout import dropout
from trainer.errors import UserError
from trainer.features import FeatureLayout
from trainer.lookups import StepLookup, make_lookups, select_columns
from trainer.model_config import ModelConfig
from trainer.noise import normal_numbers
from trainer.piecewise_linear import PiecewiseLinear
from trainer.table_plans import deep_plans
from trainer.tables import Table

EMBEDDING_SD = 0.05


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
        plans = deep_plans(layout)
        if not (plans or self.number_columns or self.encoding.columns):
            raise UserError(
                "no column is in the deep part; add deep to the towers of a column, or use "
                "model.towers: wide"
            )

        def embedding(num_rows: int, width: int, **options: Any) -> Table:
            return Table(num_rows, width, initializer_sd=EMBEDDING_SD, seed=next(seeds), **options)

        self.lookups = make_lookups(plans, batch_size, embedding, layout.initial)
        self.tables = [lookup.table for lookup in self.lookups]
        self.input_dropout, self.input_noise = float(config.input_dropout), config.input_noise
        self.tower = DenseTower(config, num_outputs, seeds, precision, batch_size=batch_size)

    def call(
        self,
        ids_BF: tf.Tensor,
        bounded_BN: tf.Tensor,
        numbers_BN: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
        candidates: Candidates | None = None,
    ) -> tf.Tensor:
        """(B, O) contribution to the logits; of candidates (B, 1 + S)."""
        if training and self.input_noise:
            noise_BN = self.input_noise * normal_numbers(tuple(numbers_BN.shape.as_list()), seed)
            bounded_BN, numbers_BN = bounded_BN + noise_BN, numbers_BN + noise_BN
        inputs = [select_columns(bounded_BN, self.number_columns)] if self.number_columns else []
        if self.encoding.columns:
            inputs.append(self.encoding(numbers_BN, training=training))
        for lookup in self.lookups:
            embedded_BFE = lookup(ids_BF)
            inputs.append(tf.reshape(embedded_BFE, (-1, np.prod(embedded_BFE.shape[1:]))))
        x = tf.concat(inputs, axis=1)
        if training and self.input_dropout:
            x = dropout(x, self.input_dropout, seed=seed, layer=0)
        return self.tower(x, training=training, seed=seed, candidates=candidates)

    @property
    def class_lookups(self) -> list[StepLookup]:
        """Tables of weights by class."""
        layer = self.tower.output_layer
        return [layer] if isinstance(layer, ClassLayer) else []
