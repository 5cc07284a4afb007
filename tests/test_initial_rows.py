"""trainer.initial_rows: whose row each id gets."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.columns import Boolean, Categorical, Identity
from trainer.errors import UserError
from trainer.id_encoders import BooleanEncoder, CategoricalEncoder, IdentityEncoder
from trainer.initial_rows import TrainedColumn, initial_rows


def _category(*tokens, **options):
    return CategoricalEncoder("c", Categorical(**options), vocabulary=tokens, default_dim=2)


def _identity(size):
    return IdentityEncoder("c", Identity(size=size), 2)


def _rows_of(mine, theirs):
    """The other's ids, as rows of their numbers."""
    size = theirs.id_features[0].size
    rows = np.arange(size, dtype=np.float32)[:, np.newaxis]
    return initial_rows("c", mine, TrainedColumn(theirs, rows, "column d of m"))[:, 0].tolist()


def test_rows_are_taken_by_value(caplog):
    caplog.set_level("INFO")
    # There: 0 missing, 1 other, 2 a, 3 b, 4 c. Here x is unknown to it.
    assert _rows_of(_category("c", "x", "a"), _category("a", "b", "c")) == [0, 1, 4, 1, 2]
    assert "c: 2 of 3 values are known to column d of m" in caplog.text


def test_buckets_of_other_values_are_those_of_the_other_model():
    theirs = _category("a", oov_buckets=3)
    assert _rows_of(_category("a", oov_buckets=3), theirs) == [0, 1, 2, 3, 4]
    assert _rows_of(_category("a", oov_buckets=6), theirs) == [0, 1, 2, 3, 1, 2, 3, 4]
    # An unknown value gets the row of the bucket that the other model hashes it into.
    (found,) = theirs.ids_of(tf.constant(["x"])).numpy()
    assert _rows_of(_category("x"), theirs)[2] == found in (1, 2, 3)


def test_hashed_values_know_a_vocabulary():
    theirs = _category(hash_buckets=5)
    assert (
        _rows_of(_category("a", "b"), theirs)[2:]
        == theirs.ids_of(tf.constant(["a", "b"])).numpy().tolist()
    )
    assert _rows_of(_category(hash_buckets=5), theirs) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("theirs", [_category("a"), _category(hash_buckets=6)])
def test_buckets_begin_only_with_as_many(theirs):
    message = "columns.c.init_from: its 5 hash buckets can begin only with as many; column d of m"
    with pytest.raises(UserError, match=message):
        _rows_of(_category(hash_buckets=5), theirs)


def test_numbers_beyond_the_other_models_are_missing_there():
    assert _rows_of(_identity(4), _identity(2)) == [0, 1, 2, 0, 0]
    assert _rows_of(_identity(2), _identity(4)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (_category("1"), _identity(2)),
        (_identity(2), _category("1")),
        (_category("true"), BooleanEncoder("c", Boolean(), 2)),
    ],
)
def test_ids_of_another_kind_are_refused(mine, theirs):
    with pytest.raises(UserError, match="its ids are of another kind than those of column d of m"):
        _rows_of(mine, theirs)
