"""The short form of kill_points.py; `python -m tests.kill_points --points=200` is the long one."""

import subprocess
import sys

import pytest
from runs import ROOT


@pytest.mark.parametrize(
    "points",
    [
        6,
        pytest.param(
            40,
            marks=pytest.mark.faults(
                "kill -9 at 40 moments of a run, half of them before a file operation",
                "each ends with the bits of an uninterrupted run, and leaves no file",
            ),
        ),
    ],
)
def test_a_run_killed_at_any_moment_ends_with_the_same_bits(tmp_path, points):
    command = [sys.executable, "-m", "tests.kill_points", f"--points={points}"]
    done = subprocess.run(
        [*command, f"--output={tmp_path / 'runs'}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{points} of {points} kill points end with the same bits" in done.stdout
