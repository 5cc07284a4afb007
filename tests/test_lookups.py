"""trainer.lookups: look-ups against numpy, and rows that are held, moved and written back."""

import functools
from types import MappingProxyType

import numpy as np
import pytest
import tensorflow as tf
from tiny_table import ROWS, make_config, make_program, make_rows

from trainer import lookups, table_plans
from trainer.encoders import IdFeature
from trainer.features import FeatureLayout
from trainer.lookups import (
    held_instead,
    make_lookups,
    merge_ids,
    read_rows,
    select_columns,
    write_rows,
)
from trainer.rows import RowLayout, pack_rows
from trainer.table_plans import deep_plans
from trainer.tables import Table

OPTIMIZERS = ["ftrl", "adam", "adamw", "adagrad", "sgd"]


def make(*features, batch_size=100, initial=MappingProxyType({}), table_sd=1.0):
    plans = deep_plans(FeatureLayout(features, ()))
    normal = functools.partial(Table, initializer_sd=table_sd, seed=3)
    return make_lookups(plans, batch_size, normal, initial)


def feature(name, size, **options):
    return IdFeature(name, size, wide=True, embedding_dim=2, **options)


def test_large_tables_against_the_batch_are_updated_by_rows():
    features = [feature("a", 5), feature("b", 32_769), feature("c", 32_768)]
    # 8 rows per id: 1,600 and 800 are fewer than the tables have.
    assert [k.table.dense_update for k in make(*features)] == [False, False]
    assert [k.table.dense_update for k in make(*features, batch_size=4097)] == [True, True]
    assert [k.table.id_spaces for k in make(*features)] == [((5, 1), (32_768, 1)), ((32_769, 1),)]


def test_rows_are_those_of_the_columns_behind_their_offsets():
    (lookup,) = make(feature("a", 5), IdFeature("wide", 100, True, 0), feature("b", 7))
    ids = np.array([[4, 99, 6], [0, 99, 0]], np.int32)
    table = lookup.table.variable.numpy()
    expected = np.stack([table[ids[:, 0]], table[5 + ids[:, 2]]], axis=1)
    np.testing.assert_array_equal(lookup(tf.constant(ids)), expected)


POOLED = {
    "mean": lambda rows: rows.mean(axis=0),
    "sum": lambda rows: rows.sum(axis=0),
    "sqrtn": lambda rows: rows.sum(axis=0) / np.sqrt(len(rows)),
}


@pytest.mark.parametrize("combiner", POOLED)
def test_several_ids_of_a_feature_become_one_row(combiner):
    features = [feature("a", 5), feature("tags", 7, slots=3, combiner=combiner), feature("b", 4)]
    (lookup,) = make(*features)
    ids = np.array([[4, 6, 2, 0, 3], [0, 5, 0, 0, 1], [1, 0, 0, 0, 2], [1, 3, 3, 3, 2]], np.int32)
    table = lookup.table.variable.numpy()
    # Three slots, of which those with 0 are empty; a row without any has the row of "missing".
    used = [[6, 2], [5], [0], [3, 3, 3]]
    tags = [POOLED[combiner](table[5 + np.array(row)]) for row in used]
    expected = np.stack([table[ids[:, 0]], tags, table[12 + ids[:, 4]]], axis=1)
    np.testing.assert_allclose(lookup(tf.constant(ids)), expected, rtol=1e-6)


def test_empty_slots_move_nothing():
    (lookup,) = make(feature("tags", 7, slots=3))
    with tf.GradientTape() as tape:
        rows = lookup(tf.constant([[6, 2, 0], [0, 0, 0]]))
        loss = tf.reduce_sum(rows[0]) + 10 * tf.reduce_sum(rows[1])
    gradient = tf.convert_to_tensor(tape.gradient(loss, lookup.table.variable)).numpy()
    expected = np.zeros((7, 2))
    expected[[6, 2]], expected[0] = 0.5, 10
    np.testing.assert_allclose(gradient, expected)


