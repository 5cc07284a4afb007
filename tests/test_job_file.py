from datetime import datetime, timezone

import pytest
from runs import ROOT

from trainer.errors import UserError
from trainer.jobs.job_file import (
    default_names_path,
    job_name,
    read_job_file,
    read_names,
    substitute,
)

NAMES = {"PROJECT": "p", "REGION": "us-central1", "BUCKET": "b", "IMAGE": "img:1", "JOB": "j"}
CUSTOM = """\
# ${ANYTHING} $(date) $PROJECT in a comment
workerPoolSpecs:
- machineSpec: {machineType: g2-standard-12, acceleratorType: NVIDIA_L4, acceleratorCount: 1}
  replicaCount: 1
  diskSpec: {bootDiskSizeGb: 200}
  containerSpec: &c
    imageUri: ${IMAGE}
    args: ["--batch_size=512", "--train=gs://${BUCKET}/a.csv"]
    env: [{name: A, value: "1"}]
- machineSpec: {machineType: g2-standard-12, acceleratorType: NVIDIA_L4, acceleratorCount: 1}
  replicaCount: "3"
  containerSpec: *c
- machineSpec: {machineType: n1-highcpu-16}
  replicaCount: 2
  containerSpec: {imageUri: us-docker.pkg.dev/vertex-ai-restricted/training/reductionserver:latest}
- {}
baseOutputDirectory: {outputUriPrefix: "gs://${BUCKET}/runs/${JOB}"}
"""
TUNING = """\
displayName: t
maxTrialCount: 4
studySpec:
  metrics: [{metricId: val_rmse, goal: MINIMIZE}]
  parameters:
  - {parameterId: dropout, scaleType: UNIT_LINEAR_SCALE, doubleValueSpec: {maxValue: 1e-1}}
trialJobSpec:
  workerPoolSpecs:
  - machineSpec: {machineType: n2-standard-8}
    replicaCount: 1
    pythonPackageSpec:
      executorImageUri: us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest
      packageUris: ["gs://${BUCKET}/p.tar.gz"]
      pythonModule: trainer.task
      args: ["--epochs=2"]
"""


@pytest.fixture
def write(tmp_path):
    def write_text(text, name="job.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write_text


def test_pools_of_a_custom_job(write):
    job = read_job_file(write(CUSTOM), NAMES)

    chief, workers, _, skipped = job.pools
    assert job.kind == "custom" and job.study is None
    assert (chief.machine_type, chief.accelerator_type, chief.accelerator_count) == (
        "g2-standard-12",
        "NVIDIA_L4",
        1,
    )
    assert (chief.disk_gb, chief.image, chief.env) == (200, "img:1", {"A": "1"})
    assert workers.replicas == 3 and workers.args == chief.args
    assert [p.role for p in job.pools] == ["chief", "worker", "reduction", "evaluator"]
    assert [p.runs_trainer for p in job.pools] == [True, True, False, False]
    assert skipped.machine_type is None and skipped.replicas == 0
    assert job.trainer_args == ("--batch_size=512", "--train=gs://b/a.csv")
    assert job.output_uri == "gs://b/runs/j"


def test_third_pool_with_the_trainers_image_holds_parameter_servers(write):
    text = CUSTOM.replace(
        "{imageUri: us-docker.pkg.dev/vertex-ai-restricted/training/reductionserver:latest}", "*c"
    )

    assert read_job_file(write(text), NAMES).pools[2].role == "ps"


def test_custom_job_becomes_its_message(write):
    message = read_job_file(write(CUSTOM), NAMES).to_message()

    assert message.worker_pool_specs[1].replica_count == 3
    assert message.worker_pool_specs[0].machine_spec.accelerator_count == 1
    assert message.base_output_directory.output_uri_prefix == "gs://b/runs/j"


def test_tuning_job(write):
    job = read_job_file(write(TUNING), NAMES)

    assert job.kind == "tuning"
    assert job.study["metrics"][0]["metricId"] == "val_rmse"
    assert job.pools[0].module == "trainer.task" and job.pools[0].runs_trainer
    assert job.pools[0].package_uris == ("gs://b/p.tar.gz",)
    message = job.to_message()
    assert message.study_spec.parameters[0].double_value_spec.max_value == 0.1
    assert message.trial_job_spec.worker_pool_specs[0].python_package_spec.args == ["--epochs=2"]


def test_message_names_the_field_and_its_line(write):
    path = write(CUSTOM.replace("replicaCount: 1", "replica_count: 1", 1))

    with pytest.raises(
        UserError, match=r"job.yaml:4 workerPoolSpecs\[0\].replica_count: .*replicaC"
    ):
        read_job_file(path, NAMES).to_message()


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("", True),
        (", command: [python3, -m, trainer.task]", True),
        (", command: [python3, -m, other.task]", False),
    ],
)
def test_command_decides_whether_a_container_runs_the_trainer(write, command, runs):
    text = f"workerPoolSpecs: [{{containerSpec: {{imageUri: img{command}}}}}]"

    assert read_job_file(write(text), {}).pools[0].runs_trainer is runs


def test_lone_mapping_is_one_pool(write):
    job = read_job_file(write("workerPoolSpecs: {replicaCount: 2}"), {})

    assert [pool.replicas for pool in job.pools] == [2]


