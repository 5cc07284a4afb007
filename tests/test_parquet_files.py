"""trainer.parquet_files: types that a Parquet file may have, and what is said about bad values."""

import math
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer import cells
from trainer.errors import UserError
from trainer.parquet_files import ParquetFile, cast_column
from trainer.reader import BadRows, ReadColumn, Source, read_blocks

FARE = ReadColumn("fare", "float", required=True, role="label")
SIZE = ReadColumn("size", "int", minimum=0, maximum=4)


def read(path, columns, limit=0):
    """Rows as (row number, values), and the account of bad rows."""
    bad_rows = BadRows(limit)
    rows = []
    for block in read_blocks(Source(files=(path,), columns=columns), bad_rows):
        for column in columns:
            found = block.columns[column.name].type
            if column.dtype == "dictionary" and pa.types.is_dictionary(found):
                found = found.value_type
            assert found == cells.ARROW_TYPES[column.dtype]
        lists = [block.columns[column.name].to_pylist() for column in columns]
        rows += list(zip(block.row_numbers.tolist(), *lists, strict=True))
    return rows, bad_rows


@pytest.fixture
def write_parquet(tmp_path):
    def write_file(columns, **options):
        path = str(tmp_path / "rides.parquet")
        pq.write_table(pa.table(columns), path, **options)
        return path

    return write_file


def test_blocks_end_with_row_groups(write_parquet):
    path = write_parquet({"fare": np.arange(100_000.0)}, row_group_size=70_000)
    source = Source(files=(path,), columns=(FARE,))
    blocks = list(read_blocks(source, BadRows(0)))
    assert [block.num_rows for block in blocks] == [65_536, 4_464, 30_000]
    assert blocks[2].row_numbers[0] == 70_000
    fares = np.concatenate([block.columns["fare"].to_numpy() for block in blocks])
    np.testing.assert_array_equal(fares, np.arange(100_000, dtype=np.float32))


def test_rows_that_break_rules(write_parquet):
    columns = {
        "fare": pa.array([1.0, None, math.inf, 4.0, 5.0]),
        "size": pa.array([1.0, 1.0, 1.0, 1.5, 9.0]),
    }
    path = write_parquet(columns)
    rows, bad_rows = read(path, columns=(FARE, SIZE), limit=4)
    assert rows == [(0, 1.0, 1)]
    assert [e.removeprefix(path) for e in bad_rows.examples] == [
        ":2 label fare is missing",
        ":3 label fare: inf is not a finite number",
        ":4 column size: '1.5' is not a whole number",
        ":5 column size: 9 is above 4",
    ]


MOMENT = datetime(2013, 3, 27, 3, 35, 0, 999_999, tzinfo=timezone.utc)
PARQUET_CASTS = [
    (pa.array([3.0, 0.1, 1e20, math.nan, None]), "string", ["3", "0.1", "1e+20", None, None]),
    (pa.array([3.0, 0.1], pa.float32()), "dictionary", ["3", "0.1"]),
    (pa.array([7, None]), "dictionary", ["7", None]),
    (pa.array([True, False]), "string", ["true", "false"]),
    (pa.array([Decimal("2.50"), Decimal("100.00")]), "string", ["2.5", "100"]),
    (pa.array([MOMENT], pa.timestamp("us", "America/New_York")), "string", ["2013-03-27 03:35:00"]),
    (pa.array([-500], pa.timestamp("ms")), "string", ["1969-12-31 23:59:59"]),
    (pa.array([date(2013, 3, 27)]), "string", ["2013-03-27"]),
    (pa.array([b"caf\xc3\xa9"]), "string", ["caf\u00e9"]),
    (pa.array(["1.5", "", " 2 "], pa.large_string()), "float", [1.5, None, 2.0]),
    (pa.array([True, None]), "float", [1.0, None]),
    (pa.array([2**40, 5]), "float", [2.0**40, 5.0]),
    (pa.array([Decimal("2.50")]), "float", [2.5]),
    (pa.array([True, False]), "int", [1, 0]),
    (pa.array([5, None], pa.int8()), "int", [5, None]),
    (pa.array([4.0, math.nan, None]), "int", [4, None, None]),
    (pa.array(["12"]).dictionary_encode(), "int", [12]),
]


@pytest.mark.parametrize(("values", "dtype", "expected"), PARQUET_CASTS)
def test_types_are_cast(write_parquet, values, dtype, expected):
    rows, _ = read(write_parquet({"c": values}), columns=(ReadColumn("c", dtype),))
    assert [row[1] for row in rows] == expected


@pytest.mark.parametrize(
    ("values", "dtype", "reason"),
    [
        (pa.array([2**64 - 1], pa.uint64()), "int", "'18446744073709551615' is not a whole number"),
        (pa.array(["x"]), "float", "'x' is not a number"),
        (pa.array([b"\xff"]), "string", r"b'\\xff' is not UTF-8"),
    ],
)
def test_values_that_cannot_be_cast(write_parquet, values, dtype, reason):
    with pytest.raises(UserError, match=f"rides.parquet:1 column c: {reason}"):
        read(write_parquet({"c": values}), columns=(ReadColumn("c", dtype),))


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        (pa.array([[1]]), "float", r"has type list.* cannot be read as float"),
        (pa.array([MOMENT]), "int", "cannot be read as int; declare it as a datetime"),
    ],
)
def test_types_that_do_not_fit_are_refused(write_parquet, values, dtype, message):
    with pytest.raises(UserError, match=message):
        read(write_parquet({"c": values}), columns=(ReadColumn("c", dtype),))


