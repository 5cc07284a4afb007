"""Uniform and normal numbers as pure functions of a seed: nothing to checkpoint.

May import TensorFlow and dropout, whose bits these are.
"""

from __future__ import annotations

import math

import tensorflow as tf

from trainer.dropout import random_bits

# Between the first words of the seed: other numbers than those of dropout and of each other.
_UNIFORM, _RADIUS, _ANGLE = 715_827_883, 1_431_655_777, 1_073_741_827


def uniform_numbers(shape: tuple[int, int], seed: tf.Tensor, layer: int) -> tf.Tensor:
    """Float32 numbers in (0, 1) of a static shape, each of 2**24 values.

    Args:
        shape: of the result.
        seed: (2,) int32, another one for each step and replica.
        layer: tells the layers of a step apart.
    """
    return _unit(shape, seed, _UNIFORM, layer)


def normal_numbers(shape: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """Float32 numbers of mean 0 and standard deviation 1, at most 5.9 from 0.

    Args:
        shape: of the result, static.
        seed: (2,) int32, another one for each step and replica.

    Source: Box and Muller, A Note on the Generation of Random Normal Deviates (1958).
    """
    radius = tf.sqrt(-2.0 * tf.math.log(_unit(shape, seed, _RADIUS, 0)))
    return radius * tf.cos(2.0 * math.pi * _unit(shape, seed, _ANGLE, 0))


def _unit(shape: tuple[int, int], seed: tf.Tensor, kind: int, layer: int) -> tf.Tensor:
    bits = random_bits(shape, seed + tf.constant([kind, layer]))
    # The upper 24 bits, which a float32 holds exactly; with the half there is no 0, whose logarithm
    # is infinite.
    whole = tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32)
    return (whole + 0.5) * 2.0**-24
