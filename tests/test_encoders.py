import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer.encoders import (
    IdFeature,
    describe_ids,
    fixed_width_bytes,
    id_feature,
    integer_tensor,
    remembered,
    take_decoded,
    to_floats,
    to_integers,
)
from trainer.transforms import MISSING_TIME


def _feature(size, **options):
    given = {"towers": ("wide", "deep"), "embedding_dim": "auto", "default": "auto"} | options
    return id_feature("f", size, **given)


@pytest.mark.parametrize(("size", "width"), [(2, 2), (16, 2), (17, 3), (81, 3), (10_000, 10)])
def test_the_automatic_width_is_the_fourth_root_rounded_up(size, width):
    assert _feature(size).embedding_dim == width


def test_a_columns_own_width_goes_before_the_default():
    assert _feature(99, default=8).embedding_dim == 8
    assert _feature(99, default=8, embedding_dim=5).embedding_dim == 5


def test_towers_decide_what_an_id_is_for():
    assert _feature(9, towers=("wide",)) == IdFeature("f", 9, wide=True, embedding_dim=0)
    assert _feature(9, towers=("deep",)) == IdFeature("f", 9, wide=False, embedding_dim=2)


def test_descriptions_say_where_an_id_goes():
    assert describe_ids(_feature(9), "why") == "f: 9 ids (why); wide, embedding 2"
    assert describe_ids(_feature(9, towers=()), "why") == "f: 9 ids (why); crosses only"


@pytest.mark.parametrize("dtype", [pa.float32(), pa.float64(), pa.int64()])
def test_null_numbers_are_nan(dtype):
    floats = to_floats(pa.array([1, None, 3], dtype))

    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, [1, np.nan, 3])


def test_null_integers_are_the_missing_one():
    for column in (pa.array([1, None, -3], pa.int64()), pa.array([1.7, np.nan, -3.0])):
        assert to_integers(column).tolist() == [1, MISSING_TIME, -3]


def test_integers_arrive_as_they_are_and_floats_are_cut():
    assert integer_tensor(tf.constant([5], tf.int64)).numpy().tolist() == [5]
    floats = tf.constant([2.0, np.inf, np.nan])
    assert integer_tensor(floats).numpy().tolist() == [2, MISSING_TIME, MISSING_TIME]


@pytest.mark.parametrize("encode", [lambda a: a, lambda a: a.dictionary_encode()])
def test_texts_are_decoded_once_for_each_distinct_one(encode):
    seen = []

    def length(text_V):
        seen.extend(text_V.numpy().tolist())
        return tf.strings.length(text_V)

    column = encode(pa.array(["aa", "b", None, "aa", "\u00e9", ""]))

    memory = remembered(length, np.int32)
    assert take_decoded(column, memory, missing=-7).tolist() == [2, 1, -7, 2, 2, 0]
    assert sorted(seen) == [b"", b"aa", b"b", "\u00e9".encode()]


def test_nulls_of_a_slice_are_found():
    texts = [None, "a", None, "bb", "", None, "a", None, "bb", None, "a"] * 3
    for start in range(10):
        column = pa.array(texts)[start : start + 20]
        decoded = take_decoded(column, remembered(tf.strings.length, np.int32), missing=-1)
        assert decoded.tolist() == [-1 if t is None else len(t) for t in texts[start : start + 20]]


def test_columns_of_no_rows_and_of_nulls_only_decode():
    for column in (pa.array([], pa.string()), pa.array([None], pa.string())):
        decoded = take_decoded(column, remembered(tf.strings.length, np.int32), missing=9)
        assert decoded.tolist() == [9] * len(column)


def test_equally_long_texts_are_a_view_of_arrows_buffer():
    column = pa.array(["xx", "2013-05", "2014-06", "2015-07"])[1:]

    data = fixed_width_bytes(column, 4)

    assert data.tobytes() == b"201320142015"
    assert not data.flags.owndata


@pytest.mark.parametrize(
    "texts",
    [
        ["2013", "2014-06", None, "20", "", "\u00e92013"],
        [None, None],
        ["20", "21"],
        [],
    ],
)
def test_other_texts_are_cut_and_padded_with_spaces(texts):
    rows = fixed_width_bytes(pa.array(["x", *texts], pa.string())[1:], 4)

    expected = [(text or "").encode()[:4].ljust(4) for text in texts]
    assert [row.tobytes() for row in rows] == expected
