"""Random and damaged CSV and Parquet files: no traceback, no hang, and no row is lost in silence.

    python -m pytest tests/test_fuzz_*.py --fuzz_examples=10000

gives each test that many inputs (some cost more and take a share); by default a few, the same each
time.
"""

import csv
import gzip
import io
import math
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing import damaged, fuzz, only_clear_errors
from trainer import csv_files
from trainer.reader import BadRows, ReadColumn, Source, read_blocks

COLUMNS = (
    ReadColumn("fare", "float", required=True, role="label"),
    ReadColumn("size", "int"),
    ReadColumn("miles", "float"),
    ReadColumn("note", "string"),
    ReadColumn("color", "dictionary"),
)
NAMES = [column.name for column in COLUMNS]
NULLS = ("", "NA")
NO_LIMIT = 10**6


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def read(path, **options):
    """(row number in the file, values) of each good row, and how many rows were bad."""
    bad_rows = BadRows(NO_LIMIT)
    source = Source(files=(str(path),), columns=COLUMNS, null_values=NULLS, **options)
    rows = []
    for block in read_blocks(source, bad_rows):
        values = [block.columns[name].to_pylist() for name in NAMES]
        rows += zip(block.row_numbers.tolist(), *values, strict=True)
    return rows, bad_rows.count


def float32(number):
    with np.errstate(over="ignore"):
        return None if number is None else float(np.float32(number))


# A cell: what it means, and one of the ways to write it. None: the cell makes its row bad.
PADDING = st.sampled_from(["", "", " ", "\t", "  "])


@st.composite
def whole_numbers(draw):
    number = draw(st.one_of(st.integers(-9, 9), st.integers(-(2**63), 2**63 - 1)))
    spellings = [str(number), f"{number:+d}", f"{'-' if number < 0 else ''}000{abs(number)}"]
    if abs(number) < 2**53:
        spellings += [f"{number}.0", f"{number}.", f"{number}e0", f"{number}00E-2"]
    if number >= 0:
        spellings += [f"0x{number:x}", f"0X{number:X}"]
    return number, draw(PADDING) + draw(st.sampled_from(spellings)) + draw(PADDING)


@st.composite
def numbers(draw):
    number = draw(
        st.one_of(st.floats(-1e4, 1e4), st.floats(width=32, allow_nan=False, allow_infinity=False))
    )
    spellings = [repr(number), f"{number:+}", f"{number:.17e}", f"{number:.20E}", f"{number:.60f}"]
    return float32(number), draw(PADDING) + draw(st.sampled_from(spellings)) + draw(PADDING)


@st.composite
def texts(draw):
    text = draw(
        st.text(
            st.one_of(st.sampled_from("\",;|\t\r\n 'a0\0"), st.characters(codec="utf-8")),
            max_size=12,
        )
    )
    return (None if text in NULLS else text), text


MISSING = st.sampled_from([(None, ""), (None, "NA")])
BAD_NUMBERS = st.sampled_from(
    ["x", "1e", "--1", "1 2", "1_000", "0x", "inf", "-1e999", "\u096f", "\0", "5%"]
)
BAD = BAD_NUMBERS.map(lambda text: (ValueError, text))
CELLS = (
    st.one_of(numbers(), numbers(), numbers(), BAD, st.just((ValueError, ""))),
    st.one_of(whole_numbers(), whole_numbers(), MISSING, BAD, st.just((ValueError, "9" * 4400))),
    st.one_of(numbers(), MISSING, BAD, st.just((math.nan, "NaN"))),
    st.one_of(texts(), MISSING),
    st.one_of(texts(), MISSING, st.sampled_from(["red", "blue"]).map(lambda text: (text, text))),
)


