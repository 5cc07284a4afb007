"""tests.warm_python: as `python -c`, but for the import that is there already."""

import signal
import subprocess
import sys

import pytest

from tests import warm_python

SOURCE = """
import os, sys
has_tensorflow = "tensorflow" in sys.modules
text = sys.stdin.read()
sys.stderr.write(f"{text} {sys.argv[1:]} {os.getcwd()} {has_tensorflow}")
open("result", "w").write("there")
"""


def call(source, folder, *arguments, **options):
    return subprocess.run(
        [*warm_python.command(), "-c", source, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_it_has_the_callers_streams_folder_and_arguments(tmp_path):
    finished = call(SOURCE, tmp_path, "a", "b c", input="given")
    assert (finished.returncode, finished.stderr) == (0, f"given ['a', 'b c'] {tmp_path} True")
    assert (tmp_path / "result").read_text() == "there"


def test_each_call_is_a_process_of_its_own(tmp_path):
    call("import sys; sys.modules['json'] = None", tmp_path)
    assert call("import json, tensorflow as tf; tf.constant(1)", tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("source", "code", "last"),
    [
        ("raise ValueError('no')", 1, "ValueError: no"),
        ("import os; os.abort()", 128 + signal.SIGABRT, ""),
    ],
)
def test_failures_have_their_codes_and_messages(source, code, last, tmp_path):
    finished = call(source, tmp_path)
    assert finished.returncode == code
    assert (finished.stderr.splitlines() or [""])[-1] == last


def test_it_ends_with_the_process_that_asked_first(tmp_path):
    source = "from tests import warm_python; print(warm_python.command()[-1])"
    finished = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert finished.returncode == 0
    folder = finished.stdout.strip().rsplit("/", 1)[0]
    assert subprocess.run(["pgrep", "-f", folder], capture_output=True).stdout == b""
