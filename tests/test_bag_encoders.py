"""trainer.bag_encoders: ids of tags and texts in a block and in serving."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer.bag_columns import MOST_AUTO_TOKENS, MOST_AUTO_VALUES
from trainer.bag_encoders import BagSplitter, MultiHotEncoder, TextEncoder
from trainer.columns import MultiHot, Text
from trainer.encoders import IdFeature
from trainer.errors import UserError
from trainer.statistics import StatisticsBuilder


def _statistics(column, texts):
    builder = StatisticsBuilder([], [], "y", bags=["c"])
    split = BagSplitter("c", column)
    for start in range(0, len(texts), 3):
        part = texts[start : start + 3]
        ids = np.arange(start, start + len(part), dtype=np.uint64)
        bag = split({"c": pa.array(part, pa.string())})
        builder.add({"c": bag, "y": np.zeros(len(part))}, ids)
    return builder.finalize()


def _tags(texts, tokens=("red", "blue", "green"), **options):
    column = MultiHot(**options)
    statistics = _statistics(column, texts)
    return MultiHotEncoder("c", column, vocabulary=tokens, statistics=statistics, default_dim=4)


def _text(texts, **options):
    column = Text(**options)
    return TextEncoder("c", column, _statistics(column, texts), 4)


def _ids(encoder, texts):
    served = encoder.decode({"c": tf.constant([text or "" for text in texts])})
    ids = encoder.encode(served).ids["c"].numpy()
    for column in (pa.array(texts), pa.array(texts).dictionary_encode()):
        np.testing.assert_array_equal(
            encoder.encode(encoder.decode_block({"c": column})).ids["c"], ids
        )
    assert ids.dtype == np.int32
    return ids.tolist()


def _bucket(text, num_buckets):
    """FarmHash Fingerprint64 modulo the buckets: the same in every version and on every machine."""
    return int(tf.fingerprint([text]).numpy().view("<u8")[0, 0] % num_buckets)


def test_values_have_the_ids_of_a_category():
    encoder = _tags(["red|blue|x"])

    ids = _ids(encoder, ["blue| red", "mauve", "", None, " | ", "red|red|red|green"])

    assert ids == [[3, 2, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [2, 2, 2]]
    assert encoder.id_features == [IdFeature("c", 5, True, 4, slots=3, combiner="mean")]
    assert encoder.describe() == [
        "c: 5 ids (missing, 1 hash buckets, 3 tokens); wide, embedding 4, mean of up to 3"
    ]


def test_hash_buckets_need_no_vocabulary():
    encoder = _tags(["a,b"], hash_buckets=7, delimiter=",", combiner="sum")

    expected = [[1 + _bucket("a", 7), 1 + _bucket("zz", 7)]]
    assert _ids(encoder, ["a, zz"]) == expected
    assert encoder.id_features[0].combiner == "sum"


@pytest.mark.parametrize("kind", ["tags", "text"])
def test_slots_follow_the_longest_row_up_to_a_bound(kind, caplog):
    make, most = {"tags": (_tags, MOST_AUTO_VALUES), "text": (_text, MOST_AUTO_TOKENS)}[kind]
    options = {"ngrams": 1} if kind == "text" else {}
    long = "|".join(f"w{i}" for i in range(most + 1))

    assert make(["a|b", "a"], **options).id_features[0].slots == 2
    assert caplog.text == ""
    assert make([long, "a", long, None], **options).id_features[0].slots == most
    assert f"c: 2 of 4 training rows have more than {most} values" in caplog.text


def test_given_slots_cut_and_say_how_many_rows(caplog):
    encoder = _tags(["a|b|c", "a|b", "a"], max_values=1)

    assert "c: 2 of 3 training rows have more than 1 values" in caplog.text
    assert "raise max_values" in caplog.text
    assert _ids(encoder, ["blue|red", "green"]) == [[3], [4]]
    assert encoder.id_features[0].slots == 1
    assert _tags(["a"], max_values=5).id_features[0].slots == 5


def test_a_text_has_hashed_words_then_hashed_pairs():
    encoder = _text(["one two three"], hash_buckets=1000)

    grams = ["red", "wine", "red wine"]
    assert _ids(encoder, ["Red; WINE!", "..."]) == [
        [1 + _bucket(g, 1000) for g in grams] + [0, 0],
        [0] * 5,
    ]
    assert encoder.id_features == [IdFeature("c", 1001, True, 4, slots=5)]
    assert encoder.describe()[0].startswith(
        "c: 1001 ids (missing, 1000 hash buckets of 1- to 2-grams); wide"
    )


def test_statistics_count_rows_by_values_and_values_by_rows():
    column = MultiHot()
    texts = ["red|blue", None, "red", "red|blue", "", "blue|blue|green"]

    found = _statistics(column, texts).bags["c"]

    assert found.lengths == (2, 1, 2, 1)
    assert found.tokens == (("blue", 4), ("red", 3), ("green", 1))
    assert _statistics(MultiHot(hash_buckets=5), texts).bags["c"].tokens == ()
    assert _statistics(Text(), ["a b", "a b c"]).bags["c"].lengths == (0, 0, 0, 1, 0, 1)


@pytest.mark.parametrize(("make", "empty"), [(_tags, " | "), (_text, "...")])
def test_a_column_without_any_value_is_an_error(make, empty):
    with pytest.raises(UserError, match="every training value of 'c' is missing; a feature needs"):
        make([empty, None, ""])


def test_statistics_of_another_schema_are_an_error():
    other = StatisticsBuilder([], [], "y")
    other.add({"y": np.zeros(1)}, np.zeros(1, np.uint64))
    with pytest.raises(UserError, match="the statistics have no values of 'c'"):
        TextEncoder("c", Text(), other.finalize(), "auto")
