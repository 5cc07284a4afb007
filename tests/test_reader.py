"""trainer.reader: what comes out of files of every kind, and what is said about bad rows."""

import csv
import gzip
import io
import logging
import math
import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer import cells, csv_files, storage
from trainer.errors import UserError
from trainer.reader import BadRows, ReadColumn, Source, read_blocks

NULLS = ("", "NA")
FARE = ReadColumn("fare", "float", required=True, role="label")
SIZE = ReadColumn("size", "int", minimum=0, maximum=4)
COLOR = ReadColumn("color", "dictionary")
NOTE = ReadColumn("note", "string")
COLUMNS = (FARE, SIZE, COLOR, NOTE)
NAMES = tuple(column.name for column in COLUMNS)
HEADER = "fare,size,color,note\n"


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="rides.csv"):
        data = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return str(path)

    return write_file


def read(*paths, limit=0, first_file=0, columns=COLUMNS, **options):
    """Rows as (file, row number, values), and the account of bad rows."""
    bad_rows = BadRows(limit)
    source = Source(files=paths, columns=columns, **{"null_values": NULLS, **options})
    rows = []
    for block in read_blocks(source, bad_rows, first_file):
        for column in columns:
            found = block.columns[column.name].type
            if column.dtype == "dictionary" and pa.types.is_dictionary(found):
                found = found.value_type
            assert found == cells.ARROW_TYPES[column.dtype]
        lists = [block.columns[column.name].to_pylist() for column in columns]
        for number, *values in zip(block.row_numbers.tolist(), *lists, strict=True):
            rows.append((block.file_index, number, *values))
    return rows, bad_rows


def reasons(bad_rows, path):
    return [example.removeprefix(path) for example in bad_rows.examples]


GOOD = [(0, 0, 1.5, 3, "red", "x"), (0, 1, 2.0, None, None, " y "), (0, 2, 3.0, 0, "red", None)]
GOOD_TEXT = HEADER + "1.5,3,red,x\n2,,NA, y \n 3 ,0,red,\n"


@pytest.mark.parametrize(
    "text",
    [
        GOOD_TEXT,
        GOOD_TEXT.rstrip("\n"),
        GOOD_TEXT.replace("\n", "\r\n"),
        GOOD_TEXT.replace("\n", "\r"),
        GOOD_TEXT.replace("\n", "\n\n"),
        "\n" + GOOD_TEXT + "\n\n",
        "\ufeff" + GOOD_TEXT,
        GOOD_TEXT.replace("red", '"red"').replace("color", '"color"'),
    ],
    ids=["plain", "no last line end", "CRLF", "CR", "blank lines", "blank ends", "BOM", "quotes"],
)
@pytest.mark.parametrize("name", ["rides.csv", "rides.csv.gz"])
def test_same_table_in_every_form(write, text, name):
    assert read(write(text, name))[0] == GOOD


def test_file_without_header(write):
    rows, _ = read(write(GOOD_TEXT.removeprefix(HEADER)), column_names=NAMES)
    assert rows == GOOD


def test_other_delimiter_and_other_column_order(write):
    path = write("note;color;more;size;fare\nx;red;?;3;1.5\n")
    assert read(path, delimiter=";")[0] == [(0, 0, 1.5, 3, "red", "x")]


def test_undeclared_columns_are_logged_once(write, caplog):
    path = write("fare,unheard_of\n1,2\n")
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            read(path, columns=(FARE,))
    assert [r.getMessage() for r in caplog.records] == [
        "columns that the schema does not declare are ignored: unheard_of"
    ]


CELL_PROBLEMS = {
    "two,1,red,x": "label fare: 'two' is not a number",
    "1_0,1,red,x": "label fare: '1_0' is not a number",
    ",1,red,x": "label fare is missing",
    "NA,1,red,x": "label fare is missing",
    " NA ,1,red,x": "label fare is missing",
    "nan,1,red,x": "label fare is missing",
    "-inf,1,red,x": "label fare: -inf is not a finite number",
    "1e99,1,red,x": "label fare: inf is not a finite number",
    "1,2.5,red,x": "column size: '2.5' is not a whole number",
    "1,99999999999999999999,red,x": "column size: '99999999999999999999' is not a whole number",
    "1,-1,red,x": "column size: -1 is below 0",
    "1,5,red,x": "column size: 5 is above 4",
    "1,1,red": "3 fields instead of 4",
    "1,1,red,x,y,z": "6 fields instead of 4",
    "1,1,red,caf\\xe9": "column note: b'caf\\xe9' is not UTF-8",
    f"{'z' * 99},1,red,x": f"label fare: '{'z' * 60}'... is not a number",
    "x,y,red,z": "label fare: 'x' is not a number",
}


