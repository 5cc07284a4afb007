"""trainer.cross_network against numpy."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.cross_network import CrossNetwork

X = np.random.default_rng(2).normal(size=(7, 4)).astype(np.float32)


def _network(rank, layers=3, dtype="float32"):
    network = CrossNetwork(rank, [(10 * i, 10 * i + 1) for i in range(layers)], dtype)
    network(tf.constant(X))
    random = np.random.default_rng(1)
    for weight in network.weights:
        weight.assign(random.normal(size=weight.shape))
    return network, {w.name: w.numpy().astype(float) for w in network.weights}


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_each_layer_multiplies_by_the_inputs(rank):
    network, weights = _network(rank)
    x = X.astype(float)
    for layer in (1, 2, 3):
        matrix = weights[f"kernel_{layer}_1"]
        if rank:
            assert matrix.shape == (4, rank)
            matrix = matrix @ weights[f"kernel_{layer}_2"]
        x = X * (x @ matrix + weights[f"bias_{layer}"]) + x
    np.testing.assert_allclose(network(tf.constant(X)), x, rtol=1e-4, atol=1e-4)
    assert len(weights) == (9 if rank else 6)


def test_the_output_is_a_polynomial_of_one_degree_more_than_layers():
    network, _ = _network(0, layers=2)
    scales = np.arange(-3, 4)
    rows = np.stack([network(tf.constant(X[:1] * s)).numpy()[0] for s in scales]).astype(float)
    for unit in range(4):
        cubic = np.polynomial.polynomial.polyfit(scales, rows[:, unit], 3)
        fitted = np.polynomial.polynomial.polyval(scales, cubic)
        np.testing.assert_allclose(fitted, rows[:, unit], atol=2e-4 * np.abs(rows[:, unit]).max())
        assert abs(cubic[3]) > 1e-2


def test_no_two_matrices_start_equal():
    network = CrossNetwork(4, [(1, 2), (3, 4)], "float32")
    network(tf.constant(X))
    kernels = [w.numpy() for w in network.weights if w.name.startswith("kernel")]
    assert len({k.tobytes() for k in kernels}) == 4


def test_bfloat16_is_close():
    exact, _ = _network(0)
    rough, _ = _network(0, dtype="mixed_bfloat16")
    got = rough(tf.constant(X))
    assert got.dtype == tf.bfloat16
    expected = exact(tf.constant(X)).numpy()
    np.testing.assert_allclose(
        tf.cast(got, tf.float32), expected, atol=0.03 * np.abs(expected).max()
    )
