"""trainer.csv_files: files that do not fit, and chunks that end within quoted values."""

import csv
import gzip
import io

import pytest

from trainer import csv_files
from trainer.csv_files import CsvFile, CsvFormat
from trainer.errors import UserError
from trainer.reader import ReadColumn

COLUMNS = (
    ReadColumn("fare", "float", required=True),
    ReadColumn("size", "int"),
    ReadColumn("color", "dictionary"),
    ReadColumn("note", "string"),
)
NAMES = tuple(column.name for column in COLUMNS)
HEADER = "fare,size,color,note\n"
GOOD_TEXT = HEADER + "1.5,3,red,x\n2,,NA, y \n 3 ,0,red,\n"


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="rides.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write_file


def read(path, column_names=None):
    """All stretches of a file."""
    return list(CsvFile(path, CsvFormat(column_names, ",", ("", "NA")), COLUMNS).read())


def test_quoted_line_breaks_and_quotes_across_blocks(write, monkeypatch):
    notes = ['a\nb"c', "\r\n", 'say "hi",\n\nbye', "plain", 'in 5" pipe'] * 20
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([i, 1, "c", n] for i, n in enumerate(notes))
    path = write(HEADER + buffer.getvalue().replace('"in 5"" pipe"', 'in 5" pipe'))
    for size in (64, 77, 1 << 20):
        monkeypatch.setattr(csv_files, "BLOCK_BYTES", size)
        stretches = read(path)
        assert [n for rows in stretches for n in rows.columns["note"].to_pylist()] == notes
        fares = [fare for rows in stretches for fare in rows.columns["fare"].to_pylist()]
        assert fares == list(range(100))
        assert (len(stretches) > 20) == (size < 100)


FILE_PROBLEMS = {
    "empty": (b"", {}, "rides.csv is empty; expected rows"),
    "only blank": (b"\xef\xbb\xbf\r\n\n", {}, "rides.csv is empty"),
    "no such column": (b"fair,size,color,note\n", {}, "no column 'fare'; did you mean 'fair'?"),
    "endless name": (
        b"fare,size,color,note," + b"x" * 200_000,
        {},
        r"rides.csv: line 1 does not name columns: field larger than .*; if the file has no header",
    ),
    "long names": (
        b",".join(b"%d" % i + b"x" * 500 for i in range(50)) + b"\n1\n",
        {},
        r"its columns are 0x{29}\.\.\., 1x{29}\.\.\., .*19x{28}\.\.\., \.\.\.\. If the file has",
    ),
    "many columns": (b"," * 300_000 + b"\n", {}, "no column 'fare'; its columns are , , "),
    "many equal names": (
        HEADER.strip().encode() + b"," * 300_000 + b"\n1,1,red,x" + b"," * 300_000,
        {},
        "the header names '' more than once",
    ),
    "control characters": (b"fare,size,color,\x1b[2Jnote\n", {}, r"fare, size, color, \\x1b\[2Jno"),
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
        read(write(data), **options)


def test_quote_that_stays_open_too_long_is_refused(write, monkeypatch):
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 64)
    monkeypatch.setattr(csv_files, "MAX_RECORD_BYTES", 256)
    with pytest.raises(UserError, match="a quoted value does not end within"):
        read(write(GOOD_TEXT + '1,1,red,"x\n' + "1,1,,\n" * 100))


def test_broken_gzip_is_refused(write):
    whole = gzip.compress((HEADER + "1,1,a,b\n" * 50).encode())
    for name, data in (("cut.csv.gz", whole[:-12]), ("plain.csv.gz", GOOD_TEXT.encode())):
        with pytest.raises(UserError, match=rf"cannot read .*{name}: .*is it really gzip"):
            read(write(data, name))


def test_one_bad_row_spoils_no_other(write, monkeypatch):
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 64)
    lines = ["1,1,a,b"] * 30
    lines[17] = "x,1,a,b"
    lines[23] = "1,1,a"
    stretches = read(write(HEADER + "\n".join(lines)))
    first, bad, good = 0, [], []
    for rows in stretches:
        bad += [(first + problem.row, problem.reason) for problem in rows.problems]
        good += (first + rows.row_numbers).tolist()
        first += rows.num_records
    assert bad == [(17, "column fare: 'x' is not a number"), (23, "3 fields instead of 4")]
    assert good == [row for row in range(30) if row not in (17, 23)]


def test_record_of_two_bytes_is_a_stretch_of_its_own(write, monkeypatch):
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", len(HEADER) + 2)
    stretches = read(write(HEADER + "1\n1,1,red,x\n"))
    assert [(rows.num_records, len(rows.problems)) for rows in stretches] == [(1, 1), (1, 0)]


def test_header_longer_than_a_block_is_refused(write, monkeypatch):
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", len(HEADER) - 1)
    with pytest.raises(UserError, match=r"line 1 does not end within 20 bytes; expected the names"):
        read(write(GOOD_TEXT))


def test_decimal_commas_are_the_numbers_of_decimal_points(write):
    cells = ["1.5,3,red,x", "-2.25e1,4.0,blue,y", "7,,,"]
    text = HEADER + "\n".join(cells) + "\n"
    swapped = text.translate(str.maketrans(",.", ";,"))
    with_commas = CsvFormat(None, ";", ("", "NA"), ",")

    def rows_of(path, csv_format):
        (rows,) = CsvFile(path, csv_format, COLUMNS).read()
        return {n: c.to_pylist() for n, c in rows.columns.items()}, rows.problems

    points, _ = rows_of(write(text), CsvFormat(None, ",", ("", "NA")))
    assert points["fare"] == [1.5, -22.5, 7.0]
    assert rows_of(write(swapped, "commas.csv"), with_commas) == (points, [])
    # A chunk with a bad row goes the other road; a point is none there, for it parts thousands.
    commas, problems = rows_of(write(swapped + "1.000;3;red;x\n", "bad.csv"), with_commas)
    assert (commas, len(problems)) == (points, 1)
    assert problems[0].reason == "label fare: '1.000' is not a number".replace("label", "column")
