"""trainer.feature_names: ids say what rows of them held."""

import numpy as np
import pyarrow as pa

from trainer.config import parse_config
from trainer.feature_names import FeatureNames
from trainer.features import FeatureEncoder
from trainer.statistics import StatisticsBuilder

COLUMNS = {
    "city": {"kind": "categorical", "min_frequency": 1},
    "code": {"kind": "categorical", "hash_buckets": 4},
    "shelf": {"kind": "identity", "size": 3},
    "sold": {"kind": "boolean"},
    "price": {"kind": "bucketized", "edges": [1, 2.5]},
    "at": {"kind": "datetime", "parts": ["year", "month", "day_of_week", "hour", "minute_of_day"]},
}
CROSSES = [{"columns": ["city", "sold"], "bins": 50}, {"columns": ["city", "at.hour"], "bins": 10}]


def _encoder():
    schema = parse_config(
        {"columns": COLUMNS, "crosses": CROSSES, "label": {"column": "y", "task": "regression"}},
        "test",
    )
    builder = StatisticsBuilder(numbers=["price"], categories=["city"], label=None)
    cities = pa.array(["York", "York", "Bath"])
    builder.add({"price": np.array([1.0, 2.0, 3.0]), "city": cities}, np.arange(3, dtype=np.uint64))
    return schema, FeatureEncoder(schema, builder.finalize())


def test_the_id_of_a_row_is_named_by_what_the_row_held():
    schema, encoder = _encoder()
    names = FeatureNames(schema, encoder)
    rows = {
        "city": pa.array(["Bath", "Rome", None, "York"]),
        "code": pa.array(["x", "y", None, "x"]),
        "shelf": pa.array([0, 2, None, 7], pa.int64()),
        "sold": pa.array(["yes", "F", None, "maybe"]),
        "price": pa.array([0.5, 1.0, None, 2.5], pa.float32()),
        "at": pa.array(["2026-11-21 23:59:00", "1970-01-01 00:00:00", None, "2024-02-29 01:05:59"]),
    }

    ids = encoder.encode_block(rows).ids

    found = {f.name: names.of(f.name, ids[:, i].tolist()) for i, f in encoder.layout.placed_ids}
    assert found["city"] == ("Bath", "(other)", "(missing)", "York")
    assert found["code"][2] == "(missing)"
    assert found["code"][0] == f"(bucket {ids[0, 1]})"
    assert found["shelf"] == ("0", "2", "(missing)", "(missing)")
    assert found["sold"] == ("true", "false", "(missing)", "(missing)")
    assert found["price"] == ("below 1", "[1, 2.5)", "(missing)", "from 2.5")
    assert found["at.year"] == ("2026", "1970", "(missing)", "2024")
    assert found["at.month"] == ("11", "1", "(missing)", "2")
    assert found["at.day_of_week"] == ("Saturday", "Thursday", "(missing)", "Thursday")
    assert found["at.hour"] == ("23", "0", "(missing)", "1")
    assert found["at.minute_of_day"] == ("23:59", "00:00", "(missing)", "01:05")
    assert found["city_x_sold"][:2] == ("Bath x true", "(other) x false")
    assert found["city_x_at.hour"][0] == f"(bin {ids[0, -1]})"


def test_every_id_of_a_feature_has_a_name():
    names = FeatureNames(*_encoder())
    assert names.all_of("sold") == ("(missing)", "false", "true")
    assert names.all_of("city") == ("(missing)", "(other)", "York", "Bath")
    assert len(set(names.all_of("at.minute_of_day"))) == 1441
    assert len(set(names.all_of("city_x_sold"))) == 4 * 3
