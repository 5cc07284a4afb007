"""trainer.dense_tower against numpy and Keras, from its weights."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.dense_tower import DenseTower
from trainer.model_config import ModelConfig

X = np.random.default_rng(4).normal(size=(9, 5)).astype(np.float32)
SEED = tf.constant([1, 64], tf.int32)


def _tower(precision="float32", num_outputs=2, **options):
    config = ModelConfig(**{"hidden_units": (6, 6, 3), "dropout": 0.0} | options)
    tower = DenseTower(config, num_outputs, itertools.count(7), precision)
    tower(tf.constant(X))
    random = np.random.default_rng(1)
    for weight in tower.weights:
        weight.assign(np.abs(random.normal(0, 0.7, weight.shape)) * random.choice([-1, 1]))
        if "gamma" in weight.path or "moving_variance" in weight.path:
            weight.assign(random.uniform(0.5, 2, weight.shape))
    short = {"/".join(w.path.split("/")[-2:]): w.numpy().astype(float) for w in tower.weights}
    return tower, short


def _dense(weights, x, number):
    return x @ weights[f"hidden_{number}/kernel"] + weights[f"hidden_{number}/bias"]


def _output(weights, x):
    return x @ weights["output/kernel"] + weights["output/bias"]


def test_residuals_are_added_and_projected_where_widths_differ():
    tower, weights = _tower(residual=True, activation="tanh")
    first = np.tanh(_dense(weights, X, 1)) + X @ weights["projection_1/kernel"]
    second = np.tanh(_dense(weights, first, 2)) + first
    third = np.tanh(_dense(weights, second, 3)) + second @ weights["projection_3/kernel"]
    np.testing.assert_allclose(tower(tf.constant(X)), _output(weights, third), rtol=1e-4, atol=1e-4)
    assert "projection_2/kernel" not in weights


@pytest.mark.parametrize("training", [False, True])
def test_batch_normalization_stands_before_the_activation(training):
    tower, weights = _tower(hidden_units=(6,), normalization="batch")
    layer = keras.layers.BatchNormalization()
    layer.build((None, 6))
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        getattr(layer, name).assign(weights[f"batch_normalization/{name}"])
    hidden = layer(tf.constant(_dense(weights, X, 1), tf.float32), training=training).numpy()
    got = tower(tf.constant(X), training=training, seed=SEED)
    np.testing.assert_allclose(got, _output(weights, np.maximum(hidden, 0)), rtol=1e-3, atol=1e-3)


def test_layer_normalization_stands_before_the_activation():
    tower, weights = _tower(hidden_units=(6,), normalization="layer")
    hidden = _dense(weights, X, 1)
    hidden = (hidden - hidden.mean(axis=1, keepdims=True)) / np.sqrt(
        hidden.var(axis=1, keepdims=True) + 1e-3
    )
    hidden = hidden * weights["layer_normalization/gamma"] + weights["layer_normalization/beta"]
    for training in (False, True):
        got = tower(tf.constant(X), training=training, seed=SEED)
        np.testing.assert_allclose(
            got, _output(weights, np.maximum(hidden, 0)), rtol=1e-4, atol=1e-4
        )


def test_crosses_stand_beside_the_hidden_layers():
    tower, weights = _tower(hidden_units=(3,), cross_layers=1)
    crossed = X * (X @ weights["cross_network/kernel_1_1"] + weights["cross_network/bias_1"]) + X
    both = np.concatenate([np.maximum(_dense(weights, X, 1), 0), crossed], axis=1)
    np.testing.assert_allclose(tower(tf.constant(X)), _output(weights, both), rtol=1e-4, atol=1e-4)


def test_prelu_learns_a_slope_for_each_unit():
    tower, weights = _tower(hidden_units=(6,), activation="prelu")
    hidden = _dense(weights, X, 1)
    hidden = np.where(hidden > 0, hidden, weights["block_1/slopes"] * hidden)
    np.testing.assert_allclose(
        tower(tf.constant(X)), _output(weights, hidden), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "options",
    [
        {"normalization": "batch"},
        {"normalization": "layer"},
        {"residual": True},
        {"cross_layers": 2, "cross_rank": 2},
        {"activation": "prelu"},
        {"activation": "randomized_leaky_relu", "dropout": 0.2},
        {"normalization": "batch", "residual": True, "cross_layers": 1, "dropout": 0.1},
    ],
)
def test_every_option_trains_in_bfloat16_and_xla_with_gradients_everywhere(options):
    exact, _ = _tower(**options)
    rough, _ = _tower("bfloat16", **options)
    expected = exact(tf.constant(X), training=True, seed=SEED).numpy()
    scale = np.abs(expected).max()
    for compiled in (False, True):

        @tf.function(jit_compile=compiled)
        def step(x):
            with tf.GradientTape() as tape:
                logits = rough(x, training=True, seed=SEED)
            return logits, tape.gradient(logits, [w.value for w in rough.trainable_variables])

        logits, gradients = step(tf.constant(X))
        assert logits.dtype == tf.float32
        np.testing.assert_allclose(logits, expected, atol=0.1 * scale)
        assert all(g.dtype == tf.float32 for g in gradients)
        assert all(np.isfinite(g).all() for g in gradients)


def test_options_leave_the_initial_weights_of_the_layers_alone():
    def initial(**options):
        config = ModelConfig(hidden_units=(6, 3), dropout=0.0, **options)
        tower = DenseTower(config, 1, itertools.count(7), "float32")
        tower(tf.constant(X))
        return {"/".join(w.path.split("/")[-2:]): w.numpy() for w in tower.weights}

    plain = initial()
    for options in ({"residual": True}, {"normalization": "batch"}, {"cross_layers": 1}):
        changed = initial(**options)
        assert len(changed) > len(plain)
        for name in ("hidden_1/kernel", "hidden_2/kernel"):
            np.testing.assert_array_equal(changed[name], plain[name])
