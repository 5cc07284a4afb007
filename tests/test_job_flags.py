"""Flags given to the pools that run the trainer, and the YAML that results."""

import pytest
import yaml

from trainer.errors import UserError
from trainer.jobs.job_file import read_job_file
from trainer.jobs.job_flags import final_yaml, with_flags

POOLS = """\
# A comment.
workerPoolSpecs:
- machineSpec: {machineType: n2-standard-4}
  replicaCount: 1
  containerSpec: &task {imageUri: i, args: ["--epochs=1"], env: [{name: A, value: "1"}]}
- machineSpec: {machineType: n2-standard-4}
  replicaCount: 2
  containerSpec: *task
- machineSpec: {machineType: n1-highcpu-16}
  replicaCount: 1
  containerSpec: {imageUri: "us-docker.pkg.dev/vertex-ai-restricted/training/reductionserver:l"}
"""
STUDY = """\
studySpec: {metrics: [{metricId: m, goal: MINIMIZE}]}
trialJobSpec:
  workerPoolSpecs:
    machineSpec: {machineType: n2-standard-4}
    replicaCount: 1
    pythonPackageSpec: {executorImageUri: e, packageUris: [p.tar.gz], pythonModule: trainer.task}
"""


def _job(tmp_path, text):
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return read_job_file(str(path), {})


def test_flags_follow_those_of_the_file_in_every_pool_of_the_trainer(tmp_path):
    job = with_flags(_job(tmp_path, POOLS), ["--config=c", "--epochs=2"])

    assert [pool.args for pool in job.pools] == [
        ("--epochs=1", "--config=c", "--epochs=2"),
        ("--epochs=1", "--config=c", "--epochs=2"),
        (),
    ]


def test_flags_reach_the_package_of_a_study(tmp_path):
    job = with_flags(_job(tmp_path, STUDY), ["--epochs=2"])

    assert job.pools[0].args == ("--epochs=2",)
    assert job.kind == "tuning"


def test_the_job_that_was_read_stays_as_it_was(tmp_path):
    job = _job(tmp_path, POOLS)

    with_flags(job, ["--epochs=2"])

    assert job.pools[0].args == ("--epochs=1",)
    assert with_flags(job, []) is job


def test_flags_without_a_pool_that_takes_them_are_an_error(tmp_path):
    job = _job(tmp_path, "workerPoolSpecs: [{containerSpec: {imageUri: i, command: [sh]}}]")

    with pytest.raises(UserError, match=r"no pool runs `python -m trainer.task`.*--epochs=2"):
        with_flags(job, ["--epochs=2"])


def test_unchanged_job_keeps_its_text(tmp_path):
    assert final_yaml(_job(tmp_path, POOLS)) == POOLS


def test_changed_job_is_written_anew_without_anchors(tmp_path):
    job = with_flags(_job(tmp_path, POOLS), ["--label=y", "y", "1e-4", "no", "12"])

    text = final_yaml(job)

    written = yaml.safe_load(text)
    assert written == job.values
    assert "&" not in text and "*" not in text
    # gcloud reads YAML 1.1: these are texts only within quotes.
    args = written["workerPoolSpecs"][0]["containerSpec"]["args"]
    assert args == ["--epochs=1", "--label=y", "y", "1e-4", "no", "12"]
    assert all(f"'{value}'" in text for value in ("y", "1e-4", "no", "12", "1"))
