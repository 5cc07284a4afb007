"""trainer.network against numpy, from its weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_network import build, deep_logits, randomize, short_name, wide_logits
from tiny_table import LAYOUT, make_features

from trainer.features import FeatureLayout, IdFeature


@pytest.mark.parametrize("num_rows", [0, 1, 40])
@pytest.mark.parametrize("num_outputs", [1, 3])
@pytest.mark.parametrize("towers", ["wide", "deep", "both"])
def test_logits_are_those_of_numpy(towers, num_outputs, num_rows):
    model = build(towers=towers, num_outputs=num_outputs)
    weights = randomize(model)
    ids, numbers = make_features(num_rows)
    expected = np.full((num_rows, num_outputs), 0.5)
    if towers != "deep":
        expected += wide_logits(weights, ids, numbers)
    if towers != "wide":
        expected += deep_logits(weights, ids, numbers)
    for call in (model, tf.function(model)):
        logits = call(tf.constant(ids), tf.constant(numbers))
        assert logits.dtype == tf.float32
        np.testing.assert_allclose(logits, expected, rtol=2e-5, atol=2e-5)


def test_initial_weights_depend_on_the_seed_alone():
    keras.utils.set_random_seed(1)
    first = build(seed=3)
    keras.utils.set_random_seed(2)
    again, other = build(seed=3), build(seed=4)
    for a, b in zip(first.weights, again.weights, strict=True):
        assert a.path == b.path
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(first.weights, other.weights, strict=True))


def test_initial_weights_of_the_layers_differ():
    """No two share a seed: equal draws would tie the layers together."""
    model = build(hidden_units=(4, 4, 4))
    kernels = [
        w.numpy() for w in model.weights if w.path.endswith(("hidden_2/kernel", "_3/kernel"))
    ]
    assert len(kernels) == 2
    assert not np.array_equal(*kernels)
    embeddings = [w.numpy() for w in model.weights if "embedding_" in w.path]
    assert embeddings[0][0, 0] != embeddings[1][0, 0]


@pytest.mark.parametrize("value", [5.0, 1e10, 3.4e38, -5.0, -1e10, -3.4e38])
def test_an_outlier_counts_as_the_bound(value):
    model = build()
    randomize(model)
    ids, numbers = make_features(1)
    numbers[:] = value
    bounded = np.clip(numbers, -5, 5)
    expected = model(tf.constant(ids), tf.constant(bounded)).numpy()
    assert model(tf.constant(ids), tf.constant(numbers)).numpy().tolist() == expected.tolist()


def test_parameters_are_every_trainable_variable_once():
    layout = FeatureLayout((*LAYOUT.ids, IdFeature("user", 10_000, True, 4)), LAYOUT.numbers)
    model = build(layout)
    found = {}
    by_variable = {id(weight.value): short_name(weight) for weight in model.trainable_weights}
    for parameter in model.parameters():
        found[by_variable.pop(id(parameter.variable))] = parameter[1:]
    assert not by_variable
    # A batch of 8 has 32 wide ids, for 10,023 rows, and 8 of width 2, for 7 rows.
    assert found == {
        "table/table": ("wide", "table", False, ((5, 1), (7, 1), (11, 1), (10_000, 1))),
        "wide/numbers": ("wide", "matrix", True, ()),
        "wide/bias": ("wide", "vector", True, ()),
        "embedding_2/table": ("deep", "table", True, ((7, 1),)),
        "embedding_3/table": ("deep", "table", True, ((4, 1), (6, 1))),
        "embedding_4/table": ("deep", "table", False, ((10_000, 1),)),
        "piecewise_linear/kernel": ("deep", "matrix", True, ()),
        "piecewise_linear/bias": ("deep", "vector", True, ()),
        "hidden_1/kernel": ("deep", "matrix", True, ()),
        "hidden_1/bias": ("deep", "vector", True, ()),
        "hidden_2/kernel": ("deep", "matrix", True, ()),
        "hidden_2/bias": ("deep", "vector", True, ()),
        "output/kernel": ("deep", "matrix", True, ()),
        "output/bias": ("deep", "vector", True, ()),
    }


@pytest.mark.parametrize("towers", ["wide", "deep", "both"])
def test_every_parameter_has_a_gradient(towers):
    model = build(towers=towers)
    ids, numbers = map(tf.constant, make_features(8))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(ids, numbers))
    gradients = tape.gradient(loss, [p.variable for p in model.parameters()])
    assert all(gradient is not None for gradient in gradients)


def test_bfloat16_is_close_and_ends_in_float32():
    exact, rough = build(), build(precision="bfloat16")
    for model in (exact, rough):
        randomize(model)
    ids, numbers = map(tf.constant, make_features(50))
    logits = rough(ids, numbers)
    assert logits.dtype == tf.float32
    expected = exact(ids, numbers)
    assert not np.array_equal(logits, expected)
    # bfloat16 has 8 bits: 0.4% a product, over two layers of a few units.
    np.testing.assert_allclose(logits, expected, atol=0.03 * float(np.abs(expected).max()))
    assert all(p.variable.dtype == tf.float32 for p in rough.parameters())


@pytest.mark.parametrize("ids", [LAYOUT.ids, ()])
@pytest.mark.parametrize("numbers", [LAYOUT.numbers, ()])
def test_ids_or_numbers_may_be_absent(ids, numbers):
    if not ids and not numbers:
        return
    model = build(FeatureLayout(ids, numbers))
    all_ids, all_numbers = make_features(4)
    logits = model(tf.constant(all_ids[:, : len(ids)]), tf.constant(all_numbers[:, : len(numbers)]))
    assert logits.shape == (4, 1)
    assert np.isfinite(logits).all()
