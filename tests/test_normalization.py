"""trainer.normalization against Keras' layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.normalization import BatchNormalization, LayerNormalization

RANDOM = np.random.default_rng(3)
X = (RANDOM.normal(size=(6, 40, 5)) * [1, 2, 3, 4, 0] + [0, 5, -3, 1, 2]).astype(np.float32)


def _twins(momentum):
    ours, keras_own = (
        BatchNormalization(5, momentum),
        keras.layers.BatchNormalization(momentum=momentum),
    )
    keras_own.build((None, 5))
    for layer in (ours, keras_own):
        layer.gamma.assign([1.0, 0.5, 2.0, -1.0, 1.5])
        layer.beta.assign([0.0, 1.0, -1.0, 0.5, 0.2])
    return ours, keras_own


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("compiled", [False, True])
def test_batches_and_moving_averages_are_those_of_keras(momentum, compiled):
    ours, theirs = _twins(momentum)
    weights = [w.value for w in ours.trainable_variables]
    assert len(weights) == 4

    @tf.function(jit_compile=compiled)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = ours(x, training=True)
            loss = tf.reduce_sum(tf.sin(y))
        *gradients, dx = tape.gradient(loss, [*weights, x])
        return y, gradients, dx

    for x in X:
        x = tf.constant(x)
        y, gradients, dx = step(x)
        for weight, gradient in zip(weights[2:], gradients[2:], strict=True):
            weight.assign_sub(gradient)
        with tf.GradientTape() as tape:
            tape.watch(x)
            expected = theirs(x, training=True)
            loss = tf.reduce_sum(tf.sin(expected))
        others = tape.gradient(loss, [theirs.gamma.value, theirs.beta.value, x])
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
        for got, wanted in zip([*gradients[:2], dx], others, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            ours.moving_variance, theirs.moving_variance, rtol=1e-4, atol=1e-4
        )
    np.testing.assert_allclose(ours(X[0]), theirs(X[0]), rtol=1e-3, atol=1e-3)


def test_a_pseudo_gradient_does_not_depend_on_the_loss():
    ours, _ = _twins(0.9)
    for scale in (0.0, 1e6):
        with tf.GradientTape() as tape:
            loss = scale * tf.reduce_sum(ours(tf.constant(X[0]), training=True))
        got = tape.gradient(loss, ours.moving_mean.value)
        np.testing.assert_allclose(got, 0.1 * (0 - X[0].mean(axis=0)), rtol=1e-4, atol=1e-6)


def test_layer_normalization_is_that_of_keras():
    ours, theirs = LayerNormalization(5), keras.layers.LayerNormalization()
    theirs.build((None, 5))
    for layer in (ours, theirs):
        layer.gamma.assign([1.0, 0.5, 2.0, -1.0, 1.5])
        layer.beta.assign([0.0, 1.0, -1.0, 0.5, 0.2])
    np.testing.assert_allclose(ours(X[0]), theirs(X[0]), rtol=1e-4, atol=1e-4)


def test_bfloat16_inputs_are_normalized_in_float32():
    ours, _ = _twins(0.9)
    rough = tf.cast(X[0] + 100, tf.bfloat16)
    assert ours(rough, training=True).dtype == tf.float32
    exact = ours(tf.cast(rough, tf.float32), training=True)
    np.testing.assert_array_equal(ours(rough, training=True), exact)
