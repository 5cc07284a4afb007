"""The fake service itself: what it takes, what it refuses, and how a job goes on."""

import json
import shutil
import subprocess

import pytest

pytest.importorskip("google.cloud.aiplatform")

from fake_vertex import FakeVertex, gcloud_environment, init_sdk
from google.api_core import exceptions
from google.cloud.aiplatform_v1 import JobServiceClient
from google.protobuf import json_format

PARENT = "projects/my-project/locations/us-central1"
POOL = {
    "machineSpec": {"machineType": "n1-standard-4"},
    "replicaCount": "1",
    "containerSpec": {"imageUri": "i", "args": ["--epochs=1"]},
}
JOB = {"displayName": "j", "jobSpec": {"workerPoolSpecs": [POOL]}}
STUDY = {
    "displayName": "s",
    "maxTrialCount": 3,
    "parallelTrialCount": 1,
    "studySpec": {
        "metrics": [{"metricId": "auc", "goal": "MAXIMIZE"}],
        "parameters": [
            {"parameterId": "rate", "doubleValueSpec": {"minValue": 0.25, "maxValue": 0.75}},
            {"parameterId": "size", "integerValueSpec": {"minValue": 2, "maxValue": 4}},
            {"parameterId": "kind", "categoricalValueSpec": {"values": ["a", "b", "c"]}},
        ],
    },
    "trialJobSpec": {"workerPoolSpecs": [POOL]},
}


@pytest.fixture
def fake():
    with FakeVertex() as service:
        yield service


def _create(fake, body, kind="customJobs"):
    return fake.answer("POST", f"/v1/{PARENT}/{kind}", json.dumps(body).encode())


def _client(fake) -> JobServiceClient:
    aiplatform = init_sdk(fake.url)
    return aiplatform.initializer.global_config.create_client(
        aiplatform.utils.JobClientWithOverride
    )


def test_sdk_submits_and_sees_the_job_end(fake):
    aiplatform = init_sdk(fake.url)
    pool = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {"image_uri": "i", "args": ["--epochs=1"]},
    }
    job = aiplatform.CustomJob("j", [pool], base_output_dir="gs://b/out", labels={"a": "b"})

    job.submit()

    stored = fake.jobs[job.resource_name]
    assert [job.state.name for _ in range(3)] == [
        "JOB_STATE_PENDING",
        "JOB_STATE_RUNNING",
        "JOB_STATE_SUCCEEDED",
    ]
    assert stored["labels"] == {"a": "b"}
    assert stored["jobSpec"] == {
        "workerPoolSpecs": [POOL],
        "baseOutputDirectory": {"outputUriPrefix": "gs://b/out"},
    }


@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not on the PATH")
def test_gcloud_submits(fake, tmp_path):
    config = tmp_path / "job.yaml"
    config.write_text(json.dumps(JOB["jobSpec"]))

    done = subprocess.run(
        "gcloud ai custom-jobs create --region=us-central1 --display-name=g "
        f"--config={config} '--format=value(name,state)'",
        shell=True,
        env=gcloud_environment(fake.url, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )

    [name] = fake.jobs
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name, "JOB_STATE_PENDING"]
    assert fake.jobs[name]["jobSpec"] == JOB["jobSpec"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jobSpec": {"workerPoolSpec": [POOL]}}, 'no field named "workerPoolSpec"'),
        ({"jobSpec": {"workerPoolSpecs": [POOL], "scheduling": {"timeout": "2h"}}}, "uration"),
        ({"jobSpec": {"workerPoolSpecs": []}}, "must not be empty"),
        ({"jobSpec": {"workerPoolSpecs": [POOL | {"pythonPackageSpec": {}}]}}, "oneof"),
        ({"jobSpec": {"workerPoolSpecs": [POOL | {"containerSpec": None}]}}, "one of"),
        ({"jobSpec": {"workerPoolSpecs": [POOL | {"machineSpec": {}}]}}, "machine_type"),
        ({"jobSpec": {"workerPoolSpecs": [POOL | {"replicaCount": 2}]}}, "must be 1"),
        ({"displayName": ""}, "display_name"),
        ({"labels": {"Version": "1"}}, "label Version=1"),
        ({"labels": {"version": "1.0"}}, "label version=1.0"),
    ],
)
def test_wrong_job_is_refused(fake, change, message):
    status, answer = _create(fake, JOB | change)

    assert status == 400
    assert message in answer["error"]["message"]
    assert not fake.jobs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"studySpec": {"metrics": STUDY["studySpec"]["metrics"]}}, "needs metrics and parameters"),
        ({"parallelTrialCount": 4}, "from 1 to max_trial_count"),
        ({"studySpec": STUDY["studySpec"] | {"algorithm": "BAYES"}}, "algorithm"),
    ],
)
def test_wrong_study_is_refused(fake, change, message):
    status, answer = _create(fake, STUDY | change, "hyperparameterTuningJobs")

    assert status == 400
    assert message in answer["error"]["message"]


