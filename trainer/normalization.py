"""Batch and layer normalization before an activation.

Imports TensorFlow and Keras only. Why not Keras' batch normalization: its moving averages are
assigned within the layer, where a compiled step of several replicas cannot. Here they are weights
like any other, with a pseudo-gradient: checkpoints, kept weights, replicas and export take them
along. Axes: B batch, H units.
"""

from __future__ import annotations

import keras
import tensorflow as tf

# Added to the variance, as in Keras.
EPSILON = 1e-3
# How the moving averages' names begin: the network tells them by it.
STATISTIC = "moving_"


class BatchNormalization(keras.layers.Layer):
    """gamma * (x - mean) / sqrt(variance + 0.001) + beta, float32, by unit.

    In training mean and variance are those of the batch, over all replicas; otherwise the moving
    averages over the batches of training, moving' = momentum * moving + (1 - momentum) * batch. Row
    weights do not count.

    Source: Ioffe and Szegedy, Batch Normalization (2015).
    """

    def __init__(self, units: int, momentum: float):
        """Start with the averages of a standard normal distribution."""
        super().__init__(name="batch_normalization", dtype="float32")
        self._momentum = momentum
        ones, zeros = ({"shape": (units,), "initializer": i} for i in ("ones", "zeros"))
        self.gamma = self.add_weight(name="gamma", **ones)
        self.beta = self.add_weight(name="beta", **zeros)
        self.moving_mean = self.add_weight(name=f"{STATISTIC}mean", **zeros)
        self.moving_variance = self.add_weight(name=f"{STATISTIC}variance", **ones)
        self.built = True

    def call(self, x_BH: tf.Tensor, training: bool = False) -> tf.Tensor:
        """(B, H) float32.

        The gradient for a moving average is (1 - momentum) * (moving - batch), whatever the loss.
        """
        gamma, beta = self.gamma.value, self.beta.value
        moving = [tf.convert_to_tensor(w.value) for w in (self.moving_mean, self.moving_variance)]
        if not training:
            return tf.nn.batch_normalization(x_BH, *moving, beta, gamma, EPSILON)
        mean_H = _mean_over_replicas(tf.reduce_mean(x_BH, axis=0))
        variance_H = _mean_over_replicas(tf.reduce_mean(tf.square(x_BH - mean_H), axis=0))
        scaled_BH = tf.nn.batch_normalization(x_BH, mean_H, variance_H, beta, gamma, EPSILON)
        share = 1.0 - self._momentum

        @tf.custom_gradient
        def with_averages(x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tuple:  # type: ignore[type-arg]
            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
                return upstream, share * (mean - mean_H), share * (variance - variance_H)

            return tf.identity(x), gradient

        return with_averages(scaled_BH, *moving)


class LayerNormalization(keras.layers.Layer):
    """gamma * (x - mean) / sqrt(variance + 0.001) + beta, float32, over the units of a row.

    Source: Ba, Kiros and Hinton, Layer Normalization (2016).
    """

    def __init__(self, units: int):
        """Start with gamma 1 and beta 0."""
        super().__init__(name="layer_normalization", dtype="float32")
        self.gamma = self.add_weight(shape=(units,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(units,), initializer="zeros", name="beta")
        self.built = True

    def call(self, x_BH: tf.Tensor) -> tf.Tensor:
        """(B, H) float32."""
        mean_B1 = tf.reduce_mean(x_BH, axis=1, keepdims=True)
        variance_B1 = tf.reduce_mean(tf.square(x_BH - mean_B1), axis=1, keepdims=True)
        return tf.nn.batch_normalization(
            x_BH, mean_B1, variance_B1, self.beta.value, self.gamma.value, EPSILON
        )


def _mean_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """The mean of the replicas' values, which each of them has of equally many rows."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
