import pytest

from trainer.errors import Interrupted, TrainingFailed, UserError
from trainer.outcome import exit_code_of


def raises(error: BaseException):
    def run():
        raise error

    return run


def test_run_that_ends_is_0_and_says_nothing(capsys):
    assert exit_code_of(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("a is\n1"), 2, "error: a is 1\n"),
        (TrainingFailed("loss is nan"), 3, "error: loss is nan\n"),
        (Interrupted("SIGTERM"), 75, "interrupted: SIGTERM\n"),
        (
            KeyboardInterrupt(),
            75,
            "interrupted: at once, nothing is saved; start again to go on\n",
        ),
    ],
)
def test_expected_end_is_one_line(error, code, line, capsys):
    assert exit_code_of(raises(error)) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("error", [UserError, ZeroDivisionError])
def test_secret_is_in_no_last_line(error, capsys):
    assert exit_code_of(raises(error("cannot read https://host/a?token=abc123"))) in (1, 2)
    err = capsys.readouterr().err
    assert "?token=***" in err and "abc123" not in err


def test_unexpected_end_keeps_its_traceback(capsys):
    assert exit_code_of(raises(ZeroDivisionError("x"))) == 1
    *trace, cause, last = capsys.readouterr().err.splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert cause == "ZeroDivisionError: x"
    assert last == "error: unexpected ZeroDivisionError: x; see the lines above"


def test_reason_goes_where_it_is_wanted_with_its_level(capsys):
    said = []
    for error in (UserError("a"), Interrupted("b"), ZeroDivisionError("c")):
        exit_code_of(raises(error), lambda level, text: said.append((level, text[:9])))
    assert said == [(40, "error: a"), (30, "interrupt"), (40, "Traceback"), (40, "error: un")]
    assert capsys.readouterr() == ("", "")
