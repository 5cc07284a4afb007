"""Submitting the job files of configs/ to the service of the tests."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

pytest.importorskip("google.cloud.aiplatform_v1")

from fake_vertex import FakeVertex, gcloud_environment
from google.protobuf import json_format
from runs import ROOT, environment

from trainer import cloud_files, storage
from trainer.errors import Interrupted, TrainingFailed, UserError
from trainer.jobs import follow, package, submit
from trainer.jobs.findings import Finding
from trainer.jobs.job_file import read_job_file
from trainer.jobs.job_labels import make_labels

CPU = str(ROOT / "configs" / "job_cpu.yaml")
PREBUILT = str(ROOT / "configs" / "job_cpu_prebuilt.yaml")
TUNING = str(ROOT / "configs" / "tuning_small.yaml")
NAMES = {
    "PROJECT": "a-project",
    "REGION": "us-central1",
    "BUCKET": "bucket",
    "IMAGE": "us-central1-docker.pkg.dev/a-project/r/trainer",
}
ENVIRON = {"PATH": os.environ["PATH"]}


@pytest.fixture
def fake():
    with FakeVertex() as service:
        yield service


@pytest.fixture
def names_file(tmp_path, monkeypatch):
    """A names file, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "names.env"
    path.write_text("".join(f"{name}={value}\n" for name, value in NAMES.items()))
    return path


@pytest.fixture
def run(fake, names_file, emulator):
    """A function that submits as the command line does."""

    def submit_with(*argv, kind="custom"):
        cut = argv.index("--") if "--" in argv else len(argv)
        options = [f"--names={names_file}", f"--api_endpoint={fake.url}", "--poll_seconds=0"]
        submit.main([*argv[:cut], *options, *argv[cut:]], ENVIRON, kind=kind)

    return submit_with


def _only(jobs):
    [job] = jobs.values()
    return job


def _message(path, name, *, kind="custom"):
    """What the file says, as the service shows it."""
    job = read_job_file(path, {**NAMES, "JOB": name})
    assert job.kind == kind
    return json_format.MessageToDict(job.to_message())


def test_job_arrives_as_the_file_says(run, fake, capsys):
    run(CPU, "--name=n1")

    job = _only(fake.jobs)
    assert job["jobSpec"] == _message(CPU, "n1")
    assert job["displayName"] == "n1"
    assert job["labels"] == make_labels(ENVIRON)
    assert job["jobSpec"]["baseOutputDirectory"] == {"outputUriPrefix": "gs://bucket/runs/n1"}
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"submitted {job['name']}"
    assert [line.split()[1] for line in out[4:7]] == ["pending", "running", "succeeded"]
    assert out[-1] == "model: gs://bucket/runs/n1/model/"


def test_every_field_of_a_job_survives(run, fake, tmp_path):
    """Also those that the SDK's own CustomJob class has no parameter for."""
    text = (ROOT / "configs" / "job_cpu.yaml").read_text()
    path = tmp_path / "rich.yaml"
    path.write_text(
        re.sub(r"(?m)^scheduling:.*$", "", text)
        + "scheduling: {timeout: 3600s, strategy: SPOT, maxWaitDuration: 60s}\n"
        "enableWebAccess: true\nprotectedArtifactLocationId: us-central1\n"
        "persistentResourceId: pr\n"
    )

    run(str(path), "--name=n2", "--no_follow")

    assert _only(fake.jobs)["jobSpec"] == _message(str(path), "n2")
    assert _only(fake.jobs)["jobSpec"]["scheduling"]["strategy"] == "SPOT"


def test_study_arrives_as_the_file_says_and_ends_with_its_trials(run, fake, capsys):
    run(TUNING, "--name=s1", kind="tuning")

    job = _only(fake.jobs)
    expected = _message(TUNING, "s1", kind="tuning")
    assert {key: job[key] for key in expected} == expected
    assert job["displayName"] == "s1"
    assert job["labels"] == make_labels(ENVIRON)
    out = capsys.readouterr().out
    # Of 8 trials of the fake, the last has the least rmse, 1/8, and every range's upper end.
    assert re.search(r"^1 +8 +0\.125 +800 ", out, re.MULTILINE)
    flags = "--baseline=constant --report=none --deep_learning_rate=0.01 "
    flags += "--hidden_units=256,128,64 --dropout=0.3"
    assert out.splitlines()[-2:] == [
        f"  python scripts/submit_job.py configs/job_cpu.yaml -- {flags}",
        f"  python -m trainer.task {flags}",
    ]


