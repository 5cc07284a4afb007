"""trainer.class_tables: all classes and candidates against numpy."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.candidates import Candidates
from trainer.class_tables import ClassBias, ClassLayer, make_class_lookups
from trainer.encoders import IdFeature
from trainer.features import FeatureLayout
from trainer.table_plans import wide_plans

K = 7
RNG = np.random.default_rng(5)
LAYOUT = FeatureLayout(
    (
        IdFeature("color", 5, wide=True, embedding_dim=0),
        IdFeature("part", 4, wide=False, embedding_dim=3),
        IdFeature("tags", 6, wide=True, embedding_dim=0, slots=3, combiner="mean"),
    ),
    (),
)


def candidates(num_rows, drawn=(2, 6, 2)):
    own = np.arange(num_rows) * 3 % K
    return Candidates(tf.constant(own, tf.int32), tf.constant(drawn), tf.zeros(len(drawn)))


def of_candidates(logits_BK, chosen):
    rows = np.arange(len(logits_BK))
    own = logits_BK[rows, chosen.own_B.numpy()]
    return np.column_stack([own, logits_BK[:, chosen.drawn_S.numpy()]])


def fill(variable):
    variable.assign(RNG.normal(size=variable.shape).astype(np.float32))
    return variable.numpy()


def test_a_layer_is_a_dense_one_of_which_a_step_takes_columns():
    layer = ClassLayer(K, 8, name="output", seed=3)
    x = RNG.normal(size=(4, 3)).astype(np.float32)
    layer(tf.constant(x))
    weights, bias = fill(layer.table.variable), fill(layer.bias.bias.value)
    full = x @ weights.T + bias[:, 0]
    np.testing.assert_allclose(layer(tf.constant(x)), full, rtol=1e-5)
    chosen = candidates(4)
    found = layer(tf.constant(x), candidates=chosen)
    np.testing.assert_allclose(found, of_candidates(full, chosen), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.ids(None, chosen), [0, 3, 6, 2, 2, 6, 2])


def test_initial_weights_have_the_variance_of_glorot_and_biases_are_zero():
    layer = ClassLayer(2000, 8, name="output", seed=3)
    layer(tf.zeros((1, 50)))
    assert layer.table.variable.numpy().std() == pytest.approx(np.sqrt(2 / 2050), rel=0.01)
    assert not np.any(layer.bias.bias.numpy())
    zeros = ClassLayer(5, 8, name="numbers")
    zeros(tf.zeros((1, 2)))
    assert not np.any(zeros.table.variable.numpy())


def test_biases():
    bias = ClassBias(K)
    values = fill(bias.bias.value)[:, 0]
    np.testing.assert_array_equal(bias(), values[np.newaxis])
    chosen = candidates(3)
    np.testing.assert_array_equal(
        bias(candidates=chosen), of_candidates(np.tile(values, (3, 1)), chosen)
    )


# Of two rows more ids could be drawn than the 11 of the table; of 8 rows not.
@pytest.mark.parametrize("num_rows", [2, 8])
def test_pairs_of_ids_and_classes_add_up(num_rows):
    (lookup,) = make_class_lookups(wide_plans(LAYOUT, K), 8, 3)
    assert lookup.table.variable.shape == (11 * K, 1)
    weights = fill(lookup.table.variable).reshape(11, K)
    color, part = RNG.integers(0, 5, num_rows), RNG.integers(0, 4, num_rows)
    tags = RNG.integers(1, 6, (num_rows, 3))
    tags[:, 2] = 0
    tags[0] = 0
    ids = np.column_stack([color, part, tags]).astype(np.int32)
    tag_weights = weights[5:][tags[:, :2]].mean(axis=1)
    tag_weights[0] = weights[5]
    full = weights[color] + tag_weights
    np.testing.assert_allclose(lookup(tf.constant(ids)), full, rtol=1e-5, atol=1e-6)
    chosen = candidates(num_rows)
    with tf.GradientTape() as tape:
        found = lookup(tf.constant(ids), chosen)
    expected = of_candidates(full, chosen)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # The gradient has the rows of `ids`, whose sum over the pairs is what each is counted.
    gradient = tape.gradient(found, lookup.table.variable)
    np.testing.assert_array_equal(gradient.indices, lookup.ids(tf.constant(ids), chosen))
    dense = tf.convert_to_tensor(gradient).numpy().reshape(11, K)
    counts = np.zeros((11, K))
    for row in range(num_rows):
        for k in (chosen.own_B.numpy()[row], *chosen.drawn_S.numpy()):
            counts[color[row], k] += 1
            for tag in tags[row, :2] if row else [0]:
                counts[5 + tag, k] += 0.5 if row else 1
    np.testing.assert_allclose(dense, counts, rtol=1e-6)


def test_updates_are_dense_for_tables_that_a_step_mostly_needs():
    (small,) = make_class_lookups(wide_plans(LAYOUT, K), 8, 3)
    (large,) = make_class_lookups(wide_plans(LAYOUT, 1000), 1, 1)
    assert (small.table.dense_update, large.table.dense_update) == (True, False)
