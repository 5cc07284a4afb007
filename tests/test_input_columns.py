"""trainer.input_columns: what the reader is told of each raw column."""

import pytest

from trainer.config import parse_config
from trainer.errors import UserError
from trainer.input_columns import read_columns
from trainer.reader import ReadColumn


def make_config(columns, **sections):
    values = {"columns": columns, "label": {"column": "y", "task": "regression"}}
    return parse_config(values | sections, "test")


def columns_of(config):
    """Without what the reader advises, which the label's tests look at."""
    return tuple(column._replace(advice="") for column in read_columns(config))


def test_the_reader_is_told_types_and_rules():
    columns = {
        "when": "datetime",
        "age": {"kind": "numeric", "missing": "error"},
        "city": "categorical",
        "floor": {"kind": "identity", "size": 5},
        "trip": {
            "kind": "geo",
            "from_point": ["lat", "lon"],
            "to_point": ["lat2", "lon2"],
            "numeric": {"missing": "error"},
        },
        "w": "weight",
        "id": "key",
        "unused": "ignore",
    }
    data = {"split_column": "unused", "validation_fraction": 0.1}

    assert columns_of(make_config(columns, data=data)) == (
        ReadColumn("when", "string"),
        ReadColumn("age", "float", required=True),
        ReadColumn("city", "dictionary"),
        ReadColumn("floor", "int", minimum=0, maximum=4),
        *(ReadColumn(name, "float", required=True) for name in ("lat", "lon", "lat2", "lon2")),
        ReadColumn("id", "string"),
        ReadColumn("y", "float", required=True, role="label"),
        ReadColumn("w", "float", required=True, minimum=0, role="weight"),
        ReadColumn("unused", "string"),
    )


@pytest.mark.parametrize(
    ("label", "column"),
    [
        ({}, ReadColumn("y", "float", required=True, allowed=("0", "1"), role="label")),
        ({"positive": "yes"}, ReadColumn("y", "dictionary", required=True, role="label")),
    ],
)
def test_labels_of_classes_are_0_and_1_or_texts(label, column):
    config = make_config({"age": "numeric"}, label={"column": "y", "task": "binary"} | label)

    assert column in columns_of(config)


def test_a_split_column_is_read_as_text_even_if_it_is_a_category():
    data = {"split_column": "city", "validation_fraction": 0.1}

    columns = read_columns(make_config({"city": "categorical"}, data=data))

    assert columns[0] == ReadColumn("city", "string")


@pytest.mark.parametrize("name", ["age", "y"])
def test_a_split_column_that_is_a_number_is_an_error(name):
    data = {"split_column": name, "validation_fraction": 0.1}
    config = make_config({"age": "numeric"}, data=data)

    with pytest.raises(UserError, match=f"data.split_column '{name}' is read as a number by a"):
        read_columns(config)
