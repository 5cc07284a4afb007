import json
import logging
import os
import warnings

import pytest

from trainer import logs
from trainer.logs import say_last, set_up_logging

logger = logging.getLogger("trainer.example")


pytestmark = pytest.mark.usefixtures("restore_logging")


def test_cloud_lines_are_json_with_severity_on_stdout(capsys):
    set_up_logging(as_json=True)
    logger.info("step %d", 3)
    logger.warning('a "quoted" line\nand another')
    out, err = capsys.readouterr()
    assert err == ""
    assert [json.loads(line) for line in out.splitlines()] == [
        {"severity": "INFO", "message": "step 3", "logger": "trainer.example"},
        {
            "severity": "WARNING",
            "message": 'a "quoted" line\nand another',
            "logger": "trainer.example",
        },
    ]


def test_cloud_line_of_an_exception_carries_the_traceback(capsys):
    set_up_logging(as_json=True)
    try:
        raise KeyError("age")
    except KeyError:
        logger.exception("could not read")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["severity"] == "ERROR"
    assert json.loads(line)["message"].startswith("could not read\nTraceback")
    assert json.loads(line)["message"].endswith("KeyError: 'age'")


def test_local_lines_are_text_with_the_level_from_warning_on(capsys):
    set_up_logging(as_json=False)
    logger.info("step %d", 3)
    logger.warning("a constant column")
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split(" ", 1)[1] for line in out.splitlines()] == [
        "step 3",
        "warning: a constant column",
    ]


@pytest.mark.parametrize("as_json", [False, True])
def test_secrets_and_control_characters_are_in_no_line(as_json, capsys):
    set_up_logging(as_json=as_json)
    logger.info("reading %s", "https://host/a?X-Goog-Signature=abc123")
    warnings.warn("HF_TOKEN=abc123", stacklevel=1)
    try:
        raise ValueError("https://me:abc123@host\x1b[2J")
    except ValueError:
        logger.exception("failed")
    say_last(logging.ERROR, "error: Authorization: Bearer abc123")
    out, err = capsys.readouterr()
    messages = [json.loads(line)["message"] for line in out.splitlines()] if as_json else [out, err]
    said = "\n".join(messages)
    assert "abc123" not in said and "\x1b" not in said and "abc123" not in out
    # The traceback has the address twice: in the line of the source and in the message.
    assert said.count("***") == 5 and "\\x1b[2J" in said


def test_other_libraries_are_heard_from_warning_on(capsys):
    set_up_logging(as_json=False)
    for name in ("tensorflow", "absl", "urllib3"):
        logging.getLogger(name).info("noise")
        logging.getLogger(name).warning("%s matters", name)
    assert [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "tensorflow matters",
        "absl matters",
        "urllib3 matters",
    ]


def test_second_set_up_replaces_the_first_and_leaves_other_handlers(capsys):
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    set_up_logging(as_json=False)
    set_up_logging(as_json=True)
    logger.info("once")
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert other in logging.getLogger().handlers


def test_python_warning_is_one_line(capsys):
    set_up_logging(as_json=False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # pytest records warnings by replacing showwarning; logging's goes in its place here.
        warnings.showwarning = logging._showwarning
        warnings.warn("old\n  thing", DeprecationWarning, stacklevel=1)
    (line,) = capsys.readouterr().out.splitlines()
    assert "warning: DeprecationWarning: old thing (" in line
    assert line.endswith(")")


def test_native_notes_are_dropped_and_other_lines_pass(capfd):
    with logs.without_native_notes():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are ...\n")
        os.write(2, b"I0000 00:00:1.2 3 port.cc:153] oneDNN custom operations are on.\n")
        os.write(2, b"E0000 00:00:1.2 3 cuda.cc:1] failed call to cuInit\n")

    assert capfd.readouterr().err == "E0000 00:00:1.2 3 cuda.cc:1] failed call to cuInit\n"


def test_held_back_lines_are_let_go_before_an_error(capfd):
    with pytest.raises(RuntimeError, match="no TensorFlow"), logs.without_native_notes():
        os.write(2, b"a cause\n")
        raise RuntimeError("no TensorFlow")

    assert capfd.readouterr().err == "a cause\n"


def test_reason_of_the_end_is_one_json_entry_on_vertex_and_a_line_on_stderr_elsewhere(capsys):
    set_up_logging(as_json=True)
    say_last(logging.ERROR, "Traceback\n  line 2")
    out, err = capsys.readouterr()
    assert err == ""
    entry = {"severity": "ERROR", "message": "Traceback\n  line 2", "logger": "trainer"}
    assert [json.loads(line) for line in out.splitlines()] == [entry]
    set_up_logging(as_json=False)
    say_last(logging.WARNING, "interrupted: SIGTERM")
    assert capsys.readouterr() == ("", "interrupted: SIGTERM\n")
