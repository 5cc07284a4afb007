"""trainer.id_columns: what the options allow, and formats of datetimes."""

import pytest
from pydantic import ValidationError

from trainer.columns import (
    Categorical,
    Datetime,
    parse_datetime_format,
)
from trainer.config import parse_config
from trainer.errors import UserError
from trainer.schema import Schema

POINTS = {"from_point": ("a", "b"), "to_point": ("c", "d")}


def test_ids_of_a_category_have_one_source():
    with pytest.raises(
        ValidationError, match="at most one of vocabulary, vocabulary_file, hash_buckets; got"
    ):
        Categorical(vocabulary=["a"], hash_buckets=4)


def test_a_token_stands_once():
    with pytest.raises(ValidationError, match="vocabulary names a token twice"):
        Categorical(vocabulary=["a", "b", "a"])


def test_only_a_vocabulary_from_the_data_needs_counts():
    assert Categorical().needs_counts
    assert not Categorical(vocabulary=["a"]).needs_counts
    assert not Categorical(vocabulary_file="v.txt").needs_counts
    assert not Categorical(hash_buckets=9).needs_counts


def test_numbers_in_a_vocabulary_are_texts():
    assert Categorical(vocabulary=[1, 2]).vocabulary == ("1", "2")


def test_datetime_format_gives_offsets_and_width():
    positions, width = parse_datetime_format("%d.%m.%Y um %H:%M:%S")

    assert width == 22
    assert positions == {"d": (0, 2), "m": (3, 2), "Y": (6, 4)} | {
        "H": (14, 2),
        "M": (17, 2),
        "S": (20, 2),
    }


def test_offsets_count_bytes():
    assert parse_datetime_format("\u00e9%Y") == ({"Y": (2, 4)}, 6)


@pytest.mark.parametrize("pattern", ["%Y-%j", "%Y %Y", "%Y%"])
def test_unknown_and_repeated_directives_are_named(pattern):
    with pytest.raises(ValueError, match=r"is not one of %Y, %m, %d, %H, %M, %S, or stands twice"):
        parse_datetime_format(pattern)


def test_a_format_without_year_is_an_error_of_the_column():
    with pytest.raises(ValidationError, match="datetime format '%H:%M' has no %Y"):
        Datetime(format="%H:%M")


def test_epoch_formats_have_no_directives():
    assert Datetime(format="epoch_milliseconds").is_epoch
    assert not Datetime().is_epoch


SHARED = {"home": {"kind": "categorical"}, "visits": {"kind": "multi_hot"}, "n": "numeric"}


def _schema(**options):
    columns = dict(SHARED)
    for name, more in options.items():
        columns[name] = columns.get(name, {}) | {"shared_embedding": "city"} | more
    return Schema(columns=columns, label={"column": "y", "task": "regression"})


def test_columns_that_share_an_embedding_are_known_together():
    schema = _schema(home={"top_k": 5}, visits={"top_k": 5})
    assert list(schema.sharing("visits")) == ["home", "visits"]
    assert list(schema.sharing("n")) == ["n"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"home": {}}, "columns.home.shared_embedding 'city' is of one column only; give it to an"),
        (
            {"home": {}, "floor": {"kind": "identity", "size": 4}},
            "have one shared_embedding, but their ids are of different kinds, categorical and iden",
        ),
        (
            {"home": {"hash_buckets": 9}, "visits": {}},
            "columns.visits.hash_buckets is None, that of columns.home is 9; with one shared_embe",
        ),
        (
            {"home": {"embedding_dim": 4}, "visits": {"embedding_dim": 8}},
            "columns.visits.embedding_dim is 8, that of columns.home is 4",
        ),
        (
            {"home": {"towers": ["wide"]}, "visits": {}},
            "shared_embedding has an effect only with deep among the towers",
        ),
    ],
)
def test_columns_of_one_embedding_have_the_same_ids_and_width(options, message):
    with pytest.raises(ValidationError) as caught:
        _schema(**options)
    # Which of the two is named first follows the order of the columns.
    assert message in str(caught.value).replace(
        "identity and categorical", "categorical and identity"
    )


def test_options_of_embeddings_need_a_deep_part():
    columns = {n: {"kind": "categorical", "shared_embedding": "city"} for n in ("a", "b")}
    values = {"columns": columns, "label": {"column": "y", "task": "regression"}}
    parse_config(values, "test")
    message = "columns.a.shared_embedding has an effect only with a deep part; model.towers is wide"
    with pytest.raises(UserError, match=message):
        parse_config(values | {"model": {"towers": "wide"}}, "test")