def test_labels_of_the_file_and_of_the_user_win(run, fake, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        (ROOT / "configs" / "tuning_small.yaml").read_text()
        + "labels: {group: a, trainer_version: mine}\n"
    )

    run(str(path), "--labels=group=b,x=1", "--no_follow", kind="tuning")

    labels = _only(fake.jobs)["labels"]
    assert labels == make_labels(ENVIRON) | {"group": "b", "trainer_version": "mine", "x": "1"}


def test_illegal_label_is_refused_before_anything_is_sent(run, fake):
    with pytest.raises(UserError, match="label group=A b: key and value must be at most 63 of a-z"):
        run(CPU, "--labels=group=A b")

    assert fake.requests == []


def test_labels_without_a_value_are_a_usage_error(run, capsys):
    with pytest.raises(SystemExit):
        run(CPU, "--labels=group")

    assert "expected KEY=VALUE,...; received 'group'" in capsys.readouterr().err


def test_flags_and_config_reach_every_replica(run, fake, tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text((ROOT / "configs" / "taxifare_sample.yaml").read_text())
    workers = str(ROOT / "configs" / "job_workers.yaml")

    run(workers, "--name=w1", f"--config={config}", "--no_follow", "--", "--epochs=2")

    uri = "gs://bucket/runs/w1/submitted_config.yaml"
    pools = _only(fake.jobs)["jobSpec"]["workerPoolSpecs"]
    assert len(pools) == 2
    own = [pool.args for pool in read_job_file(workers, {**NAMES, "JOB": "w1"}).pools]
    assert [pool["containerSpec"]["args"] for pool in pools] == [
        [*args, f"--config={uri}", "--epochs=2"] for args in own
    ]
    assert storage.read_bytes(uri) == config.read_bytes()


def test_config_in_the_cloud_is_named_and_not_copied(run, fake, emulator):
    uri = f"{emulator}/configs/mine.yaml"
    storage.write_bytes(uri, (ROOT / "configs" / "taxifare_sample.yaml").read_bytes())

    run(CPU, "--name=n3", f"--config={uri}", "--no_follow")

    [pool] = _only(fake.jobs)["jobSpec"]["workerPoolSpecs"]
    assert pool["containerSpec"]["args"][-1] == f"--config={uri}"
    assert storage.list_dir(f"{emulator}/runs/n3") == []


@pytest.mark.parametrize("more", [[], ["--dry_run"]])
def test_absent_config_is_an_error_before_anything_is_sent(run, fake, more):
    with pytest.raises(UserError, match=r"cannot read absent\.yaml: it does not exist"):
        run(CPU, "--config=absent.yaml", *more)

    assert fake.requests == []


def test_package_is_built_and_uploaded_where_the_job_names_it(run, fake, capsys):
    run(PREBUILT, "--no_follow")

    [pool] = _only(fake.jobs)["jobSpec"]["workerPoolSpecs"]
    [uri] = pool["pythonPackageSpec"]["packageUris"]
    assert uri == f"gs://bucket/packages/{package.SDIST_NAME}"
    assert f"uploaded the package to {uri}" in capsys.readouterr().out
    assert cloud_files.find_blob(uri).size > 10_000


def test_name_is_the_file_and_the_time(run, fake):
    run(CPU, "--no_follow")

    assert re.fullmatch(r"job_cpu_\d{8}_\d{6}", _only(fake.jobs)["displayName"])


def test_illegal_name_is_refused(run):
    with pytest.raises(UserError, match=r"--name must be 1 to 128 of a-z, .* received 'My job'"):
        run(CPU, "--name=My job")


def test_wrong_script_names_the_right_one(run):
    with pytest.raises(UserError, match=r"is a tuning job; submit it with python scripts/submit_t"):
        run(TUNING)
    with pytest.raises(UserError, match=r"is a custom job; submit it with python scripts/submit_j"):
        run(CPU, kind="tuning")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--project", "my-project"),
        ("--bucket", "my-bucket"),
        ("--image", "us-docker.pkg.dev/my-project/trainer/t"),
    ],
)
def test_example_of_the_names_file_is_refused(run, fake, option, value):
    name = option[2:].upper()

    with pytest.raises(UserError, match=f"{name} is still '{value}', the example of configs/nam"):
        run(CPU, f"{option}={value}")

    assert fake.requests == []


