"""trainer.init.table_sample: rows from all over a table, each as it stands in the file."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.errors import UserError
from trainer.init import table_sample
from trainer.init.csv_dialect import Given
from trainer.init.table_sample import sample_csv, sample_parquet

ANY = Given()


def rows_text(first, last):
    return "".join(f'{i},"row {i}\nof ""{last}""",x{i % 7}\n' for i in range(first, last))


@pytest.fixture
def small_places(monkeypatch):
    """Nothing counts as small, and there are 20 places."""
    monkeypatch.setattr(table_sample, "WHOLE_BYTES", 0)
    monkeypatch.setattr(table_sample, "PLACES", 20)


def check_rows(sample, last):
    numbers = [int(text) for text in sample.columns["n"].to_pylist()]
    assert numbers == sorted(set(numbers))
    for number, text, token in zip(
        numbers, sample.columns["t"].to_pylist(), sample.columns["x"].to_pylist(), strict=True
    ):
        assert text == f'row {number}\nof "{last}"'
        assert token == f"x{number % 7}"
    return numbers


def test_small_table_is_read_whole_from_all_its_files(tmp_path):
    (tmp_path / "a.csv").write_text("n,t,x\n" + rows_text(0, 50))
    (tmp_path / "b.csv").write_text("n,t,x\n" + rows_text(50, 60))
    sample = sample_csv([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], 1000, ANY)
    assert (sample.num_rows, sample.total_rows) == (60, 60)
    assert sample.is_whole and sample.is_counted and not sample.num_misfits
    assert [int(n) for n in sample.columns["n"].to_pylist()] == list(range(60))


def test_rows_of_a_large_file_come_from_everywhere_and_are_whole(tmp_path, small_places):
    """Records hold quoted line breaks and quotes, so that most places begin within a value."""
    (tmp_path / "a.csv").write_text("n,t,x\n" + rows_text(0, 20_000))
    sample = sample_csv([str(tmp_path / "a.csv")], 2000, ANY)
    numbers = check_rows(sample, 20_000)
    assert 1500 < len(numbers) < 3000
    assert numbers[0] == 0 and numbers[-1] == 19_999
    tenths = np.bincount(np.array(numbers) // 2000, minlength=10)
    assert tenths.min() > 0.5 * len(numbers) / 10
    assert not sample.is_whole and not sample.is_counted and sample.num_places == 20
    assert abs(sample.total_rows - 20_000) < 400
    again = sample_csv([str(tmp_path / "a.csv")], 2000, ANY)
    assert again.columns == sample.columns


def test_places_are_spread_over_files_by_their_size(tmp_path, small_places):
    (tmp_path / "a.csv").write_text("n,t,x\n" + rows_text(0, 6_000))
    (tmp_path / "b.csv").write_text("n,t,x\n" + rows_text(6_000, 8_000).replace("8000", "6000"))
    sample = sample_csv([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], 800, ANY)
    numbers = np.array(check_rows(sample, 6_000))
    assert 0.15 < (numbers >= 6_000).mean() < 0.35


def test_packed_file_is_thinned_on_the_way(tmp_path, small_places):
    text = "n,t,x\n" + rows_text(0, 20_000)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    sample = sample_csv([str(tmp_path / "a.csv.gz")], 2000, ANY)
    numbers = check_rows(sample, 20_000)
    assert numbers[0] < 100 and numbers[-1] > 17_000
    assert np.bincount(np.array(numbers) // 2000, minlength=10).min() > 0
    assert abs(sample.total_rows - 20_000) < 400


def test_too_many_rows_of_a_small_file_are_chosen_by_a_hash(tmp_path):
    (tmp_path / "a.csv").write_text("n,t,x\n" + rows_text(0, 3_000))
    sample = sample_csv([str(tmp_path / "a.csv")], 1000, ANY)
    numbers = check_rows(sample, 3_000)
    assert len(numbers) == 1000 and sample.total_rows == 3000
    assert sample.is_counted and not sample.is_whole and sample.num_places == 0
    assert np.bincount(np.array(numbers) // 300, minlength=10).min() > 60


def test_columns_bound_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(table_sample, "MOST_CELLS", 300)
    (tmp_path / "a.csv").write_text("n,t,x\n" + rows_text(0, 3_000))
    assert sample_csv([str(tmp_path / "a.csv")], 1000, ANY).num_rows == 100


def test_rows_of_another_width_are_counted_and_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3\n4,5,6\n7,8\n")
    sample = sample_csv([str(tmp_path / "a.csv")], 100, ANY)
    assert sample.columns["a"].to_pylist() == ["1", "7"]
    assert sample.num_misfits == 2


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("a,c\n1,2\n", "b.csv has other columns than the first file, differing in b, c"),
        ("b,a\n1,2\n", "b.csv has its columns in another order"),
        ("", "b.csv is empty"),
    ],
)
def test_other_columns_in_a_further_file_are_refused(tmp_path, second, message):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text(second)
    with pytest.raises(UserError, match=message):
        sample_csv([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], 100, ANY)


def test_a_header_alone_a_false_gzip_and_bytes_that_are_no_utf8_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n")
    with pytest.raises(UserError, match="has no rows but its header"):
        sample_csv([str(tmp_path / "a.csv")], 100, Given(header="yes"))
    (tmp_path / "b.csv.gz").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is it really gzip, and whole"):
        sample_csv([str(tmp_path / "b.csv.gz")], 100, ANY)
    (tmp_path / "c.csv").write_bytes(b"a,b\n\xe9t\xe9,2\n")
    with pytest.raises(UserError, match="not readable as CSV in UTF-8"):
        sample_csv([str(tmp_path / "c.csv")], 100, ANY)


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
