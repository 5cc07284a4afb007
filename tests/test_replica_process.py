"""trainer.jobs.replica_process: real processes, what they print and how they end."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from runs import environment

from trainer.jobs.replica_process import ReplicaProcess


@pytest.fixture
def start(tmp_path):
    started = []

    def start(code):
        process = ReplicaProcess(
            [sys.executable, "-c", textwrap.dedent(code)],
            environ=os.environ,
            cwd=str(tmp_path),
            log_path=str(tmp_path / "log"),
            show=lambda line, is_stderr: process_lines.append((line, is_stderr)),
        )
        started.append(process)
        return process, process_lines

    process_lines = []
    yield start
    for process in started:
        process.kill()


def wait(process):
    return until(process.poll)


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while (value := condition()) is None or value is False:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def is_gone(pid):
    """Whether no process has the id; one that ended and whose parent has not looked is gone too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_what_is_printed_is_shown_and_kept_whole(start, tmp_path):
    process, lines = start(
        """
        import sys
        print("one\\r\\ntwo")
        print("bad", file=sys.stderr)
        sys.stdout.buffer.write(b"\\xff no line end")
        sys.exit(3)
        """
    )

    assert wait(process) == 3
    assert [text for text, is_stderr in lines if not is_stderr] == [
        "one",
        "two",
        "\ufffd no line end",
    ]
    assert ("bad", True) in lines
    assert process.last_error == "bad"
    log = (tmp_path / "log").read_bytes()
    assert b"one\r\ntwo\n" in log and b"bad\n" in log and b"\xff no line end" in log


def test_the_last_error_is_found_in_json_too(start):
    process, _ = start(
        """
        print('{"severity": "ERROR", "message": "first\\\\nlast"}')
        print('{"severity": "INFO", "message": "bye"}')
        """
    )
    assert wait(process) == 0
    assert process.last_error == "last"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os; os.abort()", 134),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 139),
        ("import sys; sys.exit(139)", 139),
    ],
)
def test_signals_are_exit_codes_as_in_a_shell(start, code, expected):
    process, _ = start(code)
    assert wait(process) == expected


@pytest.mark.parametrize("end", ["itself", "kill"])
def test_what_it_started_ends_with_it(start, end):
    process, lines = start(
        f"""
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(child.pid, flush=True)
        {"time.sleep(60)" if end == "kill" else ""}
        """
    )
    until(lambda: bool(lines))
    if end == "kill":
        process.kill()
    assert wait(process) == (137 if end == "kill" else 0)
    until(lambda: is_gone(int(lines[0][0])))


def test_terminate_lets_it_clean_up_without_noise(start, tmp_path):
    process, lines = start(
        """
        import signal, sys, time

        def end(*_):
            print("saved")
            print("noise\\ninterrupted: at step 7", file=sys.stderr)
            sys.exit(75)

        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    until(lambda: bool(lines))
    process.terminate()
    assert wait(process) == 75
    assert sorted(lines) == [("interrupted: at step 7", True), ("ready", False), ("saved", False)]
    assert "noise" in (tmp_path / "log").read_text()
    process.terminate()
    process.kill()
    assert process.poll() == 75


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children on Linux only")
def test_it_dies_with_whoever_started_it_however_that_dies(tmp_path):
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                """
                import os, sys, time
                from trainer.jobs.replica_process import ReplicaProcess
                code = "import time; print(1, flush=True); time.sleep(60)"
                process = ReplicaProcess(
                    [sys.executable, "-c", code], environ=os.environ, cwd=".", log_path="log",
                    show=lambda *_: print(process.pid, flush=True),
                )
                time.sleep(60)
                """
            ),
        ],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
    )
    pid = int(starter.stdout.readline())
    assert not is_gone(pid)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    until(lambda: is_gone(pid))
