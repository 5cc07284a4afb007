"""trainer.csv_records against a state machine that follows a file character by character."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import csv_records

TOKENS = ["a", '"', ",", "\n", '""', ',"', '",', "\r\n"]


def quote_states(data):
    """Positions where quoting begins and ends, as RFC 4180 and Arrow have it."""
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
    return spans


def is_quoted(positions, at):
    return bool(np.searchsorted(positions, at) % 2)


@given(st.lists(st.sampled_from(TOKENS), max_size=30))
def test_line_breaks_are_quoted_as_the_state_machine_says(tokens):
    data = "".join(tokens).encode()
    found, spans = csv_records.quote_positions(data, ","), quote_states(data)
    for at, character in enumerate(data):
        if character in b"\n\r":
            assert is_quoted(found, at) == is_quoted(spans, at)


@given(st.lists(st.sampled_from(TOKENS), max_size=30))
def test_cut_is_after_the_last_line_end_that_is_not_quoted(tokens):
    data = "".join(tokens).encode()
    spans = quote_states(data)
    ends = [at + 1 for at, c in enumerate(data) if c in b"\n" and not is_quoted(spans, at)]
    got = csv_records.last_record_end(data, ",")
    if b"\n" in data:
        assert got == (ends[-1] if ends else 0)


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", 0),
        (b"a,b", 0),
        (b"a,b\n1,2\n3", 8),
        (b"a\r1\r2", 4),
        (b"a\r1\r", 2),  # the last \r may be the first half of \r\n
        (b'"a\nb', 0),
        (b'x\n"a\nb', 2),
        (b'5" pipe\n"a\n', 8),
    ],
)
def test_end_of_the_last_whole_record(data, end):
    assert csv_records.last_record_end(data, ",") == end


def test_other_delimiters_open_values_too():
    data = b'a|"b\n"|5" c\n'
    for delimiter in ("|", "\t"):
        quoted = is_quoted(csv_records.quote_positions(data, delimiter), 4)
        assert quoted == (delimiter == "|")


def test_header_is_taken_off():
    rest = b'"x\n",2\n'
    for header in (b'a,"b\nc"\n', b'\r\n\na,"b\nc"\r\n', b'"a","b\nc"\r'):
        assert csv_records.take_record(header + rest, ",") == (("a", "b\nc"), rest)
    assert csv_records.take_record(b"a;b", ";") == (("a", "b"), b"")


def test_first_records_leave_out_blank_lines_and_one_that_may_be_cut():
    data = b"1,2\n\n3,4\n5,"
    assert csv_records.first_records(data, ",", is_cut=False) == [["1", "2"], ["3", "4"], ["5", ""]]
    assert csv_records.first_records(data, ",", is_cut=True) == [["1", "2"], ["3", "4"]]
    assert len(csv_records.first_records(b"1\n" * 50, ",", is_cut=True)) == 10
    assert csv_records.first_records(b"1,2\n" + b"x" * 200_000, ",", is_cut=False) == [["1", "2"]]


def test_quote_left_open_after_blank_lines_is_a_record():
    assert csv_records.take_record(b'\n\r\n"', ",") == (("",), b"")
    assert csv_records.take_record(b'\n"a\nb', ",") == (("a\nb",), b"")