@pytest.mark.parametrize("line", CELL_PROBLEMS)
def test_bad_row_is_named_and_left_out(write, line):
    data = (GOOD_TEXT + line + "\n4,4,,\n").encode().replace(b"\\xe9", b"\xe9")
    path = write(data)
    rows, bad_rows = read(path, limit=1)
    assert rows == [*GOOD, (0, 4, 4.0, 4, None, None)]
    assert bad_rows.count == 1
    assert reasons(bad_rows, path) == [f":5 {CELL_PROBLEMS[line]}"]
    with pytest.raises(UserError) as error:
        read(path)
    advice = ""
    if re.search("is not a (whole )?number", CELL_PROBLEMS[line]):
        advice = "A text that stands for a missing value belongs in data.null_values. "
    if "UTF-8" in CELL_PROBLEMS[line]:
        advice = "Save the file as UTF-8: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW_FILE. "
    assert str(error.value) == (
        f"1 bad row so far, data.max_bad_rows is 0: {path}:5 {CELL_PROBLEMS[line]}. {advice}"
        f"{'Else mend' if advice else 'Mend'} the rows, or raise data.max_bad_rows to leave them "
        "out"
    )


def test_plain_numbers_that_arrow_refuses_are_read(write):
    path = write(HEADER + " \t,3.0,,\n+1, +4 ,,\n1e1, ,,\n")
    columns = (FARE._replace(required=False), SIZE, COLOR, NOTE)
    rows, _ = read(path, columns=columns)
    assert [row[2:4] for row in rows] == [(None, 3), (1.0, 4), (10.0, None)]


def test_rules_for_texts_and_for_numbers_as_classes(write):
    color = COLOR._replace(allowed=("red", "blue"))
    note = NOTE._replace(required=True, allowed=("x",))
    fare = FARE._replace(allowed=("0", "1"))
    path = write(HEADER + "0,,red,x\n1,,,x\n0.5,,red,x\n1,,green,x\n1,,red,y\n1,,red,\n")
    rows, bad_rows = read(path, columns=(fare, SIZE, color, note), limit=9)
    assert [row[1] for row in rows] == [0, 1]
    assert reasons(bad_rows, path) == [
        ":4 label fare: 0.5 is not one of '0', '1'",
        ":5 column color: 'green' is not one of 'red', 'blue'",
        ":6 column note: 'y' is not one of 'x'",
        ":7 column note is missing",
    ]


def test_three_examples_of_a_reason_are_kept(write):
    path = write(GOOD_TEXT + "?,,,\n" * 4 + "!,,,\n" + "?,,,\n")
    bad_rows = read(path, limit=6)[1]
    shown = [(row, "?") for row in (5, 6, 7)] + [(9, "!")]
    assert reasons(bad_rows, path) == [f":{r} label fare: {c!r} is not a number" for r, c in shown]


def test_only_ten_examples_are_kept(write):
    path = write(GOOD_TEXT + "".join(f"?{i},,,\n" for i in range(25)))
    with pytest.raises(
        UserError, match=r"^25 bad rows so far, .* is 24: .*:14 label[^;]*; \.\.\.\."
    ):
        read(path, limit=24)
    bad_rows = read(path, limit=25)[1]
    assert (bad_rows.count, len(bad_rows.examples)) == (25, 10)


NUMBERS = ["1", "-2.5", " 3 ", "1e3", "", "NA", "nan", "inf", "two", "0x1f", "+7", "1.", "."]
TEXTS = ["red", "", "NA", " ", "a\nb", 'q"q', "caf\u00e9", "x,y", "\r\n"]


def oracle(row):
    """The good row that a list of cells stands for, in plain Python; None for a bad one."""
    if len(row) != 3:
        return None
    fare, size, color = row
    numbers = {"1": 1.0, "-2.5": -2.5, " 3 ": 3.0, "1e3": 1e3, "+7": 7.0, "1.": 1.0}
    wholes = {"1": 1, " 3 ": 3, "1e3": 1000, "0x1f": 31, "+7": 7, "1.": 1, "": None, "NA": None}
    if fare not in numbers or size not in wholes:
        return None
    return (numbers[fare], wholes[size], None if color in NULLS else color)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), st.sampled_from(TEXTS)),
            st.lists(st.sampled_from(["1", "x", "a\nb"]), min_size=2, max_size=5).map(tuple),
        ),
        max_size=40,
    ),
    line_end=st.sampled_from(["\n", "\r\n"]),
    block_bytes=st.integers(20, 300),
    limit_rows=st.integers(0, 20),
)
def test_rows_in_are_rows_out_and_bad_rows(tmp_path, rows, line_end, block_bytes, limit_rows):
    rows = [("1", "1", "first"), *rows]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=line_end).writerows([("fare", "size", "color"), *rows])
    path = tmp_path / "rides.csv"
    path.write_text(buffer.getvalue(), newline="")
    columns = (FARE, ReadColumn("size", "int"), COLOR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_files, "BLOCK_BYTES", block_bytes)
        got, bad_rows = read(str(path), limit=99, columns=columns)
        some, _ = read(str(path), limit=99, columns=columns, limit_rows=limit_rows)
    good = [(0, i, *values) for i, row in enumerate(rows) if (values := oracle(row))]
    assert got == good
    assert len(got) + bad_rows.count == len(rows)
    assert some == good[: limit_rows or None]


