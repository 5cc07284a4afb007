"""Where the records of a CSV begin and end, quoted line breaks respected. Imports numpy only."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_HEAD_RECORDS = 10
# A record in which every quote quotes: good for a header.
_RECORD = re.compile(rb'(?:[^"\r\n]|"[^"]*")*(?:\r\n|\r|\n|\Z)')


def take_record(data: bytes, delimiter: str) -> tuple[tuple[str, ...], bytes]:
    """Fields of the first record that is not blank, and what follows it.

    >>> take_record(b'a,"b c"\\n1,2\\n', ",")
    (('a', 'b c'), b'1,2\\n')
    """
    data = data.lstrip(b"\r\n")
    match = _RECORD.match(data)
    end = match.end() if match else len(data)
    return tuple(next(_reader(data[:end], delimiter))), data[end:]


def first_records(data: bytes, delimiter: str, is_cut: bool) -> list[list[str]]:
    """The first few records after the header, less one that may be `is_cut` off."""
    records: list[list[str]] = []
    try:
        for record in _reader(data, delimiter):
            records += [record] if record else []
            if len(records) > _HEAD_RECORDS:
                return records[:-1]
    except csv.Error:  # a value over 128 KiB: not for this look ahead
        return records
    return records[:-1] if is_cut else records


def last_record_end(data: bytes, delimiter: str) -> int:
    """The end of the last record that is certainly whole, 0 where there is none."""
    # A \r that ends the data may be half of a line end.
    newline, end = (b"\n", len(data)) if b"\n" in data else (b"\r", len(data) - 1)
    quotes = quote_positions(data, delimiter)
    if len(quotes) % 2:
        end = int(quotes[-1])
    while end > 0:
        position = data.rfind(newline, 0, end)
        num_before = int(np.searchsorted(quotes, position))
        if num_before % 2 == 0:
            return position + 1
        end = int(quotes[num_before - 1])
    return 0


def quote_positions(data: bytes, delimiter: str) -> npt.NDArray[np.int64]:
    """Positions of quotes that open and close values, alternating; the last may stay open.

    As Arrow reads them: a quote opens a value only as its first character; "" within is a quote.
    """
    if b'"' not in data:
        return np.empty(0, np.int64)
    characters = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(characters == ord('"'))
    bounds = np.frombuffer(f'"\r\n{delimiter}'.encode(), np.uint8)
    before = characters[np.maximum(quotes[0::2] - 1, 0)]
    after = characters[np.minimum(quotes[1::2] + 1, len(data) - 1)]
    if np.isin(before[int(quotes[0] == 0) :], bounds).all() and np.isin(after, bounds).all():
        return quotes
    # Some quote stands within a plain value, as in 5" pipe: follow the values one by one.
    mark = re.escape(delimiter.encode())
    value = re.compile(rb'(?:\A|(?<=[\r\n%b]))"[^"]*(?:""[^"]*)*("|\Z)' % mark)
    found = value.finditer(data)
    ends = [end for m in found for end in ((m.start(), m.end() - 1) if m[1] else (m.start(),))]
    return np.array(ends, np.int64)


def _reader(data: bytes, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(data.decode(errors="replace"), newline=""), delimiter=delimiter)
