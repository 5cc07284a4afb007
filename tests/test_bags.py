"""trainer.bags: splitting against Python's own, and blocks against single texts."""

import functools
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer.bags import BagReader, split_ngrams, split_values, to_slots


def _texts(ragged):
    return [[value.decode() for value in row] for row in ragged.to_list()]


def words_of(text):
    """Runs of letters, marks and digits, by Python's tables."""
    kept = [c if unicodedata.category(c)[0] in "LMN" else " " for c in text.lower()]
    return "".join(kept).split(" ")


def ngrams_of(text, ngrams):
    words = [word for word in words_of(text) if word]
    starts = [range(len(words) - n + 1) for n in range(1, ngrams + 1)]
    return [" ".join(words[i : i + n]) for n, at in enumerate(starts, 1) for i in at]


@pytest.mark.parametrize(
    ("text", "delimiter", "values"),
    [
        ("red|blue", "|", ["red", "blue"]),
        (" red | dark blue\t|", "|", ["red", "dark blue"]),
        ("|| |\t|", "|", []),
        ("", "|", []),
        ("red|red|Red", "|", ["red", "red", "Red"]),
        ("a, b", ", ", ["a", "b"]),
        ("a b  c", " ", ["a", "b", "c"]),
        ("\u00a0a\u2003", "|", ["\u00a0a\u2003"]),
        ("a.b", ".", ["a", "b"]),
    ],
)
def test_values_stand_between_delimiters_without_blanks(text, delimiter, values):
    assert _texts(split_values(tf.constant([text]), delimiter)) == [values]


@pytest.mark.parametrize(
    "text",
    [
        "Red wine, red!",
        "Gr\u00f6\u00dfe \u00dcBER na\u00efve caf\u00e9s",
        "e\u0301te\u0301",
        "\u4f60\u597d, \u4e16\u754c 2024",
        "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e1a\u0e49\u0e32\u0e19",
        "don't a_b 3.5 x\u00b2 \u2460",
        "\u039f\u0394\u039f\u03a3 \u041f\u0440\u0418\u0432\u0435\u0422",
        "\U0001f600 smile\U0001f600s \0 nul",
        " \t\n",
        "",
    ],
)
@pytest.mark.parametrize("ngrams", [1, 2, 3])
def test_words_are_runs_of_letters_marks_and_digits(text, ngrams):
    assert _texts(split_ngrams(tf.constant([text]), ngrams)) == [ngrams_of(text, ngrams)]


def test_bytes_that_are_no_text_do_not_stop_serving():
    served = tf.constant([b"ab\xff\xfe cd", b"\xc3"])
    assert _texts(split_ngrams(served, 1)) == [["ab\ufffd\ufffd", "cd"], ["\ufffd"]]


def test_slots_are_the_first_ids_then_zeros():
    ids = tf.ragged.constant([[5, 6, 7], [], [8]], dtype=tf.int64)
    slots = to_slots(ids, 2)
    assert slots.dtype == tf.int32
    assert slots.numpy().tolist() == [[5, 6], [0, 0], [8, 0]]


@pytest.mark.parametrize("is_dictionary", [False, True])
def test_a_block_is_split_once_for_each_text(is_dictionary):
    seen = []

    def decode(texts):
        tf.py_function(lambda t: seen.append(t.numpy().tolist()), [texts], [])
        return split_values(texts, "|")

    column = pa.array(["a|b", None, "b", "a|b", "", "b"])
    bag = BagReader(decode).bag(column.dictionary_encode() if is_dictionary else column, True)

    assert seen == [[b"a|b", b"", b"b"]]
    assert bag.num_rows.tolist() == [2, 2, 2]
    assert bag.lengths.tolist() == [2, 0, 1]
    assert bag.values.to_pylist() == ["a", "b", "b"]


def test_slots_of_a_block_are_in_the_order_of_its_rows():
    reader = BagReader(lambda t: tf.stack([tf.strings.length(t), tf.ones_like(t, tf.int32)], 1))
    column = pa.array(["abc", None, "x", "abc"])
    np.testing.assert_array_equal(reader.slots(column[1:]), [[0, 1], [1, 1], [3, 1]])
    assert BagReader(lambda t: split_values(t, "|")).bag(column, False).values is None


def test_many_readers_are_no_retraced_function(caplog):
    for delimiter in "|;,/ :-+":
        bag = BagReader(functools.partial(split_values, delimiter=delimiter)).bag(
            pa.array([f"a{delimiter}b"]), has_values=True
        )
        assert bag.values.to_pylist() == ["a", "b"]
    assert caplog.text == ""