def test_study_ends_with_trials_over_the_ranges(fake):
    client = _client(fake)
    name = _create(fake, STUDY, "hyperparameterTuningJobs")[1]["name"]

    for _ in range(3):
        job = client.get_hyperparameter_tuning_job(name=name)

    assert job.state.name == "JOB_STATE_SUCCEEDED"
    shown = [{p.parameter_id: p.value for p in trial.parameters} for trial in job.trials]
    assert shown == [
        {"rate": 0.25, "size": 2.0, "kind": "a"},
        {"rate": 0.5, "size": 3.0, "kind": "b"},
        {"rate": 0.75, "size": 4.0, "kind": "c"},
    ]
    values = [trial.final_measurement.metrics[0].value for trial in job.trials]
    assert values == pytest.approx([1, 1 / 2, 1 / 3])


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, exceptions.Forbidden),
        (404, exceptions.NotFound),
        (429, exceptions.TooManyRequests),
    ],
)
def test_refusal_reaches_the_client_once(fake, status, kind):
    client = _client(fake)
    name = _create(fake, JOB)[1]["name"]
    fake.refuse(status, "not now", reason="BECAUSE")

    with pytest.raises(kind, match="not now"):
        client.get_custom_job(name=name)

    assert client.get_custom_job(name=name).display_name == "j"


def test_refusal_can_wait_for_a_later_call(fake):
    fake.refuse(429, "later", skip=1)

    assert [_create(fake, JOB)[0] for _ in range(3)] == [200, 429, 200]


def test_unknown_job_is_not_found(fake):
    with pytest.raises(exceptions.NotFound, match=r'CustomJob "projects/.*/7" does not exist'):
        _client(fake).get_custom_job(name=f"{PARENT}/customJobs/7")


def test_function_runs_the_job_and_says_how_it_ended():
    def run(job):
        job["jobSpec"]["network"] = "seen"
        return "JOB_STATE_FAILED", "replica workerpool0-0 exited with 1"

    with FakeVertex(run) as fake:
        name = _create(fake, JOB)[1]["name"]
    # Leaving the block waits for the run.

    assert fake.jobs[name]["state"] == "JOB_STATE_FAILED"
    assert fake.jobs[name]["error"]["message"] == "replica workerpool0-0 exited with 1"
    assert fake.jobs[name]["jobSpec"]["network"] == "seen"


def test_cancelled_job_stays_cancelled(fake):
    client = _client(fake)
    name = _create(fake, JOB)[1]["name"]

    client.cancel_custom_job(name=name)

    assert [client.get_custom_job(name=name).state.name for _ in range(2)] == [
        "JOB_STATE_CANCELLED"
    ] * 2


def test_list_gives_the_jobs_of_the_region(fake):
    client = _client(fake)
    _create(fake, JOB)
    _create(fake, JOB | {"displayName": "k"})

    names = [job.display_name for job in client.list_custom_jobs(parent=PARENT)]

    assert names == ["j", "k"]


def test_stored_message_reads_back_strictly(fake):
    from google.cloud.aiplatform_v1 import types

    _create(fake, JOB)
    [stored] = fake.jobs.values()

    message = json_format.ParseDict(stored, types.CustomJob.pb()())

    assert message.job_spec.worker_pool_specs[0].container_spec.args == ["--epochs=1"]
