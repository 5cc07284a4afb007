"""trainer.init.csv_dialect: delimiter, header and names from the first bytes of a file."""

import pytest

from trainer.errors import UserError
from trainer.init.csv_dialect import Given, detect_dialect, is_header


def dialect(text, **given):
    return detect_dialect("t.csv", text.encode(), is_cut=False, given=Given(**given))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_the_one_that_cuts_all_records_alike(delimiter):
    rows = [["name", "place", "n"], ["a b", "x", "1"], ["c, d; e", "y", "2"], ["f|g\th", "z", "3"]]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    assert dialect(text) == (delimiter, True, ("name", "place", "n"), ".")


def test_commas_within_numbers_do_not_outdo_the_header():
    assert dialect("x;y\n1,5;2,5\n3,5;4,5\n") == (";", True, ("x", "y"), ",")


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("x;y\n1,5;a\n2;b\n", ","),
        ("x;y\n1.5;a, b\n2;b\n", "."),
        ("x;y\n1,5;1.5\n2,5 m;b\n", "."),
        ('x,y\n"1,5",2\n"2,5",3\n', "."),  # the trainer could not tell it from the delimiter
        ("x;y\n1,000.5;2\n", "."),
    ],
)
def test_decimal_point_is_a_comma_where_a_column_of_numbers_has_it(text, point):
    assert dialect(text).decimal_point == point


@pytest.mark.parametrize(
    ("first", "below", "expected"),
    [
        (["age", "city"], [["3", "Rome"]], True),
        (["4", "Oslo"], [["3", "Rome"]], False),
        (["2021-01-01", "Oslo"], [["2022-05-07", "Rome"]], False),
        (["", "city"], [["0", "Rome"]], True),  # pandas' index
        (["a", ""], [["b", "c"]], False),
        (["a", "a"], [["b", "c"]], False),
        (["x", "y"], [["u", "v"]], True),  # texts alone: nothing says no
        (["x", "y"], [["u", "v"], ["x", "w"]], False),  # stands there again
        (["country", "1990", "1991"], [["Chad", "x", "y"]], True),
    ],
)
def test_header_is_unlike_the_rows_below(first, below, expected):
    assert is_header(first, below) is expected


def test_columns_without_a_header_are_numbered_or_named_by_the_user():
    text = "1,2\n3,4\n"
    assert dialect(text) == (",", False, ("c1", "c2"), ".")
    assert dialect(text, column_names=("a", "b")) == (",", False, ("a", "b"), ".")
    assert dialect(text, header="yes") == (",", True, ("1", "2"), ".")
    assert dialect("a,b\nc,d\n", header="no") == (",", False, ("c1", "c2"), ".")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "t.csv is empty"),
        (b"\xef\xbb\xbf \n\n", "t.csv is empty"),
        (b"\x1f\x8b\x08", "is gzip; name it .gz"),
        (b"PAR1abc", "is Parquet; give it as --parquet=t.csv"),
        (b"\xff\xfea\x00", "is UTF-16; save it as UTF-8"),
        (b"\x7fELF\x00\x01", "is a binary file"),
        (b"a\n1\n2\n", "has one column where ',' separates"),
        (b"a,b,a\n1,2,3\n", "'a' names more than one column"),
    ],
)
def test_what_is_no_table_is_refused(data, message):
    header = "yes" if b"a,b,a" in data else "auto"
    with pytest.raises(UserError, match=message):
        detect_dialect("t.csv", data, is_cut=False, given=Given(header=header))


def test_names_must_be_as_many_as_fields():
    with pytest.raises(UserError, match="has 2 fields in a row and 3 names: a, b, c"):
        dialect("1,2\n", column_names=("a", "b", "c"))


def test_byte_order_mark_is_no_part_of_a_name():
    assert dialect("\ufeffa,b\n1,2\n").names == ("a", "b")


def test_a_head_without_a_whole_record_is_refused():
    with pytest.raises(UserError, match="no whole record in its first 8 bytes"):
        detect_dialect("t.csv", b'"a,b,c,d', is_cut=True, given=Given())
