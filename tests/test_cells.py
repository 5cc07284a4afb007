"""trainer.cells: text to numbers, and the rules of a row."""

import math

import pyarrow as pa
import pytest

from trainer.cells import (
    ARROW_TYPES,
    Problem,
    ReadColumn,
    check_rules,
    convert_text,
    decode_utf8,
    shorten,
)


@pytest.mark.parametrize(
    ("dtype", "cells", "expected"),
    [
        ("float", ["1.5", " 2\t", "+3", "1e2", ".5", "5."], [1.5, 2.0, 3.0, 100.0, 0.5, 5.0]),
        ("float", ["NA", " NA ", "", None], [None] * 4),
        ("int", ["1", " 2 ", "+3", "1e2", "4.0", "-0x1f", "0x1f"], [1, 2, 3, 100, 4, None, 31]),
        ("int", ["9223372036854775807", "9223372036854775808"], [2**63 - 1, None]),
        ("int", ["9007199254740994.0", "nan", "inf"], [None, None, None]),
        ("int", ["9" * 5000, "0" * 5000 + "7", "-00", "0x" + "0" * 20 + "a"], [None, 7, 0, 10]),
        ("string", [" a ", "NA", "", None], [" a ", None, None, None]),
        ("dictionary", ["a", "NA", "a"], ["a", None, "a"]),
    ],
)
def test_text_becomes_the_type(dtype, cells, expected):
    column = ReadColumn("c", dtype)
    values, problems = convert_text(pa.array(cells, pa.string()), column, ("", "NA"))
    assert values.type == ARROW_TYPES[dtype]
    assert values.to_pylist() == expected
    refused = [i for i, cell in enumerate(cells) if cell and "NA" not in cell]
    assert [p.row for p in problems] == [i for i in refused if expected[i] is None]


@pytest.mark.parametrize("cell", ["0x10", "1_000", "1,5", "1 2", "one", "--1", "\u0661", "1e", "."])
@pytest.mark.parametrize("dtype", ["float", "int"])
def test_text_that_is_no_number_is_a_problem(cell, dtype):
    if (cell, dtype) == ("0x10", "int"):
        pytest.skip("hexadecimal is a whole number, as in Arrow")
    column = ReadColumn("c", dtype)
    values, problems = convert_text(pa.array(["1", cell]), column, (), ".")
    kind = "a whole number" if dtype == "int" else "a number"
    assert values.to_pylist() == [1, None]
    what_to_do = "data.decimal_point: ','" if cell == "1,5" else "data.null_values"
    assert [problem[:2] for problem in problems] == [(1, f"column c: {cell!r} is not {kind}")]
    assert what_to_do in problems[0].advice
    # Of other files than CSV no option says how numbers are written.
    assert convert_text(pa.array([cell]), column, ())[1][0].advice == ""


@pytest.mark.parametrize(
    ("dtype", "cells", "expected"),
    [
        ("float", ["1,5", "-,5e1", "7", "1.5", "1.234,5", "NA"], [1.5, -5, 7, None, None, None]),
        ("int", ["3,0", "4", "3,5", "1.000"], [3, 4, None, None]),
    ],
)
def test_numbers_may_have_a_decimal_comma_and_then_no_point(dtype, cells, expected):
    values, problems = convert_text(pa.array(cells), ReadColumn("c", dtype), ("NA",), ",")
    assert values.to_pylist() == expected
    refused = [row for row, value in enumerate(expected) if value is None and cells[row] != "NA"]
    assert [problem.row for problem in problems] == refused


def test_a_label_that_is_none_of_its_texts_comes_with_its_own_advice():
    column = ReadColumn("y", "float", allowed=("0", "1"), required=True, advice="state it")
    _, problems = convert_text(pa.array(["yes", "2,5"]), column, (), ".")
    assert [problem.advice for problem in problems] == ["state it", problems[1].advice]
    assert "data.decimal_point" in problems[1].advice
    broken = check_rules(pa.array([2.0, None, math.inf], pa.float32()), column)
    assert {p.row: p.advice for p in broken if p.advice} == {0: "state it", 2: "state it"}


def test_both_roads_round_a_number_alike():
    texts = ["16777217.0000001", "0.1", "1e-46", "3.4028235e38"]
    column = ReadColumn("c", "float")
    plain, _ = convert_text(pa.array(texts), column, ())
    beside_a_bad_one, _ = convert_text(pa.array([*texts, "x"]), column, ())
    assert plain.to_pylist() == beside_a_bad_one.to_pylist()[:-1]


@pytest.mark.parametrize(
    ("dtype", "texts"),
    [
        ("float", ["nan(x1)", "-nan()", "1e999", "-.5e-3", "+7.", "INFINITY"]),
        ("int", ["0xffffffffffffffff", "0x8000000000000000", "007", "-9223372036854775808", "-0"]),
    ],
)
def test_number_does_not_depend_on_its_neighbours(dtype, texts):
    column = ReadColumn("c", dtype)
    plain, problems = convert_text(pa.array(texts), column, ())
    beside_a_bad_one, _ = convert_text(pa.array([*texts, "x"]), column, ())
    assert problems == []
    assert str(plain.to_pylist()) == str(beside_a_bad_one.to_pylist()[:-1])  # NaN as text


def test_bytes_that_are_not_utf8_are_a_problem():
    texts, problems = decode_utf8(pa.array([b"a", b"\xff", None]), ReadColumn("c", "string"))
    assert texts.to_pylist() == ["a", None, None]
    assert problems == [Problem(1, "column c: b'\\xff' is not UTF-8")]


def broken(values, column):
    return [problem.row for problem in check_rules(values, column)]


def test_missing_numbers_pass_unless_required():
    values = pa.array([None, math.nan, 1.0, -5.0, 5.0], pa.float32())
    column = ReadColumn("c", "float", minimum=0, maximum=2, allowed=("1", "2"))
    assert broken(values, column) == [3, 4, 3, 4]  # a rule each
    assert broken(values, ReadColumn("c", "float", required=True)) == [0, 1]


def test_infinite_number_is_always_refused():
    values = pa.array([math.inf, -math.inf, 1.0], pa.float32())
    assert broken(values, ReadColumn("c", "float")) == [0, 1]


def test_missing_whole_numbers_pass_unless_required():
    values = pa.array([None, -1, 7, 3])
    assert broken(values, ReadColumn("c", "int", minimum=1, maximum=5)) == [1, 2]
    assert broken(values, ReadColumn("c", "int", required=True)) == [0]
    assert broken(values, ReadColumn("c", "int", allowed=("3",))) == [1, 2]


def test_missing_texts_pass_unless_required():
    values = pa.array(["a", None, "b"])
    for dtype, array in (("string", values), ("dictionary", values.dictionary_encode())):
        assert broken(array, ReadColumn("c", dtype, allowed=("a",))) == [2]
        assert broken(array, ReadColumn("c", dtype, required=True)) == [1]
    problem = check_rules(values, ReadColumn("c", "string", allowed=tuple("acdefghijklm")))[0]
    assert problem.reason.endswith(
        "'b' is not one of 'a', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', ..."
    )


def test_long_cells_are_cut():
    assert shorten("x" * 61) == f"'{'x' * 60}'..."
    assert shorten(b"x" * 60) == f"b'{'x' * 60}'"
