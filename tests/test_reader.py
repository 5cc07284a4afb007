"""trainer.reader: what comes out of files of every kind, and what is said about bad rows."""

import csv
import gzip
import io
import logging
import math
import os
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer import cells, csv_files, csv_records
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
            assert block.columns[column.name].type == cells.ARROW_TYPES[column.dtype]
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


def test_quoted_line_breaks_and_quotes_across_blocks(write, monkeypatch):
    notes = ['a\nb"c', "\r\n", 'say "hi",\n\nbye', "plain", 'in 5" pipe'] * 20
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([i, 1, "c", n] for i, n in enumerate(notes))
    path = write(HEADER + buffer.getvalue().replace('"in 5"" pipe"', 'in 5" pipe'))
    for size in (64, 77, 1 << 20):
        monkeypatch.setattr(csv_files, "BLOCK_BYTES", size)
        rows, _ = read(path)
        assert [row[-1] for row in rows] == notes
        assert [row[1] for row in rows] == list(range(100))


@given(st.lists(st.sampled_from(["a", '"', ",", "\n", '""', ',"', '",', "\r\n"]), max_size=30))
def test_fast_and_slow_search_for_quotes_agree(tokens):
    """What numpy finds in regular data is what following the values one by one finds."""
    data = "".join(tokens).encode()
    spans, opened, position = [], False, 0
    while position < len(data):
        character = data[position : position + 1]
        if not opened and character == b'"':
            if position == 0 or data[position - 1 : position] in (b",", b"\n", b"\r"):
                spans.append(position)
                opened = True
        elif opened and character == b'"':
            if data[position + 1 : position + 2] == b'"':
                position += 1
            else:
                spans.append(position)
                opened = False
        position += 1

    def is_quoted(positions, at):
        return bool(np.searchsorted(positions, at) % 2)

    found = csv_records.quote_positions(data, ",")
    for at, character in enumerate(data):
        if character in b"\n\r":
            assert is_quoted(found, at) == is_quoted(spans, at)


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
    assert str(error.value) == (
        f"1 bad row so far, data.max_bad_rows is 0: {path}:5 {CELL_PROBLEMS[line]}. "
        "Mend the rows, or raise data.max_bad_rows to leave them out"
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


def test_only_ten_examples_are_kept(write):
    path = write(GOOD_TEXT + "?,,,\n" * 25)
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


FILE_PROBLEMS = {
    "empty": (b"", {}, "rides.csv is empty; expected rows"),
    "only blank": (b"\xef\xbb\xbf\r\n\n", {}, "rides.csv is empty"),
    "no such column": (b"fair,size,color,note\n", {}, "no column 'fare'; did you mean 'fair'?"),
    "no header": (b"1.5,3,red,x\n1,1,red,x\n", {}, r"line 1 .* looks like data: 1.5, 3, red, x"),
    "repeated header": (GOOD_TEXT.encode(), {"column_names": NAMES}, "repeats data.column_names"),
    "duplicate": (b"fare,size,color,note,a,a\n", {}, "header names 'a' more than once"),
    "narrow names": (b"1,1,a,b,c\n", {"column_names": NAMES}, "has 4 names, the file has 5 fields"),
    "wide header": ((HEADER + "1,2,3\n").encode(), {}, "header has 4 names, the file has 3 fields"),
    "utf-16": (GOOD_TEXT.encode("utf-16"), {}, "is UTF-16; save it as UTF-8"),
    "gzip": (gzip.compress(GOOD_TEXT.encode()), {}, "not CSV text but gzip; name it .gz"),
    "parquet": (b"PAR1....", {}, "not CSV text but Parquet; set data.format"),
    "open quote": ((GOOD_TEXT + '1,1,red,"x\n1,1,,\n').encode(), {}, "a quoted value does not end"),
}


@pytest.mark.parametrize("problem", FILE_PROBLEMS)
def test_file_that_does_not_fit_is_refused(write, problem):
    data, options, message = FILE_PROBLEMS[problem]
    with pytest.raises(UserError, match=message):
        read(write(data), limit=9, **options)


def test_quote_that_stays_open_too_long_is_refused(write, monkeypatch):
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 64)
    monkeypatch.setattr(csv_files, "MAX_RECORD_BYTES", 256)
    with pytest.raises(UserError, match="a quoted value does not end within"):
        read(write(GOOD_TEXT + '1,1,red,"x\n' + "1,1,,\n" * 100))


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


def test_broken_gzip_is_refused(write, tmp_path):
    whole = Path(write(GOOD_TEXT * 50, "a.csv.gz")).read_bytes()
    for name, data in (("cut.csv.gz", whole[:-12]), ("plain.csv.gz", GOOD_TEXT.encode())):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=rf"cannot read .*{name}: .*is it really gzip"):
            read(str(tmp_path / name), limit=99)


