"""Every broken job file names its one cause; every file of configs/ has none."""

import re
import subprocess
import sys
import time

import pytest
from runs import ROOT

from trainer.errors import UserError
from trainer.jobs import check
from trainer.jobs.job_file import read_job_file

NAMES = {
    "PROJECT": "my-project",
    "REGION": "us-central1",
    "BUCKET": "my-bucket",
    "IMAGE": "us-central1-docker.pkg.dev/my-project/trainer/wide-and-deep",
    "JOB": "broken_20261121_101530",
}
BROKEN = sorted((ROOT / "tests/broken_jobs").glob("*.yaml"))
GOOD = sorted((ROOT / "configs").glob("job_*.yaml")) + sorted(
    (ROOT / "configs").glob("tuning_*.yaml")
)


def find(path):
    """Severity and text of each finding, without file and line."""
    try:
        findings = check.check_job(read_job_file(str(path), NAMES), NAMES, read_data=False)
    except UserError as error:
        return [("error", re.sub(r"^\S+?\.yaml(:\d+)?: ", "", str(error)))]
    for finding in findings:
        assert re.match(rf"{re.escape(str(path))}:\d+( |$)", finding.where)
        assert "\n" not in str(finding)
    return [
        (f.severity, ": ".join(filter(None, [f.where.partition(" ")[2], f.message])))
        for f in findings
    ]


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken_job_names_its_one_cause(path):
    first = path.read_text().splitlines()[0]
    severity, cause = re.fullmatch(r"# expect: (error|warning): (.+)", first).groups()

    findings = find(path)

    assert [f for f in findings if re.match(cause, f[1]) and f[0] == severity], findings
    # The one warning beside: every prebuilt image is past its end.
    others = [f for f in findings if not re.match(cause, f[1])]
    assert not [f for f in others if "Google keeps this image" not in f[1]]
    assert len(findings) - len(others) == 1


def test_there_are_enough_broken_jobs_and_each_has_a_cause_of_its_own():
    causes = [path.read_text().splitlines()[0] for path in BROKEN]

    assert len(BROKEN) >= 40
    assert len(set(causes)) == len(causes)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_job_has_no_finding(path):
    findings = find(path)

    # Documented in the head of that file.
    is_prebuilt = path.stem == "job_cpu_prebuilt"
    assert [f for f in findings if not (is_prebuilt and "Google keeps this image" in f[1])] == []


def test_command_prints_every_cause_in_time_and_exits_2():
    started = time.perf_counter()

    done = subprocess.run(
        [sys.executable, "scripts/check_job.py", "--offline", *map(str, BROKEN)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 2
    assert (time.perf_counter() - started) / len(BROKEN) < 5
    for path in BROKEN:
        assert re.search(rf"^(error|warning): .*{re.escape(str(path))}", done.stdout, re.MULTILINE)
    assert re.fullmatch(rf"error: {len(BROKEN)} job files, \d+ errors, \d+ warnings\n", done.stderr)


def test_command_on_a_good_job_exits_0_in_time_from_another_folder(tmp_path):
    started = time.perf_counter()

    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/check_job.py"), str(ROOT / "configs/job_cpu.yaml")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("ok: 1 job file, 0 errors")
    # 2 s on an idle machine of 2 cores; waiting for Cloud Storage would take longer than this.
    assert time.perf_counter() - started < 15
