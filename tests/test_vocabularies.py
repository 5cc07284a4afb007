"""trainer.vocabularies: which tokens enter, and their ids."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer.columns import Categorical, MultiHot
from trainer.errors import UserError
from trainer.schema import Schema
from trainer.statistics import StatisticsBuilder
from trainer.tallies import Bag
from trainer.vocabularies import Vocabulary, choose_vocabulary, read_vocabularies


def _statistics(tokens):
    builder = StatisticsBuilder([], ["c"], "y")
    column = pa.array(tokens, pa.string())
    ids = np.arange(len(tokens), dtype=np.uint64)
    builder.add({"c": column, "y": np.zeros(len(tokens))}, ids)
    return builder.finalize()


def test_a_vocabulary_is_sorted_by_count_and_then_by_token():
    statistics = _statistics(["b"] * 3 + ["a"] * 3 + ["c"] * 5 + ["d", None, ""])

    tokens = choose_vocabulary({"c": Categorical(min_frequency=2)}, statistics)

    assert tokens == ["c", "a", "b"]
    assert choose_vocabulary({"c": Categorical(min_frequency=1, top_k=2)}, statistics) == ["c", "a"]


@pytest.mark.parametrize(
    ("num_rows", "least"), [(100, 1), (500, 5), (1000, 10), (50_000, 10), (100_000, 20)]
)
def test_the_automatic_frequency_follows_the_rows(num_rows, least):
    counts = {"enough": least, "few": least - 1}
    tokens = [token for token, count in counts.items() for _ in range(count)]

    statistics = _statistics(tokens + ["rest"] * (num_rows - len(tokens)))

    vocabulary = choose_vocabulary({"c": Categorical()}, statistics)
    assert sorted(vocabulary) == ["enough", "rest"]


def test_a_vocabulary_without_tokens_is_warned_of(caplog):
    tokens = choose_vocabulary({"c": Categorical(min_frequency=9)}, _statistics(["a", "b"]))

    assert tokens == []
    assert "c: no value stands in 9 rows or more, so all are out of vocabulary" in caplog.text
    ids = Vocabulary(Categorical(), tokens).ids_of(tf.constant(["a", ""]))
    assert ids.numpy().tolist() == [1, 0]


def test_an_all_missing_category_is_an_error():
    with pytest.raises(UserError, match="every training value of 'c' is missing; a feature needs"):
        choose_vocabulary({"c": Categorical()}, _statistics(["", None]))


def test_statistics_of_another_schema_are_an_error():
    with pytest.raises(UserError, match="the statistics have no tokens of 'z'"):
        choose_vocabulary({"x": Categorical(source="z")}, _statistics(["a"]))


def _bag_statistics(**bags):
    """Of columns of tags, a text of all its values each."""
    builder = StatisticsBuilder([], ["home"], "y", bags=list(bags))
    columns = {
        name: Bag(np.array([1]), np.array([len(v)]), pa.array(v)) for name, v in bags.items()
    }
    columns |= {"home": pa.array(["b", "b", "c"]), "y": np.zeros(3)}
    builder.add(columns, np.arange(3, dtype=np.uint64))
    return builder.finalize()


def test_columns_of_one_embedding_count_together():
    statistics = _bag_statistics(visits=["a", "b", "a", "d"])
    columns = {
        "home": Categorical(min_frequency=2, shared_embedding="city"),
        "visits": MultiHot(min_frequency=2, shared_embedding="city"),
    }

    # b: 2 + 1, a: 0 + 2; c and d once.
    assert choose_vocabulary(columns, statistics) == ["b", "a"]
    assert choose_vocabulary({"visits": MultiHot(min_frequency=1)}, statistics) == ["a", "b", "d"]


def test_statistics_without_the_bag_are_an_error():
    with pytest.raises(UserError, match="the statistics have no tokens of 'home'"):
        choose_vocabulary({"home": MultiHot()}, _bag_statistics(visits=["a"]))


def _schema(path):
    columns = {"city": {"kind": "multi_hot", "vocabulary_file": str(path)}}
    return Schema(columns=columns, label={"column": "y", "task": "regression"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "v.txt has no token; expected one a line"),
        ("a\nb\na", "v.txt has 'a' twice; a token"),
    ],
)
def test_a_bad_vocabulary_file_is_named(tmp_path, text, message):
    (tmp_path / "v.txt").write_text(text)
    schema = _schema(tmp_path / "v.txt")

    with pytest.raises(UserError, match=message):
        read_vocabularies(schema)


def test_an_absent_vocabulary_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="none"):
        read_vocabularies(_schema(tmp_path / "none.txt"))
