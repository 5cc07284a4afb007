"""The activations of the hidden layers.

Imports config and noise. Axes: B batch, H units.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.model_config import Activation
from trainer.noise import uniform_numbers

LEAKY_SLOPE = 0.01
# Of the randomized leaky ReLU. Source: Xu et al., Empirical Evaluation of Rectified Activations in
# Convolutional Network (2015), where the slope is 1 / a of a between 3 and 8.
LEAST_SLOPE, MOST_SLOPE = 1 / 8, 1 / 3
# Of PReLU, at the start. Source: He et al., Delving Deep into Rectifiers (2015).
INITIAL_SLOPE = 0.25

_FUNCTIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "relu": keras.activations.relu,
    "leaky_relu": functools.partial(keras.activations.leaky_relu, negative_slope=LEAKY_SLOPE),
    "elu": keras.activations.elu,
    "gelu": keras.activations.gelu,
    "relu6": keras.activations.relu6,
    "selu": keras.activations.selu,
    "silu": keras.activations.silu,
    "swish": keras.activations.silu,
    "softplus": keras.activations.softplus,
    "tanh": keras.activations.tanh,
    "sigmoid": keras.activations.sigmoid,
}


def initializer(activation: Activation, seed: int) -> keras.initializers.Initializer:
    """Of the kernel before an activation: normal of variance 2 / inputs, with selu 1 / inputs.

    Source: He et al. (2015); Klambauer et al., Self-Normalizing Neural Networks (2017).
    """
    if activation == "selu":
        return keras.initializers.LecunNormal(seed)
    return keras.initializers.HeNormal(seed)


def activate(
    activation: Activation,
    x_BH: tf.Tensor,
    *,
    slopes_H: tf.Tensor | None = None,
    training: bool = False,
    seed: tf.Tensor | None = None,
    layer: int = 0,
) -> tf.Tensor:
    """The activation of each unit, in the type of `x_BH`.

    Args:
        activation: its name.
        x_BH: floating; of static shape where slopes are drawn.
        slopes_H: below 0, of prelu.
        training: whether randomized_leaky_relu draws its slopes; else it has their mean.
        seed: (2,) int32 of the step and replica; the slopes are a pure function of it.
        layer: tells the layers of a step apart.
    """
    if activation == "prelu":
        return tf.where(x_BH > 0, x_BH, x_BH * tf.cast(slopes_H, x_BH.dtype))
    if activation != "randomized_leaky_relu":
        return _FUNCTIONS[activation](x_BH)
    slope = tf.constant((LEAST_SLOPE + MOST_SLOPE) / 2)
    if training:
        drawn_BH = uniform_numbers(tuple(x_BH.shape.as_list()), seed, layer)
        slope = LEAST_SLOPE + (MOST_SLOPE - LEAST_SLOPE) * drawn_BH
    return tf.where(x_BH > 0, x_BH, x_BH * tf.cast(slope, x_BH.dtype))
