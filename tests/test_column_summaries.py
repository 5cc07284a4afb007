"""trainer.column_summaries: what is counted of raw columns, with a label and without."""

import numpy as np
import pyarrow as pa
import pytest

from trainer.column_summaries import ColumnSummaries
from trainer.config import parse_config
from trainer.labels import LabelEncoder

COLUMNS = {
    "price": "numeric",
    "color": {"kind": "categorical"},
    "tags": {"kind": "multi_hot"},
    "at": {"kind": "datetime", "numbers": ["time_of_day"]},
    "v": {"kind": "vector", "size": 2},
    "lat": {"kind": "numeric", "towers": []},
    "lon": {"kind": "numeric", "towers": []},
    "trip": {"kind": "geo", "from_point": ["lat", "lon"], "to_point": ["lat", "lon"]},
}
ROWS = {
    "price": pa.array([1.0, None, 3.0, 0.0], pa.float32()),
    "color": pa.array(["red", "blue", None, "red"]).dictionary_encode(),
    "tags": pa.array(["a|b", "", "b", "b"]),
    "at": pa.array(["2026-01-01 06:00:00", "2026-01-01 18:00:00", None, "2026-01-01 12:00:00"]),
    "v": pa.FixedSizeListArray.from_arrays(pa.array(range(8), pa.float32()), 2),
    "lat": pa.array([40.0] * 4, pa.float32()),
    "lon": pa.array([-73.0] * 4, pa.float32()),
    "y": pa.array([1.0, 2.0, 3.0, 6.0], pa.float32()),
}


@pytest.mark.parametrize("has_label", [True, False])
def test_every_kind_of_column_is_counted(has_label):
    schema = parse_config(
        {"columns": COLUMNS, "label": {"column": "y", "task": "regression"}}, "test"
    )
    rows = ROWS if has_label else {name: column for name, column in ROWS.items() if name != "y"}
    columns = ColumnSummaries(schema, LabelEncoder(schema.label) if has_label else None)

    for start in (0, 1):
        part = {name: column.slice(start, 1 + 2 * start) for name, column in rows.items()}
        ids = np.arange(start, 2 * start + 1 + start, dtype=np.uint64)
        columns.take(columns.summarize(part, ids))
    found = columns.finalize()

    assert found.num_rows == 4
    price = found.numbers["price"]
    assert (price.count, price.missing, price.zeros, price.mean) == (3, 1, 1, 4 / 3)
    assert found.tokens["color"] == (("red", 2), ("blue", 1))
    assert found.bags["tags"].tokens == (("b", 3), ("a", 1))
    assert found.numbers["at.time_of_day"].mean == pytest.approx(12.0)
    assert found.numbers["v.1"].mean == np.mean([1, 3, 5, 7])
    assert found.numbers["trip.haversine"].maximum == 0.0
    assert (found.label.mean if has_label else found.label) == (3.0 if has_label else None)
