"""A cross network: products of inputs up to a chosen degree, beside the hidden layers.

Imports TensorFlow and Keras only. Axes: B batch, D inputs, R rank.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


class CrossNetwork(keras.layers.Layer):
    """x_l+1 = x_0 * (W_l x_l + b_l) + x_l, elementwise product, for l = 0 .. layers - 1.

    After l layers an output is a polynomial of degree l + 1 of the inputs. At low rank W_l is the
    product of a (D, R) and an (R, D) matrix.

    Source: Wang et al. 2021, DCN V2: Improved Deep & Cross Network, equations 1 and 2.
    """

    def __init__(self, rank: int, seeds: Sequence[tuple[int, int]], dtype: str):
        """Take the options.

        Args:
            rank: R; 0 for full matrices.
            seeds: of the initial weights, of the two matrices of each layer.
            dtype: the Keras policy of the products.
        """
        super().__init__(name="cross_network", dtype=dtype)
        self._rank, self._seeds = rank, seeds

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Create the weights for the inputs' width."""
        width = input_shape[-1]
        shapes = [(width, self._rank), (self._rank, width)] if self._rank else [(width, width)]
        self.kernels, self.biases = [], []
        for layer, seeds in enumerate(self._seeds, start=1):
            self.kernels.append(
                [
                    self.add_weight(
                        shape=shape,
                        initializer=keras.initializers.GlorotUniform(seed),
                        name=f"kernel_{layer}_{number}",
                    )
                    for number, (shape, seed) in enumerate(zip(shapes, seeds, strict=False), 1)
                ]
            )
            self.biases.append(
                self.add_weight(shape=(width,), initializer="zeros", name=f"bias_{layer}")
            )

    def call(self, x_BD: tf.Tensor) -> tf.Tensor:
        """(B, D) in the type of the policy."""
        crossed_BD = x_BD
        for kernels, bias in zip(self.kernels, self.biases, strict=True):
            product_BD = crossed_BD
            for kernel in kernels:
                product_BD = tf.matmul(product_BD, kernel.value)
            crossed_BD += x_BD * (product_BD + bias.value)
        return crossed_BD
