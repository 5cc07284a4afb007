import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY_DIR = Path(__file__).resolve().parent.parent
SCRIPTS = ["scripts/environment.sh", "scripts/local_train.sh", "scripts/test.sh", ".ci/run"]
ENVIRONMENT = REPOSITORY_DIR / "scripts/environment.sh"


def run_bash(command: str, **environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail; source '{ENVIRONMENT}'; {command}"],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def write_fake_python(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_parses(script):
    done = subprocess.run(["bash", "-n", REPOSITORY_DIR / script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", [s for s in SCRIPTS if s != "scripts/environment.sh"])
def test_script_can_be_run_and_stops_at_the_first_error(script):
    path = REPOSITORY_DIR / script
    assert os.access(path, os.X_OK)
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines


def test_newest_python_that_starts_is_chosen(tmp_path):
    write_fake_python(tmp_path / "python3.12", "exit 127")  # a shim without a Python behind it
    write_fake_python(tmp_path / "python3.11", "exit 0")
    write_fake_python(tmp_path / "python3.10", "exit 0")
    done = run_bash("find_python", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (0, "python3.11\n")


def test_python_variable_wins(tmp_path):
    write_fake_python(tmp_path / "my python", "exit 0")
    done = run_bash("find_python", PYTHON=str(tmp_path / "my python"))
    assert done.stdout == f"{tmp_path}/my python\n"


def test_unusable_python_is_named_with_what_to_do(tmp_path):
    write_fake_python(tmp_path / "mine", "exit 1")
    done = run_bash("find_python", PYTHON=str(tmp_path / "mine"))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/mine is not." in done.stderr
    assert "Python 3.10, 3.11 or 3.12" in done.stderr
