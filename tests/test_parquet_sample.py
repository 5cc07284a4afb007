"""trainer.init.parquet_sample: rows from all row groups, as the trainer reads them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.errors import UserError
from trainer.init.parquet_sample import sample_parquet


def test_parquet_rows_come_from_all_row_groups_as_the_trainer_reads_them(tmp_path):
    number = np.arange(10_000)
    table = pa.table(
        {
            "n": number,
            "x": np.where(number % 2, 0.5, 3.0),
            "flag": number % 3 == 0,
            "time": pa.array(number * 10**6, pa.timestamp("us")),
            "list": [[1]] * 10_000,
        }
    )
    for part in range(2):
        rows = table.slice(part * 5000, 5000)
        pq.write_table(rows, tmp_path / f"{part}.parquet", row_group_size=500)
    files = [str(tmp_path / f"{part}.parquet") for part in range(2)]
    sample = sample_parquet(files, 1000)
    numbers = [int(n) for n in sample.columns["n"].to_pylist()]
    assert np.bincount(np.array(numbers) // 500, minlength=20).min() == 50
    assert sample.total_rows == 10_000 and sample.is_counted and not sample.is_whole
    assert sample.unreadable == {"list": "list<element: int64>"}
    first = {name: column.to_pylist()[1] for name, column in sample.columns.items()}
    assert first == {"n": "1", "x": "0.5", "flag": "false", "time": "1970-01-01 00:00:01"}
    assert sample.columns["x"].to_pylist()[0] == "3"
    assert sample_parquet(files, 20_000).is_whole


def test_parquet_that_is_none_or_has_no_rows_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_text("a,b\n")
    with pytest.raises(UserError, match="is not a readable Parquet file"):
        sample_parquet([str(tmp_path / "a.parquet")], 10)
    empty = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.int64())})
    pq.write_table(empty, tmp_path / "b.parquet")
    with pytest.raises(UserError, match="has no rows"):
        sample_parquet([str(tmp_path / "b.parquet")], 10)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match="has 1 columns of plain values"):
        sample_parquet([str(tmp_path / "c.parquet")], 10)