def test_gradients_of_a_shared_embedding_add_up():
    shared = {"shared": "city"}
    (lookup,) = make(feature("from", 6, **shared), feature("via", 6, slots=2, **shared))
    ids = tf.constant([[4, 4, 5], [1, 4, 0]])
    factors = np.random.default_rng(1).normal(size=(2, 2, 2)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(lookup(ids) * factors)
    gradient = tf.convert_to_tensor(tape.gradient(loss, lookup.table.variable)).numpy()
    expected = np.zeros((6, 2))
    expected[4] = factors[0, 0] + factors[0, 1] / 2 + factors[1, 1]
    expected[5] = factors[0, 1] / 2
    expected[1] = factors[1, 0]
    assert lookup.table.variable.shape == (6, 2)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_features_begin_with_given_rows_and_the_others_as_drawn():
    features = [feature("a", 5), feature("b", 4), feature("c", 3)]
    given = np.arange(8, dtype=np.float32).reshape(4, 2)
    (drawn,), (lookup,) = make(*features), make(*features, initial={"b": given})
    expected = drawn.table.variable.numpy()
    expected[5:9] = given
    np.testing.assert_array_equal(lookup.table.variable, expected)


def test_frozen_rows_take_no_gradient():
    trained, frozen = make(feature("a", 5), feature("b", 4, frozen=True))
    assert trained.table.trainable_variables
    assert not frozen.table.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(frozen(tf.constant([[1, 2]])))
    assert tape.gradient(loss, frozen.table.variable) is None


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
    (lookup,) = make(feature("a", 5))
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
    monkeypatch.setattr(table_plans, "LARGE_FEATURE_IDS", 5)

    def make(is_sparse, **sections):
        monkeypatch.setattr(lookups, "use_dense_update", lambda rows, ids: not is_sparse)
        program = make_program(make_config(**sections))
        tables = [p for p in program.parameters if p.kind == "table"]
        assert [p.is_sparse for p in tables] == [is_sparse] * 5
        return program

    return make


@pytest.mark.parametrize(
    ("name", "clip_norm"), [*((name, 0.0) for name in OPTIMIZERS), ("ftrl", 0.5), ("adam", 0.5)]
)
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
    for i, lookup in program.step.sparse.items():
        _, ids[i] = merge_ids(lookup.ids(rows[:, : ROWS.num_ids]))
    step = program.step._compiled.get_concrete_function(rows, tf.constant(0, tf.int64), ids)
    tables = {
        v.handle.ref() for i in program.step.sparse for v in program.optimizer.variables_of(i)
    }
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


BAGS = FeatureLayout(
    (
        feature("a", 9),
        IdFeature("tags", 40, True, 3, slots=4, combiner="sqrtn", shared="tag"),
        IdFeature("old", 40, True, 3, slots=2, shared="tag"),
        IdFeature("words", 30, True, 2, slots=3, combiner="sum"),
    ),
    (),
)


def _bag_rows(num_rows):
    """Packed rows of `BAGS`, of which some slots are empty, always the last ones."""
    rng = np.random.default_rng(4)
    parts = []
    for f in BAGS.ids:
        used = np.arange(f.slots) < rng.integers(
            0 if f.slots > 1 else 1, f.slots + 1, (num_rows, 1)
        )
        parts.append(rng.integers(1, f.size, (num_rows, f.slots)) * used)
    ids = np.concatenate(parts, axis=1).astype(np.int32)
    label = rng.normal(size=(num_rows, 1)).astype(np.float32)
    return pack_rows(ids, np.zeros((num_rows, 0), np.float32), label, np.ones(num_rows, np.float32))


@pytest.mark.parametrize("name", ["ftrl", "adam", "adagrad"])
def test_bags_train_in_large_tables_as_in_small_ones(name, monkeypatch):
    """Compiled around the rows of a step, and by whole tables in a trace."""
    monkeypatch.setattr(table_plans, "LARGE_FEATURE_IDS", 5)
    config = {"wide_optimizer": name, "deep_optimizer": name if name != "ftrl" else "adam"}
    rows = tf.constant(_bag_rows(6 * 8).reshape(6, 8, -1))
    results = []
    for is_sparse in (True, False):
        monkeypatch.setattr(lookups, "use_dense_update", lambda rows, ids, s=is_sparse: not s)
        program = make_program(
            make_config(optimizer=config, training={"xla": is_sparse}),
            layout=BAGS,
            rows=RowLayout(BAGS.num_ids, 0),
        )
        losses = program.train(rows, 0)
        results.append([losses, *(p.variable.numpy() for p in program.parameters)])
        assert any(p.is_sparse for p in program.parameters) == is_sparse
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-6)
