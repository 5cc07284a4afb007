"""trainer.insight.column_profile: distinct values, missing ones, numbers."""

import numpy as np
import pyarrow as pa
import pytest

from trainer.insight.column_profile import profile_column


def profile(texts, **options):
    return profile_column("c", pa.array(texts), **options)


def test_tokens_are_counted_in_the_order_of_their_first_row():
    found = profile(["b", "a", "", "b", None, "NA", "b"])
    assert found.tokens == ("b", "a")
    assert found.counts.tolist() == [3, 1]
    assert found.codes.tolist() == [0, 1, -1, 0, -1, -1, 0]
    assert found.missing_share == pytest.approx(3 / 7)
    assert found.numbers is None


def test_numbers_are_those_that_the_trainer_reads():
    found = profile(["1", " 2.5", "-3e2", "", "+4"])
    assert found.numbers.tolist() == [1.0, 2.5, -300.0, 4.0]
    assert np.isnan(found.values[3]) and not found.is_whole
    assert profile(["1", "2.0", "3"]).is_whole
    assert profile(["1", "inf"]).numbers is None
    assert profile(["1_000", "2"]).numbers is None  # Python would read it
    assert profile(["1e400", "2"]).numbers is None  # beyond float32


@pytest.mark.parametrize("spelling", ["?", "-", ".", "missing", "N/a", "#N/A", "\\N", "Unknown"])
def test_spellings_of_missing_count_among_numbers_only(spelling):
    numbers = profile(["1", "2", spelling, spelling])
    assert numbers.null_texts == (spelling,) and numbers.missing_share == 0.5
    assert numbers.numbers.tolist() == [1.0, 2.0]
    texts = profile(["a", "b", spelling])
    assert texts.tokens == ("a", "b", spelling) and texts.null_texts == ()


def test_few_stray_texts_are_missing_and_many_make_a_text_column():
    few = profile([str(i) for i in range(500)] + ["12O", "see note"])
    assert few.stray_texts == ("12O", "see note") and few.missing_share == pytest.approx(2 / 502)
    many = profile([str(i) for i in range(10)] + ["XL"])
    assert many.numbers is None and many.distinct == 11


def test_texts_of_parquet_have_no_spelled_nulls():
    found = profile(["NA", "1", "", None], has_spelled_nulls=False)
    assert found.tokens == ("NA", "1") and found.numbers is None
    assert found.codes.tolist() == [0, 1, -1, -1]


def test_distinct_values_of_the_whole_table_are_estimated():
    """GEE by hand: 3 values seen twice, 4 seen once, each of which stands for sqrt(900 / 10)."""
    found = profile(list("aabbcc") + list("defg"))
    assert found.estimate_distinct(900) == 3 + round(4 * np.sqrt(90))
    assert found.estimate_distinct(10) == 7


def test_large_columns_of_texts_are_not_converted_one_by_one():
    found = profile([f"{i}-x" for i in range(9000)])
    assert found.numbers is None and found.distinct == 9000
    mostly = profile([f"{i}" for i in range(9000)] + ["x"])
    assert mostly.stray_texts == ("x",)


def test_values_of_texts_are_refused():
    with pytest.raises(ValueError, match="c is no number"):
        _ = profile(["a", "b"]).values