@pytest.mark.parametrize(
    "text", ["{}", "workerPoolSpecs:", "workerPoolSpecs: [null, 3, x]", "trialJobSpec: 3"]
)
def test_rubbish_has_no_pools_but_no_crash_either(write, text):
    job = read_job_file(write(text), {})

    assert all(pool.machine_type is None for pool in job.pools)
    assert job.trainer_args == () and job.output_uri is None


def test_scalars_are_read_as_gcloud_reads_them(write):
    job = read_job_file(write("{a: y, b: 1e-4, c: 'y', d: off, e: No, f: N, g: yesterday}"), {})

    assert job.values == {
        "a": True,
        "b": 1e-4,
        "c": "y",
        "d": False,
        "e": False,
        "f": False,
        "g": "yesterday",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"job.yaml:3: the key 'a' stands twice"),
        ("a: [1", r"job.yaml:1: .*expected"),
        ("- 1", r"must be a mapping with workerPoolSpecs.*received list"),
        ("", r"received NoneType"),
        ("a: ${PROJCT}", r"job.yaml:1: \$\{PROJCT\} has no value; did you mean 'PROJECT'"),
        ("a: $PROJECT", r"job.yaml:1: write \$\{PROJECT\} instead of \$PROJECT"),
        ("a: 1\nb: ${IMAGE}", r"job.yaml:2: \$\{IMAGE\} has no value; set IMAGE in configs/names"),
        ("a: 2026-99-99", r"job.yaml: not valid YAML"),
        ("a: &x [*x]", r"job.yaml:1: an anchor contains itself"),
    ],
)
def test_unreadable_file_says_where_and_why(write, text, message):
    with pytest.raises(UserError, match=message):
        read_job_file(write(text), {"PROJECT": "p", "IMAGE": ""})


def test_absent_file():
    with pytest.raises(UserError, match=r"cannot read absent\.yaml"):
        read_job_file("absent.yaml", {})


def test_lines_of_keys_items_and_absent_keys(write):
    job = read_job_file(write(CUSTOM), NAMES)

    assert job.line_of(("workerPoolSpecs", 0, "containerSpec", "args", 1)) == 8
    assert job.line_of(("workerPoolSpecs", 1)) == 10
    assert job.line_of(("scheduling",)) == 2
    assert job.where(("workerPoolSpecs", 2, "replicaCount")).endswith(
        "job.yaml:14 workerPoolSpecs[2].replicaCount"
    )


def test_names_are_read_as_a_shell_reads_them(write):
    text = (
        "# my names\n\nPROJECT=my-project\nexport REGION='us-central1' # near\n"
        'BUCKET="b-1"\nIMAGE=us-docker.pkg.dev/${PROJECT}/$BUCKET/trainer:0.1\n'
    )

    assert read_names(write(text)) == {
        "PROJECT": "my-project",
        "REGION": "us-central1",
        "BUCKET": "b-1",
        "IMAGE": "us-docker.pkg.dev/my-project/b-1/trainer:0.1",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PROJECT = p", r"names.env:1 must be NAME=value without spaces"),
        ("PROJECT=a b", r"names.env:1 must be NAME=value"),
        ("PROJECT=p\nBUKET=b", r"names.env:2: unknown name 'BUKET'; did you mean 'BUCKET'"),
        ("BUCKET=gs://b", r"names.env:1: BUCKET must be the bare name.*'gs://b'"),
        ("BUCKET=b/folder", r"BUCKET must be the bare name"),
        ("IMAGE=x/$PROJECT/y", r"names.env:1: \$PROJECT is not set above"),
    ],
)
def test_bad_names_are_refused(write, text, message):
    with pytest.raises(UserError, match=message):
        read_names(write(text, "names.env"))


def test_job_name_has_only_characters_of_a_display_name_and_the_time():
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)

    assert job_name("configs/Job CPU.v2.yaml", now) == "job_cpu_v2_20260102_030405"


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..", "A b", "x" * 129, "a\n"])
def test_given_name_that_is_no_folder_of_its_own_is_refused(name):
    with pytest.raises(UserError, match="--name must be 1 to 128 of a-z, 0-9, _ and -; received"):
        job_name("job.yaml", datetime.now(timezone.utc), name)


def test_names_beside_the_file_come_before_those_of_the_checkout(tmp_path, monkeypatch):
    job, beside, checkout = (str(tmp_path / n) for n in ("a/job.yaml", "a/names.env", "names.env"))
    monkeypatch.setattr("trainer.jobs.job_file._NAMES_OF_CHECKOUT", checkout)
    (tmp_path / "a").mkdir()

    assert default_names_path(job) is None
    (tmp_path / "names.env").touch()
    assert default_names_path(job) == default_names_path() == checkout
    (tmp_path / "a" / "names.env").touch()
    assert default_names_path(job) == beside and default_names_path() == checkout


def test_names_of_the_checkout_are_those_of_its_configs():
    assert default_names_path() == str(ROOT / "configs" / "names.env")


def test_substitution_keeps_lines():
    text = "a: ${BUCKET}\n# ${NOT_OURS}\nb: ${BUCKET}/${JOB}\n"

    assert substitute(text, NAMES, "f") == "a: b\n# ${NOT_OURS}\nb: b/j\n"
