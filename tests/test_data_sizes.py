"""trainer.jobs.data_sizes: rows estimated from heads of files, bytes counted by hand."""

import gzip

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from trainer.config import parse_config
from trainer.convert import convert
from trainer.jobs.data_sizes import estimate_rows, row_bytes, table_bytes

LINE = "12.5,2009-06-15 17:26:21,-73.84,40.72,-73.84,40.71,1,2009-06-15\n"


@pytest.mark.parametrize("num_lines", [1, 1000, 20_000])
def test_rows_of_csv_are_estimated_from_its_head(tmp_path, num_lines):
    path = tmp_path / "a.csv"
    path.write_text(LINE * num_lines)

    assert estimate_rows([str(path)] * 3) == pytest.approx(3 * num_lines, rel=0.01)


def test_rows_of_gzip_are_estimated_by_how_well_its_head_packs(tmp_path):
    path = tmp_path / "a.csv.gz"
    lines = [LINE.replace("12.5", str(i * 7919 % 100_003)) for i in range(100_000)]
    path.write_bytes(gzip.compress("".join(lines).encode()))

    assert estimate_rows([str(path)]) == pytest.approx(100_000, rel=0.2)


def test_rows_of_parquet_are_known(tmp_path):
    path = str(tmp_path / "a.parquet")
    parquet.write_table(pa.table({"a": list(range(12_345))}), path)

    assert estimate_rows([path]) == 12_345
    assert estimate_rows([]) == 0


@pytest.mark.parametrize(
    ("label", "num_labels"),
    [
        ({"task": "multiclass", "column": "y", "classes": ["a", "b", "c"]}, 1),
        ({"task": "multiclass", "columns": ["a", "b", "c"]}, 3),
        ({"task": "multilabel", "columns": ["a", "b"]}, 2),
        ({"task": "multilabel", "column": "y", "classes": ["a", "b"]}, 2),
    ],
)
def test_bytes_of_rows_of_several_labels(label, num_labels):
    config = parse_config({"columns": {"k": "boolean"}, "label": label}, "test")

    assert row_bytes(config) == 4 * (1 + num_labels + 1)


def test_bytes_of_rows_and_tables_by_hand():
    config = parse_config(
        {
            "columns": {
                "x": "numeric",
                "c": {"kind": "categorical", "hash_buckets": 10_000, "embedding_dim": 16},
                "d": {"kind": "identity", "size": 500, "towers": ["wide"]},
            },
            "crosses": [{"columns": ["c", "d"], "bins": 1_000_000}],
            "label": {"column": "y", "task": "regression"},
        },
        "test",
    )

    # x and its bucket, c, d, the cross; label and weight.
    assert row_bytes(config) == 4 * 7
    wide = 10_001 + 500 + 1_000_000
    assert table_bytes(config) == 12 * (wide + 10_001 * 16)


def test_columns_of_several_values_count_with_their_slots():
    values = {
        "columns": {
            "tags": {"kind": "multi_hot", "hash_buckets": 999, "towers": ["wide"]},
            "few": {"kind": "multi_hot", "max_values": 3, "towers": []},
            "note": {"kind": "text", "hash_buckets": 500, "embedding_dim": 2, "towers": ["deep"]},
        },
        "label": {"column": "y", "task": "regression"},
    }
    config = parse_config(values, "test")

    # 32 tags, 3, 64 words and pairs; label and weight.
    assert row_bytes(config) == 4 * (32 + 3 + 64 + 2)
    assert table_bytes(config) == 12 * (1000 + 500 * 2)


@pytest.mark.parametrize("suffix", ["tfrecord", "tfrecord.gz"])
def test_rows_of_tfrecord_are_estimated_by_its_records(tmp_path, suffix):
    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.normal(size=20_000), "t": ["a" * (i % 9) for i in range(20_000)]})
    parquet.write_table(table, tmp_path / "a.parquet")
    convert([str(tmp_path / "a.parquet")], str(tmp_path / f"a.{suffix}"))

    assert estimate_rows([str(tmp_path / f"a.{suffix}")] * 2) == pytest.approx(40_000, rel=0.02)