def test_without_a_column_is_refused(write_parquet):
    with pytest.raises(UserError, match="has no column 'fare'; did you mean 'fares'"):
        read(write_parquet({"fares": [1.0]}), columns=(FARE,))


def test_column_that_stands_twice_is_refused(tmp_path):
    path = str(tmp_path / "twice.parquet")
    table = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["fare", "fare"])
    pq.write_table(table, path)
    with pytest.raises(UserError, match="has column 'fare' more than once"):
        ParquetFile(path, (FARE,))


def test_number_beyond_int64_is_a_bad_row(write_parquet):
    numbers = [3.0, 2.0**63, -(2.0**63), 1e300, -1e300, math.inf, math.nan, None]
    path = write_parquet({"n": pa.array(numbers)})
    rows, bad_rows = read(path, (ReadColumn("n", "int"),), limit=8)
    assert rows == [(0, 3), (2, -(2**63)), (6, None), (7, None)]
    assert [e.removeprefix(path) for e in bad_rows.examples] == [
        f":{row} column n: {text!r} is not a whole number"
        for row, text in ((2, str(2.0**63)), (4, "1e+300"), (5, "-1e+300"), (6, "inf"))
    ]


def test_decimal_as_a_whole_number_keeps_every_digit(write_parquet):
    texts = ["12345678901234567.00", "-3.00", "2.50", "98765432109876543210.00"]
    decimals = pa.array([Decimal(text) for text in texts], pa.decimal128(38, 2))
    path = write_parquet({"n": decimals})
    rows, bad_rows = read(path, (ReadColumn("n", "int"),), limit=2)
    assert rows == [(0, 12345678901234567), (1, -3)]
    assert bad_rows.count == 2


@pytest.mark.parametrize("dtype", ["string", "dictionary"])
@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array([-(2**63), -1, None], pa.timestamp("ns")), ["1677-09-21 00:12:43", None, None]),
        (pa.array([1.5, 65504, math.inf], pa.float16()), ["1.5", "65504", "inf"]),
    ],
    ids=["earliest", "float16"],
)
def test_extreme_values_as_text(write_parquet, dtype, values, texts):
    rows, bad_rows = read(write_parquet({"s": values}), (ReadColumn("s", dtype),))
    expected = texts if texts[1] else [texts[0], "1969-12-31 23:59:59", None]
    assert [text for _, text in rows] == expected
    assert bad_rows.count == 0


@pytest.mark.skipif(not hasattr(pa, "decimal32"), reason="Arrow before 18 has no short decimals")
def test_short_decimals_are_decimals():
    values = pa.array([Decimal("1.50"), None], pa.decimal32(5, 2))
    assert cast_column(values, ReadColumn("s", "string"))[0].to_pylist() == ["1.5", None]
    assert cast_column(values, ReadColumn("s", "float"))[0].to_pylist() == [1.5, None]


@pytest.mark.skipif(not hasattr(pa, "bool8"), reason="Arrow before 18 has no bool8")
def test_extension_types_are_what_they_store():
    values = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8()))
    assert cast_column(values, ReadColumn("n", "int"))[0].to_pylist() == [1, None]


def damaged(data):
    """The file with a byte changed, or cut, at many places."""
    for place in range(0, len(data), 7):
        yield data[:place]
        yield data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def test_damaged_file_is_one_line(write_parquet):
    path = Path(write_parquet({"fare": np.arange(20.0), "size": np.arange(20) % 5}))
    data = path.read_bytes()
    messages = set()
    for content in damaged(data):
        path.write_bytes(content)
        try:
            rows, bad_rows = read(str(path), (FARE, SIZE), limit=20)
        except UserError as error:
            messages.add(str(error))
        else:
            assert len(rows) + bad_rows.count == 20
    assert len(messages) > 10
    assert all(m.isprintable() and len(m) < 500 and str(path) in m for m in messages)


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_texts_are_read_with_the_dictionary_of_the_file(write_parquet, monkeypatch, use_dictionary):
    """Row groups of 5 rows in batches of 2; "" and null are missing; a required color is bad."""
    monkeypatch.setattr("trainer.parquet_files.BATCH_ROWS", 2)
    colors = ["red", None, "blue", "", "red", "blue", "green", "blue", "", "", "red"]
    path = write_parquet(
        {"color": pa.array(colors)}, row_group_size=5, use_dictionary=use_dictionary
    )
    rows, _ = read(path, columns=(ReadColumn("color", "dictionary"),))
    assert rows == [(row, color or None) for row, color in enumerate(colors)]
    rows, bad_rows = read(
        path, columns=(ReadColumn("color", "dictionary", required=True),), limit=4
    )
    assert [color for _, color in rows] == [color for color in colors if color]
    assert bad_rows.examples[0] == f"{path}:2 column color is missing"
    assert bad_rows.count == 4


def test_vectors_that_are_all_missing_have_no_type_and_are_missing(write_parquet):
    column = ReadColumn("v", "vector", size=2)
    path = write_parquet({"v": pa.nulls(3)})
    (rows,) = ParquetFile(path, (column,)).read()
    assert rows.columns["v"].to_pylist() == [None, None, None]
    empty, problems = cast_column(pa.nulls(0), column)
    assert (empty.type, len(empty), problems) == (pa.list_(pa.float32(), 2), 0, [])
