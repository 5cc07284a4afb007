import pytest
from pydantic import ValidationError

from trainer.columns import Categorical, Geo, Numeric, RawColumn
from trainer.config import parse_config
from trainer.errors import UserError
from trainer.schema import Cross, Label, Schema, crossable_names

LABEL = {"column": "y", "task": "binary"}
TRIP = {"kind": "geo", "from_point": ["lat", "lon"], "to_point": ["lat2", "lon2"]}


def _schema(columns, crosses=(), label=LABEL):
    return Schema(columns=columns, crosses=crosses, label=label)


def test_a_kind_alone_stands_for_the_column():
    schema = _schema({"age": "numeric", "city": {"kind": "categorical", "hash_buckets": 5}})

    assert isinstance(schema.columns["age"], Numeric)
    assert schema.columns["city"].hash_buckets == 5


def test_serving_inputs_are_the_raw_columns_of_features():
    columns = {
        "age": "numeric",
        "age_cell": {"kind": "bucketized", "source": "age", "quantiles": 4},
        "city": "categorical",
        "floor": {"kind": "identity", "size": 9},
        "seen": {"kind": "datetime", "format": "epoch_seconds"},
        "day": "datetime",
        "trip": TRIP,
        "w": "weight",
        "id": "key",
        "other": "ignore",
    }

    assert _schema(columns).feature_inputs == (
        RawColumn("age", "float"),
        RawColumn("city", "string"),
        RawColumn("floor", "int"),
        RawColumn("seen", "int"),
        RawColumn("day", "string"),
        RawColumn("lat", "float"),
        RawColumn("lon", "float"),
        RawColumn("lat2", "float"),
        RawColumn("lon2", "float"),
    )


def test_a_raw_column_read_as_integer_and_as_number_is_a_number():
    columns = {"floor": {"kind": "identity", "size": 9}, "height": "numeric"}
    columns["height"] = {"kind": "numeric", "source": "floor"}

    assert _schema(columns).feature_inputs == (RawColumn("floor", "float"),)


def test_weight_key_and_kinds_are_found():
    schema = _schema({"age": "numeric", "w": {"kind": "weight", "source": "n"}, "id": "key"})

    assert (schema.weight, schema.key) == ("n", "id")
    assert list(schema.of_kind(Numeric, Categorical)) == ["age"]
    plain = _schema({"age": "numeric"})
    assert (plain.weight, plain.key) == (None, None)


def test_numeric_features_include_the_outputs_of_geo_columns():
    trip = TRIP | {"distances": ["haversine"], "numeric": {"buckets": 8}}
    schema = _schema({"age": "numeric", "trip": trip})

    features = schema.numeric_features

    assert list(features) == ["age", "trip.haversine"]
    assert features["trip.haversine"].buckets == 8
    assert list(schema.of_kind(Geo)) == ["trip"]


def test_counted_columns_are_raw_and_named_once():
    columns = {
        "a": "categorical",
        "b": {"kind": "categorical", "source": "a"},
        "c": {"kind": "categorical", "hash_buckets": 3},
    }

    assert _schema(columns).counted_columns == ("a",)


def test_names_that_crosses_may_use():
    columns = {
        "age": "numeric",
        "plain": {"kind": "numeric", "buckets": 0},
        "trip": TRIP | {"distances": ["haversine"]},
        "far": TRIP | {"distances": ["haversine"], "numeric": {"buckets": 0}},
        "day": {"kind": "datetime", "parts": ["hour"], "cyclic": ["month"]},
        "flag": "boolean",
    }

    assert crossable_names(_schema(columns)) == ["age", "trip.haversine", "day.hour", "flag"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": "weight", "b": "weight", "c": "numeric"}, "at most one column of kind weight"),
        ({"a": "key", "b": "key", "c": "numeric"}, "at most one column of kind key"),
        ({"y": "numeric"}, "the label 'y' is also a feature; a leak"),
        ({"a": {"kind": "numeric", "source": "y"}}, "the label 'y' is also a feature; a leak"),
        ({"a": "ignore"}, "columns: no column is a feature"),
        ({}, "columns: no column is a feature"),
        (
            {"a": "numeric", "w": {"kind": "weight", "source": "a"}},
            "the weight column 'a' is also a feature",
        ),
        (
            {"a": "categorical", "k": {"kind": "key", "source": "a"}},
            "the key column 'a' is also a feature",
        ),
        (
            {"a": "numeric", "w": {"kind": "weight", "source": "y"}},
            "the weight column 'y' is also the label",
        ),
        (
            {"a": "numeric", "w": "weight", "k": {"kind": "key", "source": "w"}},
            "the key column 'w' is also the weight",
        ),
        (
            {"a": "categorical", "b": {"kind": "numeric", "source": "a"}},
            "columns.b reads raw column 'a' as float, another column as string; let both read it",
        ),
    ],
)
def test_rules_between_columns(columns, message):
    with pytest.raises(ValidationError, match=message):
        _schema(columns)


@pytest.mark.parametrize(
    ("crosses", "message"),
    [
        ([{"columns": ["city", "stat"]}], "cross city_x_stat: 'stat' has no ids; did you mean"),
        ([{"columns": ["city", "q"]}], "cross city_x_q: 'q' has no ids; valid: city, state"),
        ([{"columns": ["city", "state"]}] * 2, "a cross stands twice: "),
        ([{"columns": ["city"]}], "a cross needs two or more different columns; got .'city'."),
        ([{"columns": ["city", "city"]}], "a cross needs two or more different columns"),
    ],
)
def test_rules_of_crosses(crosses, message):
    with pytest.raises(ValidationError, match=message):
        _schema({"city": "categorical", "state": "categorical"}, crosses)


def test_a_cross_without_any_ids_lists_none():
    columns = {"a": {"kind": "numeric", "buckets": 0}}

    with pytest.raises(ValidationError, match="cross a_x_b: 'a' has no ids; valid: none"):
        _schema(columns, [{"columns": ["a", "b"]}])


def test_a_cross_does_not_take_the_name_of_a_column():
    columns = {"a": "categorical", "b": "categorical", "a_x_b": "categorical"}

    with pytest.raises(ValidationError, match="a cross has the name of a column"):
        _schema(columns, [{"columns": ["a", "b"]}])


def test_the_name_of_a_cross_joins_its_columns():
    assert Cross(columns=["day.hour", "city"]).name == "day.hour_x_city"


def test_positive_is_for_classes():
    with pytest.raises(ValidationError, match="positive has a meaning only with task: binary"):
        Label(column="y", task="regression", positive="yes")


@pytest.mark.parametrize(
    ("columns", "crosses", "key"),
    [
        ({"c": {"kind": "categorical", "hash_buckets": 2**31}}, [], "hash_buckets"),
        ({"c": {"kind": "categorical", "oov_buckets": 2**31}}, [], "oov_buckets"),
        ({"c": {"kind": "identity", "size": 2**31}}, [], "size"),
        ({"c": "boolean", "d": "boolean"}, [{"columns": ["c", "d"], "bins": 2**31}], "bins"),
    ],
)
def test_ids_stay_within_int32(columns, crosses, key):
    values = {"columns": columns, "crosses": crosses, "label": {"column": "y", "task": "binary"}}
    with pytest.raises(UserError, match=rf"{key} must be at most 1073741824"):
        parse_config(values, "c.yaml")
