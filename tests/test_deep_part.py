"""trainer.deep_part against numpy, from its weights."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_network import build, deep_logits, randomize, train_call, wide_logits
from tiny_table import make_features

from trainer.errors import UserError
from trainer.features import FeatureLayout, IdFeature, NumberFeature


def test_activation_is_the_configured_one():
    model = build(activation="tanh", towers="deep", offset=0.0)
    weights = randomize(model)
    ids, numbers = make_features(9)
    logits = model(tf.constant(ids), tf.constant(numbers))
    expected = deep_logits(weights, ids, numbers, np.tanh)
    np.testing.assert_allclose(logits, expected, rtol=2e-5, atol=2e-5)


def test_initial_embeddings_are_small():
    model = build(
        FeatureLayout((IdFeature("shop", 2000, wide=False, embedding_dim=8),), ()), towers="deep"
    )
    (table,) = (w.numpy() for w in model.weights if "embedding" in w.path)
    assert table.std() == pytest.approx(0.05, rel=0.03)
    assert table.mean() == pytest.approx(0.0, abs=0.002)


def test_dropout_is_a_function_of_the_seed():
    model = build(dropout=0.4, input_dropout=0.2)
    randomize(model)
    first = train_call(model, [1, 64])
    assert first.tolist() == train_call(model, [1, 64]).tolist()
    others = [train_call(model, seed) for seed in ([1, 128], [2, 64])]
    assert all(not np.array_equal(first, other) for other in others)
    compiled = tf.function(model)
    ids, numbers = map(tf.constant, make_features(30))
    found = compiled(ids, numbers, training=True, seed=tf.constant([1, 64], tf.int32))
    np.testing.assert_allclose(found, first, rtol=1e-5, atol=1e-5)


def test_nothing_is_dropped_when_predicting_or_without_dropout():
    model = build(dropout=0.4, input_dropout=0.2)
    weights = randomize(model)
    ids, numbers = make_features(30)
    logits = model(tf.constant(ids), tf.constant(numbers), training=False)
    expected = 0.5 + wide_logits(weights, ids, numbers) + deep_logits(weights, ids, numbers)
    np.testing.assert_allclose(logits, expected, rtol=2e-5, atol=2e-5)
    plain = build()
    randomize(plain)
    np.testing.assert_allclose(train_call(plain, [1, 64]), expected, rtol=2e-5, atol=2e-5)


def test_dropout_drops_the_configured_share_and_keeps_the_mean():
    """A net whose logit is the mean of its single hidden layer's 512 ones, after dropout."""
    layout = FeatureLayout((), (NumberFeature("x", wide=False, deep=True),))
    model = build(layout, towers="deep", hidden_units=(512,), dropout=0.25, offset=0.0)
    for weight in model.weights:
        is_hidden_bias = weight.path.endswith("hidden_1/bias")
        weight.assign(tf.ones_like(weight) if is_hidden_bias else tf.zeros_like(weight))
    output = next(w for w in model.weights if w.path.endswith("output/kernel"))
    output.assign(tf.ones_like(output) / 512)
    numbers = tf.zeros((200, 1))
    ids = tf.zeros((200, 0), tf.int32)
    logits = model(ids, numbers, training=True, seed=tf.constant([1, 0], tf.int32)).numpy()
    kept = logits * 0.75 * 512
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-2)
    # 102,400 draws: the mean of logits is 1 with a standard error of 0.0018.
    assert logits.mean() == pytest.approx(1.0, abs=0.008)
    assert len(set(np.round(kept[:, 0]).tolist())) > 20


def test_a_deep_part_without_features_is_refused():
    layout = FeatureLayout((IdFeature("color", 5, wide=True, embedding_dim=0),), ())
    with pytest.raises(UserError, match=r"no column is in the deep part.*model.towers: wide"):
        build(layout)