def test_limit_counts_good_rows_over_all_files(write):
    first, second = write(GOOD_TEXT, "a.csv"), write(GOOD_TEXT + "bad,,,\n", "b.csv")
    rows, bad_rows = read(first, second, limit_rows=5)
    assert [row[:2] for row in rows] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert bad_rows.count == 0
    assert [row[:2] for row in read(first, second, limit_rows=3)[0]] == [(0, 0), (0, 1), (0, 2)]
    assert [row[:2] for row in read(first, first, first_file=1)[0]] == [(1, 0), (1, 1), (1, 2)]


def test_file_with_a_header_only_has_no_rows(write, caplog):
    path = write(HEADER, "header_only.csv")
    assert read(path, write(GOOD_TEXT))[0] == [(1, *row[1:]) for row in GOOD]
    assert f"{path} has no rows" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((*NAMES, "size"), "data.column_names has 'size' more than once"),
        (("fares", "size", "color", "note"), "has no 'fare'; did you mean 'fares'?"),
    ],
)
def test_column_names_are_checked(names, message):
    with pytest.raises(UserError, match=message):
        Source(files=("a",), columns=COLUMNS, column_names=names)


def test_files_of_a_set_have_the_same_columns(write):
    first = write(GOOD_TEXT, "a.csv")
    second = write("fare,size,color,note,tip\n1,1,red,x,0\n", "b.csv")
    with pytest.raises(UserError, match=r"b.csv has other columns than .*a.csv, differing in tip"):
        read(first, second)
    reordered = write("note,color,size,fare\nx,red,3,1.5\n", "c.csv")
    assert read(first, reordered)[0] == [*GOOD, (1, 0, 1.5, 3, "red", "x")]


def test_file_that_changes_while_it_is_read_is_refused(write):
    path = write(GOOD_TEXT)
    blocks = read_blocks(Source(files=(path,), columns=COLUMNS), BadRows(0))
    next(blocks)
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match="changed while it was read"):
        list(blocks)


def test_remote_file_is_read(emulator):
    storage.write_text(f"{emulator}/a.csv", GOOD_TEXT)
    storage.write_bytes(f"{emulator}/b.csv.gz", gzip.compress(GOOD_TEXT.encode()))
    for name in ("a.csv", "b.csv.gz"):
        assert read(f"{emulator}/{name}")[0] == GOOD


def test_parquet_holds_the_same_table(tmp_path):
    columns = {
        "note": pa.array(["x", " y ", ""]),
        "color": pa.array(["red", None, "red"]).dictionary_encode(),
        "size": pa.array([3.0, math.nan, 0.0]),
        "fare": pa.array([1.5, 2, 3], pa.float64()),
        "unused": pa.array([[1], [2], [3]]),
    }
    path = str(tmp_path / "rides.parquet")
    pq.write_table(pa.table(columns), path)
    assert read(path)[0] == GOOD


def test_file_that_is_no_parquet_is_refused(write):
    with pytest.raises(UserError, match="is not a readable Parquet file"):
        read(write(GOOD_TEXT, "rides.parquet"))
    with pytest.raises(UserError, match="is not a readable Parquet file"):
        read(write(GOOD_TEXT), format="parquet")


TAXI = Path(__file__).parents[2] / "shared" / "data" / "taxifare" / "taxi-valid.csv"


@pytest.mark.skipif(not TAXI.exists(), reason="the taxi rides are not beside this checkout")
def test_taxi_rides_agree_with_the_csv_module():
    names = ("fare", "time", "from_lon", "from_lat", "to_lon", "to_lat", "people", "key")
    columns = tuple(
        ReadColumn(name, "string" if name in ("time", "key") else "float") for name in names
    )
    rows, _ = read(str(TAXI), columns=columns, column_names=names)
    with TAXI.open(newline="") as stream:
        records = list(csv.reader(stream))
    assert len(rows) == len(records) > 1000
    for row, record in zip(rows, records, strict=True):
        for got, text, column in zip(row[2:], record, columns, strict=True):
            assert got == (text if column.dtype == "string" else float(np.float32(text)))


def test_row_of_other_width_that_is_not_utf8_is_a_bad_row(write):
    body = b"1,1,red,\xc3\xa9\n2,\xff\n3,1,\xfe,x\n4,1,red,x,\xff\n5,1,red,\xc3\xa9\n"
    path = write(HEADER.encode() + body)
    rows, bad_rows = read(path, limit=3)
    assert rows == [(0, 0, 1.0, 1, "red", "\u00e9"), (0, 4, 5.0, 1, "red", "\u00e9")]
    assert reasons(bad_rows, path) == [
        ":3 2 fields instead of 4",
        ":4 column color: b'\\xfe' is not UTF-8",
        ":5 5 fields instead of 4",
    ]


def test_byte_order_mark_within_a_file_is_part_of_the_value(write):
    names = ("note", "fare", "size", "color")
    path = write("\ufeff\ufeffx,1,1,red\ny,2,1,red\n")
    rows, _ = read(path, column_names=names)
    assert [row[5] for row in rows] == ["\ufeffx", "y"]
    path = write("\ufeff\ufeff\ny,2,1,red\n")
    rows, bad_rows = read(path, column_names=names, limit=1)
    assert (len(rows), reasons(bad_rows, path)) == (1, [":1 1 fields instead of 4"])
