"""trainer.init.table_sample: rows of a CSV, each as it stands in the file."""

import numpy as np
import pytest
from planted_tables import check_rows, rows_text

from trainer.errors import UserError
from trainer.init import table_sample
from trainer.init.csv_dialect import Given
from trainer.init.table_sample import sample_csv

ANY = Given()


def test_small_table_is_read_whole_from_all_its_files(tmp_path):
    (tmp_path / "a.csv").write_text("n,t,x\n" + rows_text(0, 50))
    (tmp_path / "b.csv").write_text("n,t,x\n" + rows_text(50, 60))
    sample = sample_csv([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], 1000, ANY)
    assert (sample.num_rows, sample.total_rows) == (60, 60)
    assert sample.is_whole and sample.is_counted and not sample.num_misfits
    assert [int(n) for n in sample.columns["n"].to_pylist()] == list(range(60))


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
