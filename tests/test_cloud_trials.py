"""Trials of a tuning job as the service shows them, and the command that lists them."""

import json

import pytest

pytest.importorskip("google.cloud.aiplatform_v1")

from fake_vertex import FakeVertex
from test_fake_vertex import STUDY

from trainer.errors import UserError
from trainer.jobs import cloud_trials
from trainer.jobs.trials import Trial

PARENT = "projects/a-project/locations/us-central1"
START, END = "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"


@pytest.fixture
def fake():
    with FakeVertex() as service:
        yield service


def _job(fake, trials, state="JOB_STATE_SUCCEEDED"):
    """A tuning job with these trials; gives its number."""
    path = f"/v1/{PARENT}/hyperparameterTuningJobs"
    _, job = fake.answer("POST", path, json.dumps(STUDY).encode())
    fake.jobs[job["name"]] |= {"trials": trials, "state": state}
    return job["name"].rpartition("/")[2]


def _run(fake, job, *options):
    cloud_trials.main(
        [
            job,
            "--project=a-project",
            "--region=us-central1",
            f"--api_endpoint={fake.url}",
            *options,
        ],
        {},
    )


TRIALS = [
    {
        "id": "1",
        "state": "SUCCEEDED",
        "parameters": [
            {"parameterId": "rate", "value": 0.1},
            {"parameterId": "size", "value": 3.0},
            {"parameterId": "kind", "value": "a"},
        ],
        "measurements": [
            {"stepCount": "100", "metrics": [{"metricId": "auc", "value": 0.9375}]},
            {"stepCount": "200", "metrics": [{"metricId": "auc", "value": 0.75}]},
        ],
        "finalMeasurement": {
            "stepCount": "100",
            "metrics": [{"metricId": "auc", "value": 0.9375}],
        },
        "startTime": START,
        "endTime": END,
    },
    {
        "id": "2",
        "state": "INFEASIBLE",
        "parameters": [{"parameterId": "rate", "value": 0.7}],
        "infeasibleReason": "the trial ended without a measurement",
    },
    {
        "id": "3",
        "state": "ACTIVE",
        "measurements": [{"stepCount": "50", "metrics": [{"metricId": "auc", "value": 0.5}]}],
        "startTime": START,
    },
]


def test_trials_are_read_as_the_service_shows_them(fake):
    from google.cloud.aiplatform_v1 import types
    from google.protobuf import json_format

    job = types.HyperparameterTuningJob.wrap(
        json_format.ParseDict(STUDY | {"trials": TRIALS}, types.HyperparameterTuningJob.pb()())
    )

    assert cloud_trials.read_goals(job) == {"auc": "MAXIMIZE"}
    assert cloud_trials.read_trials(job) == [
        Trial(
            "1", "SUCCEEDED", {"rate": 0.1, "size": 3.0, "kind": "a"}, {"auc": 0.9375}, 100, 90.0
        ),
        Trial("2", "INFEASIBLE", {"rate": 0.7}, reason="the trial ended without a measurement"),
        Trial("3", "ACTIVE", {}, {"auc": 0.5}, 50),
    ]


def test_command_prints_the_table_and_the_best_flags(fake, capsys):
    _run(fake, _job(fake, TRIALS))

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "s: succeeded"
    assert lines[2].split() == ["1", "1", "0.9375", "100", "1m", "30s", "0.1", "3", "a"]
    assert lines[3].split() == ["-", "3", "0.5", "50", "-", "-", "-", "-", "ACTIVE"]
    assert lines[4].endswith("INFEASIBLE: the trial ended without a measurement")
    assert lines[5] == "flags of trial 1, the best: --rate=0.1 --size=3 --kind=a"


def test_command_takes_a_full_name_without_other_names(fake, capsys):
    number = _job(fake, [], "JOB_STATE_PENDING")

    name = f"{PARENT}/hyperparameterTuningJobs/{number}"
    cloud_trials.main([name, f"--api_endpoint={fake.url}"], {})

    assert capsys.readouterr().out.startswith("s: pending\nrank  trial  auc (max)")


def test_unknown_job_is_said_to_be_absent(fake):
    with pytest.raises(UserError, match=r"not found in project a-project.*does not exist"):
        _run(fake, "123")


def test_custom_job_has_no_trials(fake):
    with pytest.raises(UserError, match="is no tuning job; it has no trials"):
        _run(fake, f"{PARENT}/customJobs/7")
