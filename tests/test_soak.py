"""The short form of soak.py; `python -m tests.soak --minutes=60` is the long one."""

import subprocess
import sys

import pytest
from runs import ROOT

from tests import soak


def samples(memory_mb, descriptors=6):
    """A life of a sample a second."""
    return [
        soak.Sample("life", second, second - 5, memory, descriptors, 30, 3)
        for second, memory in enumerate(memory_mb)
    ]


@pytest.mark.slow
def test_a_run_that_is_killed_and_started_again_loses_and_leaks_nothing(tmp_path):
    command = [sys.executable, "-m", "tests.soak", "--minutes=0.6", f"--output={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no step lost, nothing leaked" in done.stdout
    assert (tmp_path / "soak.svg").read_text().count("<polyline") == 8


@pytest.mark.parametrize(
    ("life", "found"),
    [
        (samples([700] * 65 + [700 + i / 2 for i in range(100)]), ["memory_mb"]),
        (samples([700] * 65 + [700 + i / 2 for i in range(50)]), []),
        (samples([400] * 40 + [700] * 125), []),
        (samples([700] * 165, 6) + samples([700] * 165, 9)[-60:], ["descriptors"]),
        (samples([700 + i for i in range(70)]), []),
    ],
    ids=["grows by 4.7%", "grows by 2.4%", "grows in the warm-up", "opens files", "too short"],
)
def test_a_life_leaks_what_its_last_third_has_more_than_its_first(life, found):
    problems = soak.leaks(life, soak.Bounds(warm_up_seconds=60, memory_share=0.03))
    assert [problem.split()[1] for problem in problems] == found
