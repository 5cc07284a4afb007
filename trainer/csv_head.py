"""The head of a CSV file: whether it is text, names the declared columns, and has their number.

Imports cells and errors; reads nothing itself.
"""

from __future__ import annotations

from collections import Counter

from trainer.cells import ReadColumn
from trainer.errors import UserError, listed, nearest, quoted

_DELIMITERS = ",;\t|"


def check_encoding(path: str, head: bytes) -> None:
    """Raise UserError where a file is no text that can be CSV."""
    if head[:4] == b"PK\x03\x04":
        raise UserError(f"{path} is not CSV text but a zip or Excel file; save it as CSV")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path} is UTF-16; save it as UTF-8")
    if head[:2] == b"\x1f\x8b" or head[:4] == b"PAR1":
        kind = "gzip; name it .gz" if head[:2] == b"\x1f\x8b" else "Parquet; set data.format"
        raise UserError(f"{path} is not CSV text but {kind}")


def check_header(
    path: str, names: tuple[str, ...], columns: tuple[ReadColumn, ...], delimiter: str
) -> None:
    """Check the names of a file's first record.

    Raises:
        UserError: declared columns are not there, perhaps for another delimiter or no header at
            all, or two columns have one name.
    """
    missing = [column.name for column in columns if column.name not in names]
    if missing and len(names) == 1 and (other := _likely_delimiter(names[0])):
        raise UserError(
            f"{path}: line 1 is one column, {quoted(names[0])}, with data.delimiter "
            f"{delimiter!r}; set data.delimiter to {other!r}"
        )
    if missing and any(is_number(name) for name in names):
        raise UserError(
            f"{path}: line 1 should name the columns, but looks like data: "
            f"{listed(names[:5])}; if the file has no header, list them in data.column_names"
        )
    is_like = len(missing) < len(columns) or any(nearest(name, names) for name in missing)
    hint = "" if is_like else ". If the file has no header, list them in data.column_names"
    check_names(path, names, columns, hint)
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise UserError(f"{path}: the header names {listed(map(repr, twice))} more than once")


def check_names(
    path: str, names: tuple[str, ...], columns: tuple[ReadColumn, ...], hint: str = ""
) -> None:
    """Raise UserError where the file has no column of a declared name; `hint` ends its text."""
    for column in columns:
        if column.name not in names:
            raise UserError(
                f"{path} has no column {column.name!r}{nearest(column.name, names)}; "
                f"its columns are {listed(names)}{hint}"
            )


def check_records(
    path: str, names: tuple[str, ...], records: list[list[str]], has_header: bool
) -> None:
    """Raise UserError where the first records do not have as many fields as there are names."""
    if records and not has_header and tuple(records[0]) == tuple(names):
        raise UserError(f"{path}: line 1 repeats data.column_names, a header; leave the option out")
    counts = {len(record) for record in records}
    if len(counts) == 1 and (count := counts.pop()) != len(names):
        declared = "the header" if has_header else "data.column_names"
        raise UserError(f"{path}: {declared} has {len(names)} names, the file has {count} fields")


def _likely_delimiter(line: str) -> str | None:
    """What stands most often in a header, of the usual delimiters."""
    most = max(_DELIMITERS, key=line.count)
    return most if most in line else None


def is_number(text: str) -> bool:
    """Whether Python takes a text for a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
