"""trainer.noise against what chance should give."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.noise import normal_numbers, uniform_numbers

SHAPE = (500, 200)


def _seed(*words):
    return tf.constant(words, tf.int32)


def test_uniform_numbers_fill_the_unit_interval_evenly():
    numbers = np.sort(uniform_numbers(SHAPE, _seed(1, 64), 3).numpy().ravel())
    assert numbers[0] > 0
    assert numbers[-1] < 1
    # Kolmogorov and Smirnov: 1.95 / sqrt(n) is passed once in a thousand.
    places = (np.arange(numbers.size) + 0.5) / numbers.size
    assert np.abs(numbers - places).max() < 1.95 / np.sqrt(numbers.size)


def test_normal_numbers_have_the_moments_of_a_normal_distribution():
    numbers = normal_numbers(SHAPE, _seed(1, 64)).numpy().astype(float)
    bound = 4 / np.sqrt(numbers.size)
    assert abs(numbers.mean()) < bound
    assert abs((numbers**2).mean() - 1) < bound * np.sqrt(2)
    assert abs((numbers**3).mean()) < bound * np.sqrt(15)
    assert abs((numbers**4).mean() - 3) < bound * np.sqrt(96)
    assert (np.abs(numbers) < 1).mean() == pytest.approx(0.6827, abs=0.006)
    assert np.isfinite(numbers).all()


def test_other_steps_replicas_and_layers_have_other_numbers():
    base = uniform_numbers(SHAPE, _seed(1, 64), 1).numpy() - 0.5
    others = [
        uniform_numbers(SHAPE, _seed(*words), layer).numpy() - 0.5
        for words, layer in (((1, 128), 1), ((1_000_004, 64), 1), ((1, 64), 2))
    ]
    others.append(normal_numbers(SHAPE, _seed(1, 64)).numpy())
    np.testing.assert_array_equal(base, uniform_numbers(SHAPE, _seed(1, 64), 1).numpy() - 0.5)
    for other in others:
        assert abs((base * other).mean()) < 5 * base.std() * other.std() / np.sqrt(base.size)


def test_compiled_numbers_are_the_same():
    compiled = tf.function(lambda s: normal_numbers(SHAPE, s), jit_compile=True)
    np.testing.assert_allclose(
        compiled(_seed(7, 0)), normal_numbers(SHAPE, _seed(7, 0)), rtol=1e-4, atol=1e-5
    )
