"""The wide-and-deep network as a Keras model over encoded features.

logit = offset + wide + deep. The wide part is linear over ids and numbers (one weight per id, read
from one table; never a one-hot). The deep part is a dense tower over numbers, their
piecewise-linear encodings, and embeddings.

Axes: B batch, F features, N numbers, O outputs.
Source: Cheng et al. 2016, Wide & Deep Learning for Recommender Systems.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from trainer.candidates import Candidates
from trainer.columns import Tower
from trainer.deep_part import DeepPart
from trainer.features import FeatureLayout
from trainer.lookups import StepLookup
from trainer.model_config import ModelConfig
from trainer.model_size import check_size, memory_bytes
from trainer.normalization import STATISTIC
from trainer.optimizers import Parameter, ParameterKind
from trainer.wide_part import SampledWidePart, WidePart

# Scaled numbers are cut here before the linear and dense layers: one outlier must not move a batch.
NUMBER_BOUND = 5.0


class WideAndDeep(keras.Model):
    """Encoded ids and numbers to logits."""

    def __init__(
        self,
        layout: FeatureLayout,
        config: ModelConfig,
        *,
        batch_size: int,
        num_outputs: int = 1,
        offset: float | np.ndarray = 0.0,
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
            offset: constant of the logits, one or (O,): the label's mean or log-odds.
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
        self.wide: WidePart | SampledWidePart | None = None
        self.deep: DeepPart | None = None
        if config.towers in ("wide", "both") and config.softmax == "sampled":
            self.wide = SampledWidePart(layout, num_outputs, batch_size, config.num_sampled)
        elif config.towers in ("wide", "both"):
            self.wide = WidePart(layout, num_outputs, batch_size)
        if config.towers in ("deep", "both"):
            self.deep = DeepPart(layout, config, num_outputs, batch_size, seed, precision)
        self(
            tf.zeros((1, layout.num_ids), tf.int32),
            tf.zeros((1, len(layout.numbers)), tf.float32),
        )

    def call(
        self,
        ids_BF: tf.Tensor,
        numbers_BN: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
        candidates: Candidates | None = None,
    ) -> tf.Tensor:
        """Logits (B, O) float32; of candidates (B, 1 + S): the own class and the drawn ones.

        Args:
            ids_BF: int32 ids as `FeatureEncoder` gives them.
            numbers_BN: float32 scaled numbers.
            training: whether dropout is on.
            seed: (2,) int32; dropout is a pure function of it. Needed in training with dropout.
            candidates: the classes to look at, where the softmax is sampled; None for all.
        """
        bounded_BN = tf.clip_by_value(numbers_BN, -NUMBER_BOUND, NUMBER_BOUND)
        logits = tf.constant(self.offset, tf.float32)
        # In a full softmax the parts are called as ever: Keras traces what it is given.
        chosen = {} if candidates is None else {"candidates": candidates}
        if candidates is not None:
            logits = candidates.columns(logits)
        if self.wide is not None:
            logits += self.wide(ids_BF, bounded_BN, **chosen)
        if self.deep is not None:
            options = {"training": training, "seed": seed, **chosen}
            logits += self.deep(ids_BF, bounded_BN, numbers_BN, **options)
        return logits

    def lookups(self) -> list[StepLookup]:
        """All tables, with what is looked up in them."""
        parts = [part for part in (self.wide, self.deep) if part]
        return [lookup for part in parts for lookup in (*part.lookups, *part.class_lookups)]

    @property
    def frozen(self) -> list[tf.Variable]:
        """Tables of embeddings that stay as they are."""
        tables = [lookup.table for lookup in self.lookups()]
        return [table.variable for table in tables if not table.trainable_variables]

    def parameters(self) -> list[Parameter]:
        """Every trainable variable with its part, its kind, and how its gradient is applied."""
        found: list[Parameter] = []
        tables = {id(table.table): table for table in (x.table for x in self.lookups())}
        towers: tuple[tuple[Tower, keras.layers.Layer | None], ...] = (
            ("wide", self.wide),
            ("deep", self.deep),
        )
        for part, tower in towers:
            if tower is None:
                continue
            for weight in tower.trainable_variables:
                table = tables.get(id(weight))
                kind = "table" if table is not None else _kind(weight)
                dense_update = table is None or table.dense_update
                id_spaces = () if table is None else table.id_spaces
                found.append(Parameter(weight.value, part, kind, dense_update, id_spaces))
        return found


def _kind(weight: keras.Variable) -> ParameterKind:
    """Of a weight that is no table. The biases of piecewise-linear encodings are no vectors."""
    if weight.name.startswith(STATISTIC):
        return "statistic"
    return "vector" if weight.name == "bias" or len(weight.shape) == 1 else "matrix"
