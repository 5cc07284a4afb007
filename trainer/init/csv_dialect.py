"""How a CSV is written, by its first bytes: delimiter, header, names, decimals; opens no file.

Imports csv_records and errors.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from trainer.csv_records import first_records
from trainer.errors import UserError, listed

DELIMITERS = (",", ";", "\t", "|")
_COMMA_NUMBER = re.compile(r"[+-]?\d+(,\d+)?", re.ASCII)
_BOM = b"\xef\xbb\xbf"


class CsvDialect(NamedTuple):
    """What is needed to read the records of a file."""

    delimiter: str
    has_header: bool
    names: tuple[str, ...]  # of the header, or as given, or c1, c2, ...
    decimal_point: Literal[".", ","] = "."


class Given(NamedTuple):
    """What the user said of the files, None where it is to be found out."""

    delimiter: str | None = None
    column_names: tuple[str, ...] | None = None
    header: Literal["auto", "yes", "no"] = "auto"


def detect_dialect(path: str, head: bytes, *, is_cut: bool, given: Given) -> CsvDialect:
    """The dialect of a file that begins with `head`.

    Args:
        path: for messages.
        head: its first bytes, unpacked.
        is_cut: whether there is more.
        given: what need not be guessed.

    Raises:
        UserError: the file is empty, is no text in UTF-8, or has one column.
    """
    data = check_text(path, head)
    delimiter = given.delimiter or _delimiter(path, data, is_cut)
    records = first_records(data, delimiter, is_cut)
    width = Counter(len(record) for record in records).most_common(1)[0][0] if records else 0
    if width < 2:
        raise UserError(
            f"{path} has one column where {delimiter!r} separates; a target and one more column "
            "are needed. Give --delimiter if another character separates"
        )
    has_header = given.header == "yes"
    if given.header == "auto" and given.column_names is None:
        has_header = is_header(records[0], records[1:])
    names = given.column_names or tuple(records[0] if has_header else _numbered(width))
    if len(names) != width:
        raise UserError(
            f"{path} has {width} fields in a row and {len(names)} names: {listed(names)}; give as "
            "many --column_names as there are fields"
        )
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise UserError(
            f"{path}: {listed(map(repr, twice))} names more than one column; rename one in the "
            "header, since the trainer finds columns by name"
        )
    return CsvDialect(delimiter, has_header, names, _decimal_point(records[has_header:], delimiter))


def check_text(path: str, head: bytes) -> bytes:
    """The head without a byte order mark.

    Raises:
        UserError: it is empty, packed, Parquet, UTF-16 or binary.
    """
    if head[:2] == b"\x1f\x8b":
        raise UserError(f"{path} is gzip; name it .gz")
    if head[:4] == b"PAR1":
        raise UserError(f"{path} is Parquet; give it as --parquet={path}")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path} is UTF-16; save it as UTF-8")
    data = head.removeprefix(_BOM)
    if b"\0" in data:
        raise UserError(f"{path} is a binary file; expected CSV text or Parquet")
    if not data.strip(b" \t\r\n"):
        raise UserError(f"{path} is empty; expected rows of a table")
    return data


def is_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether a record names columns: it is unlike the records below it.

    It is data where a field that has a digit is formed as those below it, or stands there again,
    or where names are missing or stand twice; an empty first name is pandas' index.

    >>> is_header(["age", "city"], [["31", "Rome"]]), is_header(["30", "Oslo"], [["31", "Rome"]])
    (True, False)
    """
    if len(set(first)) != len(first) or not all(name.strip() for name in first[1:]):
        return False
    for place, name in enumerate(first):
        below = [record[place] for record in others if len(record) == len(first)]
        if below and name and (name in below or _form(name) in map(_form, below)):
            return False
    return True


def _decimal_point(records: Sequence[Sequence[str]], delimiter: str) -> Literal[".", ","]:
    """A comma where it is in the numbers of a column that has nothing but numbers.

    >>> _decimal_point([["1,5", "a"], ["2", "b"], ["", "1,5"]], ";")
    ','
    """
    for column in zip(*records, strict=False) if delimiter != "," else ():
        cells = [cell.strip() for cell in column if cell.strip()]
        if any("," in cell for cell in cells) and all(map(_COMMA_NUMBER.fullmatch, cells)):
            return ","
    return "."


def _form(text: str) -> str:
    """Numbers as 9, other texts with each digit as 0; a text without a digit has its own form."""
    try:
        float(text)
        return "9"
    except ValueError:
        form = re.sub(r"\d", "0", text)
        return form if form != text else f"={text}"


def _delimiter(path: str, data: bytes, is_cut: bool) -> str:
    """The character that cuts most of the first records into equally many fields, two or more."""
    scores = {}
    for candidate in DELIMITERS:
        widths = Counter(len(record) for record in first_records(data, candidate, is_cut))
        if widths:
            width, count = widths.most_common(1)[0]
            scores[candidate] = (width > 1, count / widths.total(), width)
    if not scores:
        raise UserError(f"{path} has no whole record in its first {len(data)} bytes; is it CSV?")
    return max(scores, key=lambda candidate: scores[candidate])


def _numbered(width: int) -> list[str]:
    return [f"c{number}" for number in range(1, width + 1)]
