"""trainer.network against numpy, from its weights."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_table import LAYOUT, make_features

from trainer.config import ModelConfig
from trainer.errors import UserError
from trainer.features import FeatureLayout, IdFeature, NumberFeature
from trainer.network import WideAndDeep

WIDE_IDS = [0, 2, 4]
EMBEDDED = {2: [2], 3: [1, 3]}  # width: columns


def build(layout=LAYOUT, *, num_outputs=1, offset=0.5, seed=3, precision="float32", **options):
    config = ModelConfig(**{"hidden_units": (6, 4), "dropout": 0, "input_dropout": 0} | options)
    return WideAndDeep(
        layout,
        config,
        batch_size=8,
        num_outputs=num_outputs,
        offset=offset,
        seed=seed,
        precision=precision,
    )


def short_name(weight):
    """Layer and weight: `hidden_1/kernel`."""
    return "/".join(weight.path.split("/")[-2:])


def randomize(model, seed=11):
    """Other weights than the initial ones, of which many are zero; float64 by short name."""
    rng = np.random.default_rng(seed)
    weights = {}
    for weight in model.weights:
        value = rng.normal(0, 0.5, weight.shape).astype(np.float32)
        weight.assign(value)
        weights[short_name(weight)] = value.astype(np.float64)
    return weights


def wide_logits(weights, ids, numbers):
    """Bias, one weight per wide id, and the bounded wide numbers age and flag."""
    starts = {0: 0, 2: 5, 4: 5 + 7}
    logits = np.tile(weights["wide/bias"], (len(ids), 1))
    for column in WIDE_IDS:
        logits += weights["table/table"][starts[column] + ids[:, column]]
    return logits + np.clip(numbers[:, [0, 1]], -5, 5) @ weights["wide/numbers"]


def piecewise(x, edges):
    components = [(x - a) / (b - a) for a, b in itertools.pairwise(edges)]
    return np.clip(np.stack(components, axis=1), 0, 1)


def deep_inputs(weights, ids, numbers):
    """Bounded age and price; encoded age and price; embeddings by rising width."""
    inputs = [np.clip(numbers[:, [0, 2]], -5, 5)]
    for row, column in enumerate([0, 2]):
        bins = piecewise(numbers[:, column], LAYOUT.numbers[column].piecewise_edges)
        kernel = weights["piecewise_linear/kernel"][row, : bins.shape[1]]
        inputs.append(np.maximum(bins @ kernel + weights["piecewise_linear/bias"][row], 0))
    for width, columns in EMBEDDED.items():
        table, start = weights[f"embedding_{width}/table"], 0
        for column in columns:
            inputs.append(table[start + ids[:, column]])
            start += LAYOUT.ids[column].size
    return np.concatenate(inputs, axis=1)


def deep_logits(weights, ids, numbers, activation=lambda x: np.maximum(x, 0)):
    x = deep_inputs(weights, ids, numbers)
    for layer in ("hidden_1", "hidden_2"):
        x = activation(x @ weights[f"{layer}/kernel"] + weights[f"{layer}/bias"])
    return x @ weights["output/kernel"] + weights["output/bias"]


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


def test_activation_is_the_configured_one():
    model = build(activation="tanh", towers="deep", offset=0.0)
    weights = randomize(model)
    ids, numbers = make_features(9)
    logits = model(tf.constant(ids), tf.constant(numbers))
    expected = deep_logits(weights, ids, numbers, np.tanh)
    np.testing.assert_allclose(logits, expected, rtol=2e-5, atol=2e-5)


def test_wide_part_starts_at_the_offset():
    ids, numbers = make_features(5)
    logits = build(towers="wide", offset=-1.25)(tf.constant(ids), tf.constant(numbers))
    assert logits.numpy().tolist() == [[-1.25]] * 5


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


def test_initial_embeddings_are_small():
    model = build(
        FeatureLayout((IdFeature("shop", 2000, wide=False, embedding_dim=8),), ()), towers="deep"
    )
    (table,) = (w.numpy() for w in model.weights if "embedding" in w.path)
    assert table.std() == pytest.approx(0.05, rel=0.03)
    assert table.mean() == pytest.approx(0.0, abs=0.002)


def test_piecewise_components_of_the_docstring():
    layout = FeatureLayout((), (NumberFeature("x", False, True, (0.0, 1.0, 2.0, 3.0)),))
    encoding = build(layout, towers="deep").deep.encoding
    kernel = np.zeros((1, 3, 8), np.float32)
    kernel[0] = np.eye(3, 8)
    encoding.kernel_FKD.assign(kernel)
    numbers = tf.constant([[2.5], [-1.0], [9.0], [0.0], [1.0]])
    expected = [[1, 1, 0.5], [0, 0, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert encoding(numbers).numpy()[:, :3].tolist() == expected
    assert not encoding(numbers).numpy()[:, 3:].any()


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
        "table/table": ("wide", "table", False, (5, 7, 11, 10_000)),
        "wide/numbers": ("wide", "matrix", True, ()),
        "wide/bias": ("wide", "vector", True, ()),
        "embedding_2/table": ("deep", "table", True, (7,)),
        "embedding_3/table": ("deep", "table", True, (4, 6)),
        "embedding_4/table": ("deep", "table", False, (10_000,)),
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


def train_call(model, seed, num_rows=30):
    ids, numbers = map(tf.constant, make_features(num_rows))
    return model(ids, numbers, training=True, seed=tf.constant(seed, tf.int32)).numpy()


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


def test_a_deep_part_without_features_is_refused():
    layout = FeatureLayout((IdFeature("color", 5, wide=True, embedding_dim=0),), ())
    with pytest.raises(UserError, match=r"no column is in the deep part.*model.towers: wide"):
        build(layout)


def test_a_wide_part_without_features_is_refused():
    layout = FeatureLayout((IdFeature("color", 5, wide=False, embedding_dim=2),), ())
    with pytest.raises(UserError, match=r"no column is in the wide part.*model.towers: deep"):
        build(layout)
