"""trainer.example_records: its bytes, read by protocol buffers' own parser."""

import math
import random

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer.errors import UserError
from trainer.example_records import example_records


def parsed(table):
    """Name -> (kind, values) of each record."""
    found = []
    for record in example_records(table):
        example = tf.train.Example.FromString(record)
        # What a parser skips as unknown is not there in what it writes.
        assert example.ByteSize() == len(record)
        features = example.features.feature
        kinds = {name: features[name].WhichOneof("kind") for name in sorted(features)}
        found.append({n: (k, list(getattr(features[n], k).value)) for n, k in kinds.items()})
    return found


def expected(columns):
    """The same from plain lists, by column (kind, values of each row)."""
    rows = zip(*(values for _, values in columns.values()), strict=True)
    return [
        {
            name: (kind, value if isinstance(value, list) else [value])
            for (name, (kind, _)), value in sorted(zip(columns.items(), row, strict=True))
            if value is not None
        }
        for row in rows
    ]


def test_random_tables_are_what_protocol_buffers_read():
    rng = random.Random(5)
    num_rows = 300

    def with_nulls(draw):
        return [None if rng.random() < 0.2 else draw() for _ in range(num_rows)]

    ints = with_nulls(lambda: rng.choice([0, 1, -1, 127, 128, 300, 2**63 - 1, -(2**63)]))
    floats = with_nulls(lambda: float(np.float32(rng.uniform(-1e9, 1e9))))
    texts = with_nulls(
        lambda: rng.choice([b"", "caf\u00e9".encode(), b"\xff" * 127, b"y" * 20_000])
    )
    lists = with_nulls(lambda: [rng.randrange(-(10**12), 10**12) for _ in range(rng.randrange(4))])
    vectors = with_nulls(lambda: [float(rng.randrange(100)) for _ in range(rng.randrange(200))])
    tags = with_nulls(lambda: [b"t" * rng.randrange(300) for _ in range(rng.randrange(3))])
    columns = {
        "i" * 200: ("int64_list", ints),
        "f": ("float_list", floats),
        "\u6771\u4eac": ("bytes_list", texts),
        "lists": ("int64_list", lists),
        "vectors": ("float_list", vectors),
        "tags": ("bytes_list", tags),
    }
    types = [pa.int64(), pa.float64(), pa.binary(), pa.list_(pa.int64())]
    types += [pa.list_(pa.float32()), pa.list_(pa.binary())]
    arrays = [pa.array(v, t) for (_, v), t in zip(columns.values(), types, strict=True)]
    assert parsed(pa.table(arrays, list(columns))) == expected(columns)


def test_missing_numbers_are_no_feature_and_nan_is_one():
    first, second = parsed(pa.table({"x": pa.array([float("nan"), None])}))
    assert math.isnan(first["x"][1][0])
    assert second == {}


def test_what_a_record_cannot_hold_is_refused():
    with pytest.raises(UserError, match="column 's' has type struct"):
        list(example_records(pa.table({"s": [{"a": 1}]})))
    with pytest.raises(UserError, match=r"column 'n': a tf.Example has no null within a list"):
        list(example_records(pa.table({"n": [[1, None]]})))
