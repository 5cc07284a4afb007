"""trainer.losses against formulas in float64, and scikit-learn."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.candidates import Candidates, ClassSampler
from trainer.losses import (
    ClassLoss,
    sampled_softmax_losses,
    sigmoid_losses,
    softmax_curvature,
    softmax_losses,
)

RNG = np.random.default_rng(4)
LOGITS = RNG.normal(0, 3, (40, 5)).astype(np.float32)
CLASSES = RNG.integers(5, size=40)
SOFT = RNG.dirichlet(np.ones(5), 40).astype(np.float32)
KINDS = [
    ClassLoss(),
    ClassLoss(gamma=2.0),
    ClassLoss(gamma=0.5),
    ClassLoss(smoothing=0.1),
    ClassLoss(gamma=2.0, smoothing=0.1),
]


def in_numpy(labels, probability, loss, num_classes):
    labels = labels * (1 - loss.smoothing) + loss.smoothing / num_classes
    return -labels * (1 - probability) ** loss.gamma * np.log(probability)


def softmax(logits):
    exponential = np.exp(np.asarray(logits, np.float64))
    return exponential / exponential.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("loss", KINDS)
@pytest.mark.parametrize("is_soft", [False, True])
def test_softmax_losses_are_those_of_the_formula(loss, is_soft):
    dense = SOFT.astype(np.float64) if is_soft else np.eye(5)[CLASSES]
    expected = in_numpy(dense, softmax(LOGITS), loss, 5).sum(axis=1)
    labels = SOFT if is_soft else CLASSES[:, None].astype(np.float32)
    found = softmax_losses(tf.constant(labels), tf.constant(LOGITS), loss)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("loss", KINDS)
def test_sigmoid_losses_are_those_of_the_formula(loss):
    labels = (LOGITS > 1).astype(np.float64)
    p = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    expected = in_numpy(labels, p, loss, 2) + in_numpy(1 - labels, 1 - p, loss, 2)
    found = sigmoid_losses(tf.constant(labels, tf.float32), tf.constant(LOGITS), loss)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)


def test_smoothing_and_focus_are_those_of_keras():
    dense = np.eye(5, dtype=np.float32)[CLASSES]
    smoothed = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.2, reduction="none"
    )
    labels = tf.constant(CLASSES[:, None], tf.float32)
    found = softmax_losses(labels, tf.constant(LOGITS), ClassLoss(smoothing=0.2))
    np.testing.assert_allclose(found, smoothed(dense, LOGITS), rtol=1e-5)
    yes = tf.constant(dense[:, 0])
    found = sigmoid_losses(yes, tf.constant(LOGITS[:, 0]), ClassLoss(gamma=3.0))
    focal = keras.losses.BinaryFocalCrossentropy(gamma=3.0, from_logits=True, reduction="none")
    expected = focal(yes[:, None], LOGITS[:, :1])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("loss", KINDS)
@pytest.mark.parametrize("size", [0.0, 200.0])
def test_gradients_are_finite_however_sure_the_model_is(loss, size):
    logits = tf.Variable(size * np.eye(5, dtype=np.float32))
    labels = tf.constant([[0.0], [1.0], [2.0], [0.0], [0.0]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(softmax_losses(labels, logits, loss))
        total += tf.reduce_sum(sigmoid_losses(tf.eye(5), logits, loss))
    assert np.isfinite(total.numpy())
    assert np.isfinite(tape.gradient(total, logits).numpy()).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("shares", [[0.2, 0.8], [0.1, 0.2, 0.3, 0.4]])
def test_curvature_is_the_mean_of_second_differences(gamma, shares):
    shares = np.array(shares)
    mass = shares * np.arange(1, len(shares) + 1)
    step, start = 1e-3, np.log(shares)

    def mean_loss(logits):
        p = softmax(logits[None])[0]
        return -(mass * (1 - p) ** gamma * np.log(p)).sum()

    second = [
        (mean_loss(start + d) - 2 * mean_loss(start) + mean_loss(start - d)) / step**2
        for d in step * np.eye(len(shares))
    ]
    expected = sum(second) / (len(shares) - 1)
    assert softmax_curvature(shares, mass, gamma) == pytest.approx(expected, rel=1e-4)


def _sampled(own, drawn, counts):
    return Candidates(tf.constant(own), tf.constant(drawn), tf.constant(np.log(counts), tf.float32))


def test_a_sampled_loss_weighs_what_was_drawn_and_leaves_out_the_own_class():
    logits = np.array([[0.5, -1.0, 0.3, 0.5], [1.5, 0.2, 0.2, -0.7]])
    found = sampled_softmax_losses(
        _sampled([4, 2], [1, 7, 4], [2.0, 0.5, 0.25]), tf.constant(logits, tf.float32)
    )
    first = np.exp(0.5) + np.exp(-1) / 2 + np.exp(0.3) / 0.5
    second = np.exp(1.5) + np.exp(0.2) / 2 + np.exp(0.2) / 0.5 + np.exp(-0.7) / 0.25
    np.testing.assert_allclose(found, [np.log(first) - 0.5, np.log(second) - 1.5], rtol=1e-6)


def test_of_many_draws_loss_and_gradient_are_those_of_all_classes():
    logits = tf.constant(np.random.default_rng(3).normal(size=(2, 9)), tf.float32)
    own = tf.constant([2, 8])
    sampler = ClassSampler(np.arange(1.0, 10), 50_000)
    chosen = sampler.candidates(own, sampler.draw(tf.constant([1, 0])))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        picked = tf.gather(logits, chosen.drawn_S, axis=1)
        picked = tf.concat([tf.gather(logits, own, batch_dims=1)[:, tf.newaxis], picked], axis=1)
        losses = sampled_softmax_losses(chosen, picked)
    p = tf.nn.softmax(logits).numpy()
    expected = p - np.eye(9)[own.numpy()]
    # Off by the rounding of shares to whole draws.
    np.testing.assert_allclose(losses, -np.log(p[[0, 1], own.numpy()]), rtol=1e-3)
    gradient = tf.convert_to_tensor(tape.gradient(losses, logits))
    np.testing.assert_allclose(gradient, expected, atol=1e-3)