def test_example_that_the_job_does_not_use_is_no_matter(run, fake):
    run(PREBUILT, "--image=us-docker.pkg.dev/my-project/trainer/t", "--no_follow")

    assert len(fake.jobs) == 1


def test_names_file_holds_the_examples_that_are_refused():
    text = (ROOT / "configs" / "names.env").read_text()

    assert re.findall(r"(?m)^(?:PROJECT|BUCKET)=(.*)$", text) == ["my-project", "my-bucket"]


def test_absent_bucket_stops_before_the_job(run, fake):
    with pytest.raises(
        UserError, match="there is no bucket no-bucket; gcloud storage buckets create"
    ):
        run(CPU, "--bucket=no-bucket")

    assert fake.requests == []


@pytest.mark.parametrize(
    ("status", "reason", "said", "expected"),
    [
        (403, "SERVICE_DISABLED", "off", "gcloud services enable aiplatform.googleapis.com"),
        (403, "IAM_PERMISSION_DENIED", "customJobs.create", "roles/aiplatform.user"),
        (429, None, "exceed quota limits: l4", "https://console.cloud.google.com/iam-admin/quotas"),
        (400, None, "It must be in the same regional location", "BUCKET is gs://bucket"),
    ],
)
def test_refusal_of_the_service_says_what_to_do(run, fake, status, reason, said, expected):
    fake.refuse(status, said, reason=reason)

    with pytest.raises(UserError, match=re.escape(expected)):
        run(CPU)

    assert len(fake.requests) == 1 and not fake.jobs


def test_failed_job_exits_with_its_message(emulator, names_file):
    with FakeVertex(outcome="JOB_STATE_FAILED", error="The replica exited with 2.") as fake:
        done = _script("submit_job.py", CPU, fake, names_file, "--poll_seconds=0")

    assert done.returncode == TrainingFailed.exit_code
    *_, line = done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert line.startswith("error: the job failed: The replica exited with 2; its log: https://")