@st.composite
def tables(draw):
    """(bytes of a CSV file, delimiter, expected good rows, number of bad rows)."""
    delimiter = draw(st.sampled_from(",,,;|\t:"))
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r", "mixed"]))
    parts = ["\ufeff" if draw(st.booleans()) else "", delimiter.join(NAMES)]
    good, num_bad = [], 0
    num_rows = draw(st.integers(2, 12))
    for row in range(num_rows):
        end = draw(st.sampled_from(["\n", "\r\n", "\r"])) if line_end == "mixed" else line_end
        parts.append(end * draw(st.sampled_from([1, 1, 1, 2, 3])))
        cells = [draw(cell) for cell in CELLS]
        fields = [_field(draw, text, delimiter) for _, text in cells]
        # The first rows are whole: a file whose rows all have other fields is refused at once.
        cut = draw(st.integers(-2, 2)) if row > 1 and draw(st.integers(0, 7)) == 0 else 0
        fields = fields[:cut] if cut < 0 else fields + ["z"] * cut
        parts.append(delimiter.join(fields))
        if cut or any(value is ValueError for value, _ in cells):
            num_bad += 1
        else:
            good.append((row, *(value for value, _ in cells)))
    parts.append(draw(st.sampled_from(["", "\n", "\r\n\r\n"])))
    return "".join(parts).encode(), delimiter, good, num_bad


def _field(draw, text, delimiter):
    # A space is no quote, but a text that looks like the end of a quoted value needs them.
    must = any(character in text for character in f'{delimiter}"\r\n') or text[:1] == "\ufeff"
    if must or draw(st.integers(0, 3)) == 0:
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


def same(rows, expected):
    """Equal, NaN with NaN."""
    return repr(rows) == repr(expected)


@fuzz(0.5)
@given(tables(), st.sampled_from([40, 61, 200, 1 << 20]), st.booleans())
def test_table_in_odd_but_legal_csv_reads_back(folder, table, block_bytes, is_gzip):
    data, delimiter, good, num_bad = table
    path = folder / ("rides.csv.gz" if is_gzip else "rides.csv")
    path.write_bytes(gzip.compress(data, 1) if is_gzip else data)
    with pytest.MonkeyPatch.context() as patch, only_clear_errors() as messages:
        patch.setattr(csv_files, "BLOCK_BYTES", block_bytes)
        rows, count = read(path, delimiter=delimiter)
    assert messages == []
    assert count == num_bad
    assert same(rows, good)


def csv_of(rows, **options):
    buffer = io.StringIO()
    csv.writer(buffer, **options).writerows([NAMES, *rows])
    return buffer.getvalue().encode()


REAL = (
    csv_of([(i + 0.5, i, f"{i}e-3", f"note {i}", "red" if i % 3 else "") for i in range(30)]),
    csv_of([(i, "NA", i, 'a "b"\n, c', "\u00e9") for i in range(9)], quoting=csv.QUOTE_ALL),
    csv_of([(1, 2, 3, "", "x"), (2, 0x1F, "", "line\r\nline", '5" pipe')] * 3, lineterminator="\n"),
)
PIECES = (
    b'"',
    b'""',
    b",",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"1e999",
    b"NA",
)
PIECES += (
    b",,,,",
    b'","',
    b'"\n"',
    b"\x1f\x8b",
    b"PAR1",
    b" ",
    b"\t",
    b"9" * 4400,
    b"\x85",
    b"\xe2\x80\xa8",
)
SOUP = st.lists(st.sampled_from([*PIECES, b"1", b"2.5", b"red"]), max_size=60).map(
    lambda parts: csv_of([(1, 2, 3, "a", "b")]) + b"".join(parts)
)


@fuzz()
@given(
    st.one_of(damaged(REAL, PIECES), SOUP, st.binary(max_size=80)),
    st.sampled_from([40, 61, 1 << 20]),
)
def test_damaged_csv_loses_no_row(folder, data, block_bytes):
    path = folder / "damaged.csv"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch, only_clear_errors() as messages:
        patch.setattr(csv_files, "BLOCK_BYTES", block_bytes)
        rows, count = read(path)
    if messages:
        assert str(path) in messages[0]
        return
    # Python's csv module agrees on where records end, and says nothing of a quote left open.
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    records = [record for record in csv.reader(io.StringIO(text, newline="")) if record]
    assert len(rows) + count == len(records) - 1
    for number, fare, *_ in rows:
        record = dict(zip(records[0], records[1 + number], strict=True))
        assert fare == float32(float(record["fare"]))


@fuzz(0.3)
@given(damaged([gzip.compress(data) for data in REAL]))
def test_damaged_gzip_is_read_whole_or_refused(folder, data):
    path = folder / "damaged.csv.gz"
    path.write_bytes(data)
    with only_clear_errors() as messages:
        rows, count = read(path)
    if not messages:
        text = gzip.decompress(data).decode()
        records = [record for record in csv.reader(io.StringIO(text, newline="")) if record]
        assert len(rows) + count == len(records) - 1


