"""Names, links and commands of jobs, and what a refusal of the service says."""

import argparse

import pytest

pytest.importorskip("google.cloud.aiplatform_v1")

from fake_vertex import FakeVertex

from trainer.errors import UserError
from trainer.jobs.job_service import (
    JobName,
    Place,
    add_place_options,
    connect,
    is_passing,
    parse_job_name,
    read_place,
    refusals,
)

NAME = "projects/a-project/locations/us-central1/customJobs/7"


def test_name_is_read_and_written():
    name = parse_job_name(NAME)

    assert name == JobName("a-project", "us-central1", "customJobs", "7")
    assert str(name) == NAME


@pytest.mark.parametrize("text", ["7", "projects/p/customJobs/7", NAME.replace("custom", "batch")])
def test_other_names_are_refused(text):
    with pytest.raises(UserError, match=r"a job's name is projects/.*; received '"):
        parse_job_name(text)


def test_links_and_commands_name_the_job():
    name = parse_job_name(NAME)
    study = parse_job_name(NAME.replace("customJobs", "hyperparameterTuningJobs"))

    assert name.console_url == (
        "https://console.cloud.google.com/agent-platform/locations/us-central1/training/7"
        "?project=a-project"
    )
    assert name.logs_url == (
        "https://console.cloud.google.com/logs/query;query=resource.type%3D%22ml_job%22%0A"
        "resource.labels.job_id%3D%227%22?project=a-project"
    )
    assert name.command("cancel") == (
        "gcloud ai custom-jobs cancel 7 --project=a-project --region=us-central1"
    )
    assert study.command("stream-logs").startswith("gcloud ai hp-tuning-jobs stream-logs 7 ")


@pytest.mark.parametrize(
    ("status", "reason", "said", "expected"),
    [
        (
            403,
            "SERVICE_DISABLED",
            "Vertex AI API has not been used in project 12 before or it is disabled.",
            "the Vertex AI API is not enabled in project a-project; run gcloud services enable "
            "aiplatform.googleapis.com --project=a-project",
        ),
        (
            403,
            "BILLING_DISABLED",
            "This API method requires billing to be enabled.",
            "project a-project has no billing: This API method requires billing to be enabled; "
            "enable it at https://console.cloud.google.com/billing/linkedaccount?project=a-project",
        ),
        (
            403,
            "CONSUMER_INVALID",
            "Permission denied on resource project a-project.",
            "project a-project does not exist, or your account has no access to it (Permission "
            "denied on resource project a-project); PROJECT must be a project's id, see gcloud "
            "projects list",
        ),
        (
            403,
            "IAM_PERMISSION_DENIED",
            "Permission 'aiplatform.customJobs.create' denied on resource '//aiplatform.google'.",
            "your account has no right to do this in project a-project (Permission "
            "'aiplatform.customJobs.create' denied on resource '//aiplatform.google'); ask for the "
            "role roles/aiplatform.user in that project",
        ),
        (
            403,
            None,
            "You do not have permission to act as service account: (iam.serviceAccounts.actAs).",
            "you may not run jobs as sa@a-project (You do not have permission to act as service "
            "account: (iam.serviceAccounts.actAs)); ask for the role roles/iam.serviceAccountUser "
            "on that account",
        ),
        (
            401,
            None,
            "Request had invalid authentication credentials.",
            "run gcloud auth application-default login",
        ),
        (
            404,
            None,
            'The CustomJob "x" does not exist.',
            'not found in project a-project, region us-central1: The CustomJob "x" does not exist',
        ),
        (
            429,
            None,
            "The following quota metrics exceed quota limits: aiplatform.googleapis.com/"
            "custom_model_training_nvidia_l4_gpus",
            "no quota for this job in us-central1: The following quota metrics exceed quota "
            "limits: aiplatform.googleapis.com/custom_model_training_nvidia_l4_gpus; ask for more "
            "at https://console.cloud.google.com/iam-admin/quotas?project=a-project (service "
            "aiplatform.googleapis.com), or choose another machine or region",
        ),
        (
            400,
            None,
            "The Cloud Storage bucket of `gs://b/runs` is in location `us`. It must be in the same "
            "regional location as the service location `us-central1`.",
            "REGION is us-central1 and BUCKET is gs://b: use a bucket of that very region (no "
            "multi-region), or set REGION to the bucket's",
        ),
        (
            400,
            None,
            "Machine type foo is not supported.",
            "the service refuses the job: Machine type foo is not supported",
        ),
        (503, None, "Try again.", "fails (Try again); try again in some minutes"),
    ],
)
def test_refusal_says_what_to_do_on_one_line(status, reason, said, expected):
    with FakeVertex() as fake:
        place = Place("a-project", "us-central1", fake.url)
        client = connect(place)
        fake.refuse(status, said, reason=reason)

        with pytest.raises(UserError) as caught, refusals(place, "gs://b", "sa@a-project"):
            client.get_custom_job(name=NAME, retry=None)

    message = str(caught.value)
    assert message == expected or message.endswith(expected)
    assert said.rstrip(".") in message or status in (401, 403)
    assert "\n" not in message and fake.url + "/v1" not in message


