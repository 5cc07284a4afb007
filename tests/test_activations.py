"""trainer.activations against their formulas in numpy."""

import math
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from trainer.activations import activate, initializer
from trainer.model_config import Activation

X = np.linspace(-8, 8, 401).reshape(-1, 1).astype(np.float32)
ERF = np.vectorize(math.erf)
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    # Slopes from 1/8 to 1/3: 11/48 in the mean.
    "randomized_leaky_relu": lambda x: np.where(x > 0, x, 11 / 48 * x),
    "prelu": lambda x: np.where(x > 0, x, 0.4 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x / 2 * (1 + ERF(x / np.sqrt(2))),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("name", get_args(Activation))
def test_an_activation_is_its_formula(name):
    got = activate(name, tf.constant(X), slopes_H=tf.constant([0.4]))
    np.testing.assert_allclose(got, FORMULAS[name](X.astype(float)), rtol=1e-5, atol=1e-6)
    rough = activate(name, tf.constant(X, tf.bfloat16), slopes_H=tf.constant([0.4]))
    assert rough.dtype == tf.bfloat16


def test_each_unit_has_its_own_learned_slope():
    x, slopes = tf.constant([[-2.0, -2.0], [3.0, -1.0]]), tf.constant([0.5, 0.1])
    with tf.GradientTape() as tape:
        tape.watch(slopes)
        y = activate("prelu", x, slopes_H=slopes)
    np.testing.assert_allclose(y, [[-1.0, -0.2], [3.0, -0.1]], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(y, slopes), [-2.0, -3.0])


def _drawn(seed, layer=1):
    x = tf.constant(np.where(np.arange(64_000) % 8, -1.0, 2.0).reshape(640, 100), tf.float32)
    seed = tf.constant(seed, tf.int32)
    y = activate("randomized_leaky_relu", x, training=True, seed=seed, layer=layer)
    return x.numpy(), y.numpy()


def test_random_slopes_are_uniform_between_an_eighth_and_a_third():
    x, y = _drawn([1, 64])
    np.testing.assert_array_equal(y[x > 0], 2.0)
    slopes = np.sort(-y[x < 0])
    expected = 1 / 8 + (1 / 3 - 1 / 8) * (np.arange(slopes.size) + 0.5) / slopes.size
    # Kolmogorov and Smirnov, in the unit of the range.
    assert np.abs(slopes - expected).max() < 1.95 / np.sqrt(slopes.size) * (1 / 3 - 1 / 8)


def test_random_slopes_are_a_function_of_seed_and_layer():
    first = _drawn([1, 64])[1]
    np.testing.assert_array_equal(first, _drawn([1, 64])[1])
    for seed, layer in (([1, 128], 1), ([2, 64], 1), ([1, 64], 2)):
        assert (first != _drawn(seed, layer)[1]).mean() > 0.8


@pytest.mark.parametrize(("name", "gain"), [("relu", 2.0), ("prelu", 2.0), ("selu", 1.0)])
def test_initial_weights_keep_the_variance_through_the_activation(name, gain):
    weights = initializer(name, 5)((400, 300)).numpy()
    assert weights.var() == pytest.approx(gain / 400, rel=0.02)
