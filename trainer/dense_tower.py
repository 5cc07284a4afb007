"""The dense tower of the deep part: hidden layers, a cross network beside them, the output layer.

Axes: B batch, D inputs, H units, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from trainer.activations import INITIAL_SLOPE, activate, initializer
from trainer.candidates import Candidates
from trainer.class_tables import ClassLayer
from trainer.cross_network import CrossNetwork
from trainer.dropout import dropout
from trainer.model_config import ModelConfig
from trainer.normalization import BatchNormalization, LayerNormalization


class DenseTower(keras.layers.Layer):
    """Hidden layers over the inputs; the output layer sees the last one and the crossed inputs."""

    def __init__(
        self,
        config: ModelConfig,
        num_outputs: int,
        seeds: Iterator[int],
        precision: str,
        *,
        batch_size: int = 1,
    ):
        """Take the options.

        Args:
            config: widths, activation, normalization, dropout, residuals, crosses, softmax.
            num_outputs: O.
            seeds: of the initial weights: of each layer, then of what is beside them.
            precision: float32, or bfloat16 for the matrix products.
            batch_size: rows of a step over all replicas, for the tables of a sampled softmax.
        """
        super().__init__(name="tower")
        policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
        self.hidden = [
            HiddenLayer(config, number, seed=next(seeds), policy=policy)
            for number in range(1, len(config.hidden_units) + 1)
        ]
        self.output_layer: keras.layers.Layer
        if config.softmax == "sampled":
            self.output_layer = ClassLayer(
                num_outputs,
                batch_size + config.num_sampled,
                name="output",
                seed=next(seeds),
            )
        else:
            self.output_layer = keras.layers.Dense(
                num_outputs,
                kernel_initializer=keras.initializers.GlorotUniform(next(seeds)),
                dtype="float32",
                name="output",
            )
        if config.residual:
            for layer in self.hidden:
                layer.projection_seed = next(seeds)
        self.cross: CrossNetwork | None = None
        if config.cross_layers:
            cross_seeds = [(next(seeds), next(seeds)) for _ in range(config.cross_layers)]
            self.cross = CrossNetwork(config.cross_rank, cross_seeds, policy)

    def call(
        self,
        inputs_BD: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
        candidates: Candidates | None = None,
    ) -> tf.Tensor:
        """(B, O) float32; of candidates (B, 1 + S)."""
        x = inputs_BD
        for layer in self.hidden:
            x = layer(x, training=training, seed=seed)
        x = tf.cast(x, tf.float32)
        if self.cross is not None:
            x = tf.concat([x, tf.cast(self.cross(inputs_BD), tf.float32)], axis=1)
        if candidates is not None:
            return self.output_layer(x, candidates=candidates)
        return self.output_layer(x)


class HiddenLayer(keras.layers.Layer):
    """dropout(activation(normalization(W x + b))), and plus x where residual.

    Where its width is not that of x, x is projected by a matrix.

    Source: He et al., Deep Residual Learning for Image Recognition (2016), equations 1 and 2.
    """

    def __init__(self, config: ModelConfig, number: int, *, seed: int, policy: str):
        """Take the options.

        Args:
            config: of the model.
            number: of the layer, from 1.
            seed: of the initial weights.
            policy: Keras' dtype policy.
        """
        super().__init__(name=f"block_{number}", dtype=policy)
        self._number, self._units = number, config.hidden_units[number - 1]
        self._activation, self._dropout = config.activation, float(config.dropout)
        self.dense = keras.layers.Dense(
            self._units,
            kernel_initializer=initializer(config.activation, seed),
            dtype=policy,
            name=f"hidden_{number}",
        )
        self.normalization: keras.layers.Layer | None = None
        if config.normalization == "batch":
            self.normalization = BatchNormalization(self._units, config.batch_norm_momentum)
        elif config.normalization == "layer":
            self.normalization = LayerNormalization(self._units)
        self.slopes: keras.Variable | None = None
        if config.activation == "prelu":
            self.slopes = self.add_weight(
                shape=(self._units,),
                initializer=keras.initializers.Constant(INITIAL_SLOPE),
                name="slopes",
            )
        self._is_residual = config.residual
        self.projection_seed: int | None = None
        self.projection: keras.layers.Layer | None = None
        # Told of the activations, (B, H) before dropout and residual, while this is traced.
        self.watch: Callable[[tf.Tensor], None] | None = None

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Create the projection that the inputs' width needs."""
        if self._is_residual and input_shape[-1] != self._units:
            self.projection = keras.layers.Dense(
                self._units,
                use_bias=False,
                kernel_initializer=keras.initializers.GlorotUniform(self.projection_seed),
                dtype=self.dtype_policy,
                name=f"projection_{self._number}",
            )

    def call(
        self, x_BD: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """(B, H) in the type of the policy."""
        y = self.dense(x_BD)
        if isinstance(self.normalization, BatchNormalization):
            y = tf.cast(self.normalization(y, training=training), y.dtype)
        elif self.normalization is not None:
            y = tf.cast(self.normalization(y), y.dtype)
        y = activate(
            self._activation,
            y,
            slopes_H=None if self.slopes is None else self.slopes.value,
            training=training,
            seed=seed,
            layer=self._number,
        )
        if self.watch is not None:
            self.watch(y)
        if training and self._dropout:
            y = dropout(y, self._dropout, seed=seed, layer=self._number)
        if not self._is_residual:
            return y
        return y + (x_BD if self.projection is None else self.projection(x_BD))
