"""trainer.csv_head: what is said of a file whose first lines do not fit the schema."""

import pytest

from trainer.cells import ReadColumn
from trainer.csv_head import check_encoding, check_header, check_names, check_records, is_number
from trainer.errors import UserError

COLUMNS = (ReadColumn("age", "float"), ReadColumn("city", "string"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("age;city;y",),
            "line 1 is one column, 'age;city;y', with data.delimiter ','; set data.d",
        ),
        (("age\tcity",), r"set data.delimiter to '\\t'"),
        (("age", "Rome", "3"), "line 1 should name the columns, but looks like data: age, Rome, 3"),
        (
            ("Rome", "m"),
            "no column 'age'; its columns are Rome, m. If the file has no header, list",
        ),
        (("Age", "City"), "no column 'age'; did you mean 'Age'\\?; its columns are Age, City$"),
        (("age", " city"), "no column 'city'; did you mean ' city'\\?"),
        (("age", "city", "age"), "the header names 'age' more than once"),
    ],
)
def test_a_header_that_does_not_fit_says_what_to_do(names, message):
    with pytest.raises(UserError, match=message):
        check_header("a.csv", names, COLUMNS, ",")


def test_a_header_may_have_more_columns_in_any_order():
    check_header("a.csv", ("x", "city", "1", "age"), COLUMNS, ",")
    check_names("a.parquet", ("city", "age"), COLUMNS)
    with pytest.raises(UserError, match=r"a.parquet has no column 'city'; its columns are age$"):
        check_names("a.parquet", ("age",), COLUMNS)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"PK\x03\x04rest", "is not CSV text but a zip or Excel file; save it as CSV"),
        (b"\xff\xfea", "is UTF-16; save it as UTF-8"),
        (b"\x1f\x8b\x08", "is not CSV text but gzip; name it .gz"),
        (b"PAR1", "is not CSV text but Parquet; set data.format"),
    ],
)
def test_what_is_no_text_is_named(head, message):
    with pytest.raises(UserError, match=message):
        check_encoding("a.csv", head)
    check_encoding("a.csv", b"age,city\n")


def test_the_first_records_have_as_many_fields_as_there_are_names():
    check_records("a.csv", ("a", "b"), [["1", "2"], ["3"]], has_header=True)
    with pytest.raises(UserError, match="the header has 2 names, the file has 3 fields"):
        check_records("a.csv", ("a", "b"), [["1", "2", "3"]], has_header=True)
    with pytest.raises(UserError, match=r"line 1 repeats data.column_names"):
        check_records("a.csv", ("a", "b"), [["a", "b"]], has_header=False)


def test_numbers_are_those_of_python():
    assert [is_number(text) for text in ("1.5", "-3e2", "nan", "", "1,5", "x")] == [
        *(True, True, True),
        *(False, False, False),
    ]