def _script(script, path, fake, names_file, *options):
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / "scripts" / script),
            path,
            f"--names={names_file}",
            f"--api_endpoint={fake.url}",
            *options,
        ],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_interrupt_while_following_leaves_the_job(run, fake, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(submit.time, "sleep", interrupt)

    with pytest.raises(Interrupted, match=r"job goes on\. Cancel it: gcloud ai custom-jobs cancel"):
        run(CPU)

    assert _only(fake.jobs)["state"] == "JOB_STATE_RUNNING"


def test_errors_of_the_check_stop_the_submission(run, fake, monkeypatch, capsys):
    findings = [
        Finding("error", "job.yaml:1 a", "is wrong"),
        Finding("warning", "job.yaml:2 b", "is odd"),
        Finding("error", "job.yaml:3 c", "is bad"),
    ]
    monkeypatch.setattr(submit, "check_job", lambda job, names, **_: findings)

    with pytest.raises(UserError, match=r"job_cpu\.yaml has 2 errors, see above; nothing was"):
        run(CPU)

    assert capsys.readouterr().err.splitlines() == [
        "error: job.yaml:1 a: is wrong",
        "warning: job.yaml:2 b: is odd",
        "error: job.yaml:3 c: is bad",
    ]
    assert fake.requests == []


def test_one_error_is_the_message_and_warnings_do_not_stop(run, fake, monkeypatch, capsys):
    findings = [Finding("warning", "job.yaml:2 b", "is odd")]
    monkeypatch.setattr(submit, "check_job", lambda job, names, **_: findings)
    run(CPU, "--no_follow")
    assert capsys.readouterr().err == "warning: job.yaml:2 b: is odd\n"

    findings.append(Finding("error", "job.yaml:1 a", "is wrong"))

    with pytest.raises(UserError, match=r"^job\.yaml:1 a: is wrong$"):
        run(CPU, "--no_follow")
    assert len(fake.jobs) == 1


def test_check_sees_the_local_config(run, monkeypatch, tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text((ROOT / "configs" / "taxifare_sample.yaml").read_text())
    seen = []

    def check(job, names, *, read_data, uploads):
        seen.append((job, uploads))
        return []

    monkeypatch.setattr(submit, "check_job", check)

    run(CPU, f"--config={config}", "--no_follow", "--", "--epochs=2")

    [(job, uploads)] = seen
    assert job.trainer_args[-2:] == (f"--config={config}", "--epochs=2")
    assert uploads == (str(config),)


@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not on the PATH")
@pytest.mark.parametrize(
    ("path", "kind", "more"),
    [
        (CPU, "custom", ["--", "--epochs=2"]),
        (PREBUILT, "custom", []),
        (TUNING, "tuning", ["--labels=group=b"]),
    ],
)
def test_dry_run_prints_the_gcloud_line_that_does_the_same(
    run, fake, tmp_path, capsys, path, kind, more
):
    run(path, "--name=n4", "--dry_run", *more, kind=kind)
    out = capsys.readouterr().out
    assert fake.requests == [] and storage.list_dir("gs://bucket/runs/n4") == []

    done = subprocess.run(
        shlex.split(out.splitlines()[-1]),
        env=gcloud_environment(fake.url, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run(path, "--name=n4", "--no_follow", *more, kind=kind)

    by_gcloud, by_sdk = fake.jobs.values()
    for job in (by_gcloud, by_sdk):
        del job["name"]
    assert by_gcloud == by_sdk


def test_dry_run_shows_the_yaml_and_the_uploads_without_an_account(names_file, tmp_path, capsys):
    """No service, no emulator, and the names of the file as they come."""
    config = tmp_path / "mine.yaml"
    config.write_text((ROOT / "configs" / "taxifare_sample.yaml").read_text())

    submit.main([PREBUILT, "--dry_run", "--name=n5", f"--config={config}"], {})

    text, _, rest = capsys.readouterr().out.partition("# The YAML above is in ")
    assert text == (tmp_path / "runs" / "n5" / "job.yaml").read_text()
    [pool] = yaml.safe_load(text)["workerPoolSpecs"]
    uri = "gs://my-bucket/runs/n5/submitted_config.yaml"
    assert pool["pythonPackageSpec"]["args"][-1] == f"--config={uri}"
    lines = rest.splitlines()
    assert lines[0].startswith("runs/n5/job.yaml. Nothing was uploaded or submitted.")
    assert lines[1] == f"gcloud storage cp {config} {uri}"
    assert lines[3] == (
        f"gcloud storage cp dist/{package.SDIST_NAME} "
        f"gs://my-bucket/packages/{package.SDIST_NAME}  # only if changed"
    )


def test_missing_names_are_asked_for(fake, tmp_path):
    path = tmp_path / "names.env"
    path.write_text("PROJECT=p\nREGION=us-east1\n")

    with pytest.raises(UserError, match=r"\$\{IMAGE\} has no value; set IMAGE in configs/names.e"):
        submit.main([CPU, f"--names={path}"], {})


def test_default_pause_between_looks_is_long():
    assert follow.POLL_SECONDS >= 5


def test_script_shows_its_help_from_any_folder(tmp_path):
    for script in ("submit_job.py", "submit_tuning.py", "list_trials.py"):
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / script), "--help"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert "--api_endpoint" in done.stdout


def test_stored_body_is_json_of_the_public_api(run, fake):
    run(CPU, "--no_follow")

    [(method, path, body)] = fake.requests
    assert (method, path) == ("POST", "/v1/projects/a-project/locations/us-central1/customJobs")
    assert set(json.loads(json.dumps(body))) == {"displayName", "jobSpec", "labels"}