def test_missing_credentials_name_the_login_command(monkeypatch, tmp_path):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")

    with pytest.raises(UserError, match=r"no valid Google credentials \(.*run gcloud auth appl"):
        connect(Place("a-project", "us-central1"))


def test_unreachable_service_names_region_and_host():
    place = Place("a-project", "us-centrall", "http://127.0.0.1:1")
    client = connect(place)

    with (
        pytest.raises(
            UserError, match=r"cannot reach http://127\.0\.0\.1:1 \(\[Errno 111\] Conn.*'us-c"
        ),
        refusals(place),
    ):
        client.get_custom_job(name=NAME, retry=None)


def test_other_errors_pass_as_they_are():
    with pytest.raises(ZeroDivisionError), refusals(Place("p", "r")):
        _ = 1 / 0


def test_only_what_may_pass_is_passing():
    from google.api_core import exceptions
    from requests.exceptions import ConnectionError

    assert is_passing(exceptions.ServiceUnavailable("x")) and is_passing(ConnectionError("x"))
    assert not is_passing(exceptions.Forbidden("x")) and not is_passing(ValueError("x"))


def _place(*argv):
    parser = argparse.ArgumentParser()
    add_place_options(parser)
    parser.add_argument("--bucket")
    return read_place(parser.parse_args(argv))


def test_options_win_over_the_names_file(tmp_path):
    path = tmp_path / "names.env"
    path.write_text("PROJECT=one\nREGION=us-east1\nBUCKET=b\n")

    place, names = _place(f"--names={path}", "--region=europe-west4", "--bucket=other")

    assert place == Place("one", "europe-west4")
    assert names == {"PROJECT": "one", "REGION": "europe-west4", "BUCKET": "other"}


def test_missing_region_names_the_file_and_the_option(tmp_path):
    path = tmp_path / "names.env"
    path.write_text("PROJECT=one\n")

    with pytest.raises(UserError, match=r"REGION is not set; write it into .*names\.env or pass"):
        _place(f"--names={path}")


def test_names_of_the_checkout_are_the_default():
    place, names = _place("--project=mine")

    assert place.project == "mine"
    assert {"REGION", "BUCKET", "IMAGE"} <= set(names)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--project=My project", "PROJECT must be like my-project, an id and not a display name"),
        ("--region=us-central1-a", "REGION must be like us-central1; received 'us-central1-a'"),
        ("--region=us", "REGION must be like us-central1; received 'us'"),
        ("--bucket=gs://b", "BUCKET must be like my-bucket, without gs://; received 'gs://b'"),
    ],
)
def test_name_of_another_shape_is_refused(option, message):
    with pytest.raises(UserError, match=message):
        _place(option)
