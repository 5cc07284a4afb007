"""trainer.lookups: look-ups against numpy, and rows that are held, moved and written back."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from tiny_table import ROWS, make_config, make_program, make_rows

from trainer import lookups
from trainer.encoders import IdFeature
from trainer.lookups import (
    held_instead,
    make_lookups,
    merge_ids,
    read_rows,
    select_columns,
    write_rows,
)
from trainer.tables import Table

OPTIMIZERS = ["ftrl", "adam", "adamw", "adagrad", "sgd"]


def feature(name, size):
    return IdFeature(name, size, wide=True, embedding_dim=2)


def make(features, batch_size=100):
    normal = functools.partial(Table, initializer_sd=1.0, seed=3)
    return make_lookups(features, 2, batch_size, normal, "table")


def test_features_of_many_ids_have_a_table_of_their_own():
    features = [
        (0, feature("a", 5)),
        (2, feature("b", 32_769)),
        (3, feature("c", 32_768)),
    ]
    small, large = make(features)
    assert (small.columns, small.offsets.tolist()) == ((0, 3), [0, 5])
    assert (large.columns, large.offsets.tolist()) == ((2,), [0])
    assert [k.table.name for k in (small, large)] == ["table", "table_large"]
    assert [k.table.variable.shape for k in (small, large)] == [
        (32_773, 2),
        (32_769, 2),
    ]
    assert [k.table.id_spaces for k in (small, large)] == [(5, 32_768), (32_769,)]
    # 8 rows per id: 1,600 and 800 are fewer than the tables have.
    assert [k.table.dense_update for k in (small, large)] == [False, False]
    assert [k.table.dense_update for k in make(features, 4097)] == [True, True]


def test_rows_are_those_of_the_columns_behind_their_offsets():
    (lookup,) = make([(0, feature("a", 5)), (2, feature("b", 7))])
    ids = np.array([[4, 99, 6], [0, 99, 0]], np.int32)
    table = lookup.table.variable.numpy()
    expected = np.stack([table[ids[:, 0]], table[5 + ids[:, 2]]], axis=1)
    np.testing.assert_array_equal(lookup(tf.constant(ids)), expected)


def test_all_columns_are_the_tensor_itself():
    values = tf.zeros((2, 3))
    assert select_columns(values, (0, 1, 2)) is values
    assert select_columns(values, (2, 0)).shape == (2, 2)


def test_rows_are_read_and_written_back_once_an_id():
    variables = [
        tf.Variable(np.arange(20.0).reshape(10, 2)),
        tf.Variable(tf.ones((10, 2))),
    ]
    different, ids = merge_ids(tf.constant([[7, 3], [7, 9]]))
    assert different.numpy().tolist() == [7, 3, 9]
    assert ids.rows.numpy().tolist() == [7, 3, 9, 0]
    assert ids.position.numpy().tolist() == [0, 1, 0, 2]
    values = read_rows(ids.rows, variables)
    assert values[0].numpy().tolist() == [[14, 15], [6, 7], [18, 19], [0, 1]]
    write_rows(different, [v * 10 for v in values], variables)
    expected = np.arange(20.0).reshape(10, 2)
    expected[[3, 7, 9]] *= 10
    np.testing.assert_array_equal(variables[0], expected)
    assert variables[1].numpy()[:, 0].tolist() == [1, 1, 1, 10, 1, 1, 1, 10, 1, 10]


def test_look_ups_take_held_rows_within_the_block_only():
    (lookup,) = make([(0, feature("a", 5))])
    ids = tf.constant([[1], [4], [1]])
    before = lookup(ids).numpy()
    _, merged = merge_ids(lookup.ids(ids))
    (weights,) = read_rows(merged.rows, [lookup.table.variable])
    with held_instead({lookup.table: (weights + 1.0, merged.position)}):
        np.testing.assert_array_equal(lookup(ids), before + 1.0)
    np.testing.assert_array_equal(lookup(ids), before)


@pytest.fixture
def large_tables(monkeypatch):
    """Gives a program whose tables all have sparse updates, or all dense ones."""
    monkeypatch.setattr(lookups, "LARGE_FEATURE_IDS", 5)

    def make(is_sparse, **sections):
        monkeypatch.setattr(lookups, "use_dense_update", lambda rows, ids: not is_sparse)
        program = make_program(make_config(**sections))
        tables = [p for p in program.parameters if p.kind == "table"]
        assert [p.is_sparse for p in tables] == [is_sparse] * 5
        return program

    return make


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_compiled_steps_around_large_tables_move_what_dense_updates_move(
    large_tables, name, clip_norm
):
    options = {"wide_optimizer": name, "deep_optimizer": name, "clip_norm": clip_norm}
    rows = tf.constant(make_rows(9 * 8).reshape(9, 8, ROWS.width))
    results = []
    for is_sparse, xla in ((True, True), (False, False)):
        program = large_tables(is_sparse, optimizer=options, training={"xla": xla})
        losses = [*program.train(rows[:4], 0), *program.train(rows[4:], 4)]
        slots = [v.numpy() for s in program.optimizer.slots for v in s.values()]
        results.append([losses, *(p.variable.numpy() for p in program.parameters), *slots])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-6)


def test_a_large_table_is_never_read_as_a_whole(large_tables):
    """A table that is read is copied by its next update: its size would show in every step."""
    program = large_tables(True, training={"xla": True})
    rows, ids = tf.zeros((8, ROWS.width), tf.int32), {}
    for i, lookup in program._sparse.items():
        _, ids[i] = merge_ids(lookup.ids(rows[:, : ROWS.num_ids]))
    step = program._compiled_step.get_concrete_function(rows, tf.constant(0, tf.int64), ids)
    tables = {v.handle.ref() for i in program._sparse for v in program.optimizer.variables_of(i)}
    inside = {inner.name for outer, inner in step.graph.captures if outer.ref() in tables}
    ops = {op.type for op in step.graph.get_operations() if inside & {t.name for t in op.inputs}}
    assert len(inside) == len(tables) == 15
    assert ops == {"ResourceGather"}


def test_kept_weights_are_those_of_the_capture_with_large_tables_too(large_tables):
    """And so after each of several captures, of which all but the first copy moved rows only."""
    program = large_tables(True, training={"xla": True})
    rows = make_rows(9 * 8).reshape(9, 8, ROWS.width)
    for first, last in ((0, 4), (4, 5), (5, 9)):
        program.train(tf.constant(rows[first:last]), first)
        program.best.capture()
        for parameter, copy in zip(program.parameters, program.best.copies, strict=True):
            np.testing.assert_array_equal(copy, parameter.variable)
