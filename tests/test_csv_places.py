"""trainer.init.csv_places: whole records from all over the files."""

import gzip

import numpy as np
import pytest
from planted_tables import check_rows, rows_text

from trainer.errors import UserError
from trainer.init import csv_places
from trainer.init.csv_dialect import Given
from trainer.init.table_sample import sample_csv

ANY = Given()


@pytest.fixture
def small_places(monkeypatch):
    """Nothing counts as small, and there are 20 places."""
    monkeypatch.setattr(csv_places, "WHOLE_BYTES", 0)
    monkeypatch.setattr(csv_places, "PLACES", 20)


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


def test_numbers_of_decimal_commas_come_with_points(tmp_path):
    (tmp_path / "a.csv").write_text("n;t\n1,5;a, b\n -2,25;1,5,6\n7;\n")
    sample = sample_csv([str(tmp_path / "a.csv")], 10, ANY)
    assert sample.columns["n"].to_pylist() == ["1.5", " -2.25", "7"]
    assert sample.columns["t"].to_pylist() == ["a, b", "1,5,6", ""]
