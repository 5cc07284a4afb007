"""Expected values: plain numpy indexing and np.add.at."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.tables import Table, merge_dense, merge_rows, use_dense_update


def _table(num_rows: int = 5, width: int = 3, sd: float = 0.5, seed: int = 7) -> Table:
    return Table(num_rows, width, initializer_sd=sd, name="city", dense_update=True, seed=seed)


@pytest.mark.parametrize("shape", [(0,), (1,), (4, 2), (2, 3, 2)])
def test_lookup_gives_the_rows_of_the_ids(shape):
    table = _table()
    ids = np.random.default_rng(0).integers(0, 5, shape).astype(np.int32)
    np.testing.assert_array_equal(table(tf.constant(ids)), table.variable.numpy()[ids])


def test_lookup_gradient_has_one_slice_per_id_and_equal_ids_apart():
    table = _table()
    ids = tf.constant([[1, 4], [1, 0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(table(ids) * tf.reshape(tf.range(4.0), (2, 2, 1)))
    gradient = tape.gradient(loss, table.variable)
    assert isinstance(gradient, tf.IndexedSlices)
    np.testing.assert_array_equal(gradient.indices, [1, 4, 1, 0])
    np.testing.assert_array_equal(gradient.values, np.repeat([[0.0], [1.0], [2.0], [3.0]], 3, 1))


def test_lookup_does_not_read_the_whole_table():
    table = _table()
    lookup = tf.function(lambda ids: table(ids)).get_concrete_function(
        tf.TensorSpec([None], tf.int32)
    )
    assert {op.type for op in lookup.graph.get_operations()} & {
        "ReadVariableOp",
        "ResourceGather",
    } == {"ResourceGather"}


def test_id_outside_the_table_is_an_error_on_cpu():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"5 is not in \[0, 5\)"):
        _table()(tf.constant([5]))


def test_initial_values_follow_the_sd_and_the_seed():
    values = _table(num_rows=1000, width=8, sd=0.05).variable.numpy()
    assert abs(values.mean()) < 0.002 and abs(values.std() - 0.05) < 0.002
    again = _table(num_rows=1000, width=8, sd=0.05).variable.numpy()
    np.testing.assert_array_equal(values, again)
    assert (values != _table(num_rows=1000, width=8, sd=0.05, seed=8).variable.numpy()).mean() > 0.9
    np.testing.assert_array_equal(_table(sd=0.0).variable, np.zeros((5, 3)))


def test_table_stays_float32_under_a_bfloat16_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        table = _table()
    finally:
        keras.config.set_dtype_policy("float32")
    assert table.variable.dtype == tf.float32
    assert table(tf.constant([1])).dtype == tf.float32


def _slices(num_ids: int, num_rows: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    ids = random.integers(0, num_rows, num_ids).astype(np.int32)
    values = random.normal(size=(num_ids, width)).astype(np.float32)
    sums = np.zeros((num_rows, width))
    np.add.at(sums, ids, values)
    return ids, values, sums


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("num_ids", [0, 1, 200])
def test_merge_dense_adds_up_equal_ids(num_ids, compiled):
    ids, values, sums = _slices(num_ids, 40, 3)
    merge = tf.function(lambda i, v: merge_dense(i, v, 40), jit_compile=compiled)
    np.testing.assert_allclose(merge(ids, values), sums, atol=2e-6)


@pytest.mark.parametrize("num_ids", [0, 1, 200])
def test_merge_rows_gives_each_id_once_with_its_sum(num_ids):
    ids, values, sums = _slices(num_ids, 40, 3)
    merged = merge_rows(tf.IndexedSlices(tf.constant(values), tf.constant(ids), (40, 3)))
    first_occurrence = list(dict.fromkeys(ids.tolist()))
    np.testing.assert_array_equal(merged.ids, first_occurrence)
    np.testing.assert_allclose(merged.values, sums[first_occurrence], atol=2e-6)


def test_merge_rows_takes_a_number_of_ids_known_only_when_it_runs():
    ids, values, sums = _slices(50, 40, 3)
    spec = (tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 3], tf.float32))

    @tf.function(input_signature=spec)
    def merge(i, v):
        return merge_rows(tf.IndexedSlices(v, i, (40, 3)))

    merged = merge(ids, values)
    np.testing.assert_allclose(merged.values, sums[merged.ids.numpy()], atol=2e-6)


def test_sums_of_bfloat16_slices_are_float32():
    ids = tf.zeros([1000], tf.int32)
    values = tf.ones([1000, 1], tf.bfloat16)
    # In bfloat16 the sum would stop at 256, where 1 is half a unit in the last place.
    assert merge_dense(ids, values, 1).numpy() == 1000.0
    assert merge_rows(tf.IndexedSlices(values, ids, (1, 1))).values.numpy() == 1000.0


def test_merging_gives_the_same_bits_every_time():
    ids, values, _ = _slices(80_000, 4000, 2)
    dense = merge_dense(ids, values, 4000).numpy()
    slices = tf.IndexedSlices(tf.constant(values), tf.constant(ids), (4000, 2))
    rows = merge_rows(slices)
    for _ in range(10):
        np.testing.assert_array_equal(merge_dense(ids, values, 4000), dense)
        again = merge_rows(slices)
        np.testing.assert_array_equal(again.ids, rows.ids)
        np.testing.assert_array_equal(again.values, rows.values)
    np.testing.assert_array_equal(rows.values, dense[rows.ids.numpy()])


def test_dense_updates_are_for_tables_of_up_to_eight_rows_per_id():
    assert use_dense_update(8000, 1000)
    assert not use_dense_update(8001, 1000)