def parquet_of(**columns):
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), buffer, row_group_size=7)
    return buffer.getvalue().to_pybytes()


NUM_ROWS = 20
PLAIN = {
    "fare": np.arange(NUM_ROWS) / 4,
    "size": [None, *range(1, NUM_ROWS)],
    "miles": np.arange(NUM_ROWS, dtype=np.float32),
    "note": [f"note {i}" for i in range(NUM_ROWS)],
    "color": pa.array(["red", None] * 10).dictionary_encode(),
}
PARQUET = (
    parquet_of(**PLAIN),
    parquet_of(
        fare=pa.array([1] * NUM_ROWS, pa.decimal128(9, 2)),
        size=pa.array([True] * NUM_ROWS),
        miles=pa.array([2**64 - 1] * NUM_ROWS, pa.uint64()),
        note=pa.array(range(NUM_ROWS), pa.timestamp("us", "UTC")),
        color=pa.array([b"red\xff"] * NUM_ROWS),
    ),
)


@fuzz(2)
@given(damaged(PARQUET))
def test_damaged_parquet_loses_no_row(folder, data):
    path = folder / "damaged.parquet"
    path.write_bytes(data)
    with only_clear_errors() as messages:
        rows, count = read(path)
    if messages:
        assert str(path) in messages[0]
    else:
        assert len(rows) + count == pq.read_metadata(path).num_rows


# Arrow type, Python values of it, and what each becomes as float, int and text (None: missing,
# ValueError: a bad row), by Python's own rules.
def _int_of(value):
    return int(value) if float(value).is_integer() and -(2**63) <= value < 2**63 else ValueError


def _finite(value):
    number = float32(value)
    return number if math.isfinite(number) else ValueError


EPOCH = datetime(1970, 1, 1)
INT_KINDS = [(pa.int8(), 7), (pa.int32(), 31), (pa.int64(), 63), (pa.uint64(), 64)]
KINDS = [
    *(
        (kind, st.integers(0 if bits == 64 else -(2**bits), 2**bits - 1), _finite, _int_of, str)
        for kind, bits in INT_KINDS
    ),
    (pa.float64(), st.floats(allow_nan=False, allow_infinity=False), _finite, _int_of, None),
    (pa.float64(), st.integers(-(2**70), 2**70).map(float), _finite, _int_of, None),
    (pa.bool_(), st.booleans(), float, int, lambda value: str(value).lower()),
    (pa.date32(), st.dates(), TypeError, TypeError, str),
    (
        pa.timestamp("us"),
        st.datetimes(),
        TypeError,
        TypeError,
        lambda value: str(EPOCH + timedelta(seconds=(value - EPOCH) // timedelta(seconds=1))),
    ),
    (pa.list_(pa.int64()), st.just([1]), TypeError, TypeError, TypeError),
]


@fuzz()
@given(st.data())
def test_parquet_of_any_type_reads_back(folder, data):
    kind, values, *rules = data.draw(st.sampled_from(KINDS))
    dtype = data.draw(st.sampled_from(["float", "int", "string", "dictionary"]))
    rule = rules[{"float": 0, "int": 1}.get(dtype, 2)]
    column = data.draw(st.lists(st.one_of(st.none(), values), min_size=1, max_size=20))
    path = folder / "kinds.parquet"
    pq.write_table(pa.table({"x": pa.array(column, kind)}), path, row_group_size=8)
    bad_rows = BadRows(NO_LIMIT)
    source = Source(files=(str(path),), columns=(ReadColumn("x", dtype),))
    with only_clear_errors() as messages:
        blocks = list(read_blocks(source, bad_rows))
    if rule is TypeError:
        assert messages
        assert f"has type {kind}".split("<")[0] in messages[0]
        return
    assert messages == []
    found = [value for block in blocks for value in block.columns["x"].to_pylist()]
    if rule is None:
        assert len(found) == len(column)
        assert [None if text is None else float(text) for text in found] == column
        return
    expected = [None if value is None else rule(value) for value in column]
    assert found == [value for value in expected if value is not ValueError]
    assert bad_rows.count == expected.count(ValueError)
