"""trainer.kept_weights: what is copied, against copies in numpy."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.kept_weights import KeptWeights
from trainer.lookups import Lookup
from trainer.optimizers import Parameter
from trainer.tables import Table


@pytest.fixture
def table():
    return Table(200, 2, initializer_sd=1.0, name="table", dense_update=False)


def make(table):
    matrix = tf.Variable([[1.0, 2.0]])
    parameters = [
        Parameter(matrix, "deep", "matrix"),
        Parameter(table.variable, "deep", "table", dense_update=False),
    ]
    lookup = Lookup(table, (0, 2), np.array([0, 100], np.int32))
    return matrix, KeptWeights(parameters, {1: lookup})


def ids_of(*rows):
    """One step of one row each."""
    return np.array(rows, np.int32)[:, np.newaxis]


def test_everything_is_copied_and_comes_back(table):
    matrix, kept = make(table)
    matrix.assign([[3.0, 4.0]])
    table.variable.assign(tf.ones((200, 2)))
    kept.capture()
    matrix.assign([[5.0, 6.0]])
    table.variable.assign(tf.zeros((200, 2)))
    kept.restore()
    np.testing.assert_array_equal(matrix, [[3.0, 4.0]])
    np.testing.assert_array_equal(table.variable, np.ones((200, 2)))


def test_later_only_the_rows_that_steps_moved_are_copied(table):
    matrix, kept = make(table)
    kept.note(ids_of((0, 9, 0)), 0)
    kept.capture()
    before = kept.copies[1].numpy()
    matrix.assign([[7.0, 8.0]])
    table.variable.assign(np.full((200, 2), 5.0))  # rows that no step reports stay behind
    kept.note(ids_of((3, 9, 50), (4, 9, 50)), 1)
    kept.note(ids_of((3, 9, 51)), 3)
    kept.capture()
    expected = before.copy()
    expected[[3, 4, 150, 151]] = 5.0
    np.testing.assert_array_equal(kept.copies[1], expected)
    np.testing.assert_array_equal(kept.copies[0], [[7.0, 8.0]])
    kept.capture()
    np.testing.assert_array_equal(kept.copies[1], expected)


def test_many_moved_rows_are_copied_with_all_others(table):
    _, kept = make(table)
    kept.note(ids_of((0, 0, 0)), 0)
    kept.capture()
    table.variable.assign(np.full((200, 2), 5.0))
    kept.note(ids_of(*((i, 0, 0) for i in range(25))), 1)  # 25 and one of 200: an eighth
    kept.capture()
    np.testing.assert_array_equal(kept.copies[1], np.full((200, 2), 5.0))


def test_steps_that_do_not_follow_the_last_ones_count_as_having_moved_everything(table):
    """A checkpoint has been restored in between."""
    _, kept = make(table)
    kept.note(ids_of((0, 0, 0)), 0)
    kept.capture()
    table.variable.assign(np.full((200, 2), 5.0))
    kept.note(ids_of((0, 0, 0)), 0)
    kept.capture()
    np.testing.assert_array_equal(kept.copies[1], np.full((200, 2), 5.0))