def test_file_that_changes_while_it_is_read_is_refused(write):
    path = write(GOOD_TEXT)
    blocks = read_blocks(Source(files=(path,), columns=COLUMNS), BadRows(0))
    next(blocks)
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match="changed while it was read"):
        list(blocks)


def test_remote_file_is_read(write):
    server_module = pytest.importorskip("gcp_storage_emulator.server")
    from trainer import cloud_files, storage

    server = server_module.create_server("localhost", 0, in_memory=True, default_bucket="data")
    server.start()
    cloud_files.client.cache_clear()
    try:
        with pytest.MonkeyPatch.context() as patch:
            port = server._api._httpd.server_port
            patch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{port}")
            storage.write_text("gs://data/a.csv", GOOD_TEXT)
            storage.write_bytes("gs://data/b.csv.gz", gzip.compress(GOOD_TEXT.encode()))
            for name in ("a.csv", "b.csv.gz"):
                assert read(f"gs://data/{name}")[0] == GOOD
    finally:
        server.stop()
        cloud_files.client.cache_clear()


@pytest.fixture
def write_parquet(tmp_path):
    def write_file(columns, **options):
        path = str(tmp_path / "rides.parquet")
        pq.write_table(pa.table(columns), path, **options)
        return path

    return write_file


def test_parquet_holds_the_same_table(write_parquet):
    columns = {
        "note": pa.array(["x", " y ", ""]),
        "color": pa.array(["red", None, "red"]).dictionary_encode(),
        "size": pa.array([3.0, math.nan, 0.0]),
        "fare": pa.array([1.5, 2, 3], pa.float64()),
        "unused": pa.array([[1], [2], [3]]),
    }
    assert read(write_parquet(columns))[0] == GOOD


def test_parquet_blocks_end_with_row_groups(write_parquet):
    path = write_parquet({"fare": np.arange(100_000.0)}, row_group_size=70_000)
    source = Source(files=(path,), columns=(FARE,))
    blocks = list(read_blocks(source, BadRows(0)))
    assert [block.num_rows for block in blocks] == [65_536, 4_464, 30_000]
    assert blocks[2].row_numbers[0] == 70_000
    fares = np.concatenate([block.columns["fare"].to_numpy() for block in blocks])
    np.testing.assert_array_equal(fares, np.arange(100_000, dtype=np.float32))


def test_parquet_rows_that_break_rules(write_parquet):
    columns = {
        "fare": pa.array([1.0, None, math.inf, 4.0, 5.0]),
        "size": pa.array([1.0, 1.0, 1.0, 1.5, 9.0]),
    }
    path = write_parquet(columns)
    rows, bad_rows = read(path, columns=(FARE, SIZE), limit=4)
    assert rows == [(0, 0, 1.0, 1)]
    assert reasons(bad_rows, path) == [
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
def test_parquet_types_are_cast(write_parquet, values, dtype, expected):
    rows, _ = read(write_parquet({"c": values}), columns=(ReadColumn("c", dtype),))
    assert [row[2] for row in rows] == expected


@pytest.mark.parametrize(
    ("values", "dtype", "reason"),
    [
        (pa.array([2**64 - 1], pa.uint64()), "int", "'18446744073709551615' is not a whole number"),
        (pa.array(["x"]), "float", "'x' is not a number"),
        (pa.array([b"\xff"]), "string", r"b'\\xff' is not UTF-8"),
    ],
)
def test_parquet_values_that_cannot_be_cast(write_parquet, values, dtype, reason):
    with pytest.raises(UserError, match=f"rides.parquet:1 column c: {reason}"):
        read(write_parquet({"c": values}), columns=(ReadColumn("c", dtype),))


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        (pa.array([[1]]), "float", r"has type list.* cannot be read as float"),
        (pa.array([MOMENT]), "int", "cannot be read as int; declare it as a datetime"),
    ],
)
def test_parquet_types_that_do_not_fit_are_refused(write_parquet, values, dtype, message):
    with pytest.raises(UserError, match=message):
        read(write_parquet({"c": values}), columns=(ReadColumn("c", dtype),))


def test_parquet_file_that_is_none_is_refused(write):
    with pytest.raises(UserError, match="is not a readable Parquet file"):
        read(write(GOOD_TEXT, "rides.parquet"))
    with pytest.raises(UserError, match="is not a readable Parquet file"):
        read(write(GOOD_TEXT), format="parquet")


def test_parquet_without_a_column_is_refused(write_parquet):
    with pytest.raises(UserError, match="has no column 'fare'; did you mean 'fares'"):
        read(write_parquet({"fares": [1.0]}), columns=(FARE,))


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
