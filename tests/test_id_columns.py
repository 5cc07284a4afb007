"""trainer.id_columns: what the options allow, and formats of datetimes."""

import pytest
from pydantic import ValidationError

from trainer.columns import (
    Categorical,
    Datetime,
    parse_datetime_format,
)

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
