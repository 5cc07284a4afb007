"""scripts/benchmark_workers.py: the shortest measurement, and what it refuses."""

import os
import re
import subprocess
import sys

import pytest
from runs import ROOT


def benchmark(*flags):
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "benchmark_workers.py", *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_folder_with_old_runs_is_refused(tmp_path):
    (tmp_path / "rides.csv").touch()
    done = benchmark(f"--log_dir={tmp_path}")
    if len(os.sched_getaffinity(0)) > 1:
        assert done.stderr == (
            f"--log_dir {tmp_path} is not empty: runs in it would go on; give another one\n"
        )
    assert done.returncode == 1


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two workers need two cores")
def test_the_table_has_rates_and_their_ratios_to_one_worker(tmp_path):
    done = benchmark("--rounds=1", "--rows=5000", "--batch_size=64", "--steps=32")
    assert done.returncode == 0, done.stderr
    table = re.findall(
        r"^(one worker|two, \w+|two jobs) +([\d,]+) +([\d.]+) +([\d.]+)$", done.stdout, re.M
    )
    assert [name for name, *_ in table] == ["one worker", "two, weak", "two, strong", "two jobs"]
    rates = [float(rate.replace(",", "")) for _, rate, _, _ in table]
    for rate, (_, _, ratio, cpu) in zip(rates, table, strict=True):
        assert float(ratio) == pytest.approx(rate / rates[0], abs=0.011)
        assert float(cpu) > 0
