import pytest

from trainer.errors import (
    MAX_CHARACTERS,
    Interrupted,
    TrainingFailed,
    UserError,
    nearest,
    quoted,
)


@pytest.mark.parametrize(
    ("error", "exit_code"), [(UserError, 2), (TrainingFailed, 3), (Interrupted, 75)]
)
def test_exit_codes_are_those_of_the_design(error, exit_code):
    assert error.exit_code == exit_code
    assert error("what is wrong").exit_code == exit_code


def test_errors_are_siblings_so_that_catching_one_does_not_catch_another():
    kinds = [UserError, TrainingFailed, Interrupted]
    assert [kind.__bases__ for kind in kinds] == [(Exception,)] * 3


def test_message_is_printed_as_given():
    assert str(UserError("data.train is empty")) == "data.train is empty"


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("batchsize", "; did you mean 'batch_size'?"),
        ("learning_rat", "; did you mean 'learning_rate'?"),
        ("Batch_Size ", "; did you mean 'batch_size'?"),
        ("E", ""),
        ("quite_another_thing", ""),
        ("", ""),
    ],
)
def test_nearest_names_the_closest_or_nothing(name, phrase):
    assert nearest(name, ["learning_rate", "batch_size", "epochs"]) == phrase


def test_nearest_of_one_letter_is_the_other_case():
    assert nearest("Y", ["age", "y"]) == "; did you mean 'y'?"


def test_nearest_without_valid_names_is_empty():
    assert nearest("batch_size", []) == ""


def test_nearest_does_not_depend_on_the_order_of_equally_close_names():
    # "colum" is one letter away from both.
    assert nearest("colum", ["column", "colums"]) == nearest("colum", ["colums", "column"])


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ("Arrow says:\n  thrift\r\n", "Arrow says: thrift"),
        ("no column \x1b[2J", "no column \\x1b[2J"),
        ("file \udcff.csv", "file \\udcff.csv"),
        ("turned \u202ernul", "turned \\u202ernul"),
        ("caf\u00e9 5\u2033", "caf\u00e9 5\u2033"),
    ],
)
def test_message_is_one_printable_line(message, printed):
    assert str(UserError(message)) == printed


def test_long_message_keeps_what_is_wrong_and_what_to_do():
    message = str(UserError(f"no column {'x' * 10**6}; add it"))
    assert message.startswith("no column xxx")
    assert message.endswith("x; add it")
    assert len(message) <= MAX_CHARACTERS


def test_quoted_cuts_what_is_long():
    assert quoted("ab\n") == "'ab\\n'"
    assert quoted(list(range(10**5)), limit=7) == "[0, 1, ..."
    assert quoted("x" * 10**8, limit=4) == "'xxx..."
