"""trainer.jobs.replica_logs: lines of several processes on one terminal."""

import io

import pytest

from trainer.jobs.replica_logs import LogView, read_line

NAMES = ["chief-0", "evaluator-0"]


def shown(line, *, is_stderr=False, use_colour=False, name="chief-0"):
    stream = io.StringIO()
    LogView(stream, NAMES, use_colour=use_colour).show(name, line, is_stderr=is_stderr)
    return stream.getvalue()


def test_a_line_has_the_replica_its_severity_and_message():
    line = '{"severity": "WARNING", "message": "slow disk", "logger": "trainer.x"}'
    assert shown(line) == "chief-0     | WARNING slow disk\n"
    assert shown(line, name="evaluator-0") == "evaluator-0 | WARNING slow disk\n"


def test_every_line_of_a_message_is_tagged():
    line = '{"severity": "ERROR", "message": "first\\nsecond"}'
    assert shown(line) == "chief-0     | ERROR first\nchief-0     | ERROR second\n"


def test_colours_are_for_tags_and_severities():
    line = '{"severity": "ERROR", "message": "no"}'
    assert shown(line, use_colour=True) == "\033[36mchief-0     |\033[0m \033[31mERROR no\033[0m\n"
    assert shown("plain", use_colour=True) == "\033[36mchief-0     |\033[0m plain\n"


@pytest.mark.parametrize(
    ("line", "is_stderr", "expected"),
    [
        ("plain", False, (None, "plain")),
        ("Traceback", True, ("ERROR", "Traceback")),
        ('{"severity": "INFO", "message": "on stderr"}', True, ("INFO", "on stderr")),
        ('{"message": "no severity"}', False, (None, "no severity")),
        ("{broken", False, (None, "{broken")),
        ('{"other": 1}', False, (None, '{"other": 1}')),
        ('{"message": 1}', True, ("ERROR", '{"message": 1}')),
        ("[1]", False, (None, "[1]")),
        ("", False, (None, "")),
    ],
)
def test_lines_are_read_as_cloud_logging_reads_them(line, is_stderr, expected):
    assert read_line(line, is_stderr=is_stderr) == expected


def test_notes_stand_alone():
    stream = io.StringIO()
    LogView(stream, [], use_colour=False).note("job: started")
    assert stream.getvalue() == "job: started\n"
