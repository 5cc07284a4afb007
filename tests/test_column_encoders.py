import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from trainer.column_encoders import build_encoder
from trainer.columns import COLUMN_KINDS
from trainer.schema import Schema
from trainer.statistics import StatisticsBuilder
from trainer.tallies import Bag

OPTIONS = {
    "bucketized": {"quantiles": 2},
    "identity": {"size": 3},
    "vector": {"size": 1},
    "geo": {"from_point": ["a", "b"], "to_point": ["c", "d"], "distances": ["haversine"]},
}
ENCODERS = {
    "numeric": "NumericEncoder",
    "vector": "VectorEncoder",
    "bucketized": "BucketizedEncoder",
    "categorical": "CategoricalEncoder",
    "identity": "IdentityEncoder",
    "boolean": "BooleanEncoder",
    "multi_hot": "MultiHotEncoder",
    "text": "TextEncoder",
    "datetime": "DatetimeEncoder",
    "geo": "GeoEncoder",
    "weight": None,
    "key": None,
    "ignore": None,
}


def _statistics():
    """Of the number x, its distance, the vector x and the text x."""
    row_ids, numbers = np.arange(40, dtype=np.uint64), np.arange(40.0)
    of_numbers = StatisticsBuilder(["x", "x.haversine", "x.0"], [], "y")
    of_numbers.add({"x": numbers, "x.haversine": numbers, "x.0": numbers, "y": numbers}, row_ids)
    of_texts = StatisticsBuilder([], ["x"], "y")
    of_texts.add({"x": pa.array(["a", "b"] * 20), "y": numbers}, row_ids)
    of_bags = StatisticsBuilder([], [], "y", bags=["x"])
    bag = Bag(np.array([40]), np.array([2]), pa.array(["a", "b"]))
    of_bags.add({"x": bag, "y": numbers}, row_ids)
    return dataclasses.replace(
        of_numbers.finalize(), tokens=of_texts.finalize().tokens, bags=of_bags.finalize().bags
    )


def _build(column, vocabulary=()):
    label = {"column": "y", "task": "binary"}
    schema = Schema(columns={"x": column, "other": "numeric"}, label=label)
    return build_encoder(
        "x",
        schema.columns["x"],
        statistics=_statistics(),
        default_dim="auto",
        vocabulary=vocabulary,
    )


@pytest.mark.parametrize("kind", COLUMN_KINDS)
def test_every_kind_has_its_encoder_or_is_no_feature(kind):
    encoder = _build({"kind": kind} | OPTIONS.get(kind, {}))

    assert (type(encoder).__name__ if encoder else None) == ENCODERS[kind]


@pytest.mark.parametrize(
    ("options", "num_ids"),
    [
        ({"vocabulary": ["p", "q", "r"]}, 2 + 3),
        ({"vocabulary_file": "tokens.txt"}, 2 + 1),
        ({"hash_buckets": 9}, 1 + 9),
    ],
)
def test_tokens_come_from_the_data_the_schema_the_file_or_a_hash(options, num_ids):
    column = {"kind": "categorical"} | options

    encoder = _build(column, vocabulary=("z",))

    assert encoder.id_features[0].size == num_ids
