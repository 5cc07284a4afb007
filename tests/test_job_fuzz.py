"""Job files with random alterations: every reader ends well or in one line, none in a traceback."""

import pathlib
import random

import pytest
from runs import ROOT

from trainer.errors import UserError
from trainer.jobs import check, local_tuning, replicas
from trainer.jobs.job_file import read_job_file
from trainer.jobs.supervision import read_scheduling

FILES = [path.read_text() for path in sorted((ROOT / "configs").glob("*.yaml"))]
JOBS = [text for text in FILES if "workerPoolSpecs" in text]
PIECES = [
    *("{", "}", "[", "]", "''", '"', "'", "\t", "\x00", "~", "/", ":", "- ", "*a", "&a"),
    *("null", "true", "5", "-1", "1e9999", "1:2", "!!int ''", "!!set [1]", "[[]]", "{a: {b: [1]}}"),
    *("${JOB}", "gs://", "workerPoolSpecs", "\ud7ff"),
]


def altered(rng):
    text = rng.choice(JOBS)
    for _ in range(rng.randint(1, 4)):
        lines = text.split("\n")
        number = rng.randrange(len(lines))
        key, colon, _ = lines[number].partition(":")
        change = rng.random()
        if change < 0.3:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(PIECES) + text[at:]
            continue
        if change < 0.5:
            del lines[number]
        elif change < 0.6:
            lines.insert(number, rng.choice(lines))
        elif colon:
            lines[number] = f"{key}: {rng.choice(PIECES)}"
        text = "\n".join(lines)
    return text


def check_file(path):
    check.main([path, "--offline"], {})


def read_study(path):
    local_tuning.read_request([path])


def plan_job(path):
    names = dict.fromkeys(("PROJECT", "REGION", "BUCKET", "IMAGE", "JOB"), "x1")
    job = read_job_file(path, names)
    replicas.plan_replicas(job, replicas.choose_addresses(job), job_id="1")
    read_scheduling(job)


def run_altered(folder, seed, count, read):
    """How many of the altered files were refused; any other exception is the failure."""
    rng = random.Random(seed)
    path = pathlib.Path(folder, "job.yaml")
    num_refused = 0
    for _ in range(count):
        path.write_text(altered(rng))
        try:
            read(str(path))
        except UserError:
            num_refused += 1
    return num_refused


@pytest.mark.parametrize(("read", "count"), [(check_file, 30), (read_study, 100), (plan_job, 100)])
def test_altered_job_files_end_in_no_traceback(tmp_path, capsys, read, count):
    assert 0 < run_altered(tmp_path, 1, count, read) <= count


@pytest.mark.slow
@pytest.mark.parametrize("read", [check_file, read_study, plan_job])
def test_many_altered_job_files_end_in_no_traceback(tmp_path, capsys, read):
    assert run_altered(tmp_path, 2, 1_000, read) < 1_000
