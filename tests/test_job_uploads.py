"""What goes into the bucket before a job, and what is found wrong with the bucket."""

import pytest

from trainer import cloud_files, storage
from trainer.errors import UserError
from trainer.jobs import package
from trainer.jobs.job_file import read_job_file
from trainer.jobs.job_uploads import (
    config_uri,
    own_packages,
    upload_config,
    upload_packages,
)


def _job(tmp_path, text):
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return read_job_file(str(path), {})


def _package_job(tmp_path, *uris):
    pool = (
        "{pythonPackageSpec: {executorImageUri: e, pythonModule: trainer.task, "
        f"packageUris: [{', '.join(uris)}]}}}}"
    )
    return _job(tmp_path, f"workerPoolSpecs: [{pool}, {pool}]")


def test_config_goes_beside_the_run_but_not_where_the_trainer_writes(tmp_path):
    job = _job(tmp_path, "baseOutputDirectory: {outputUriPrefix: gs://b/runs/j/}")

    assert config_uri(job, {}) == "gs://b/runs/j/submitted_config.yaml"


def test_config_of_a_job_without_output_folder_goes_to_the_bucket(tmp_path):
    job = _job(tmp_path, "workerPoolSpecs: []")

    assert config_uri(job, {"BUCKET": "b", "JOB": "j"}) == "gs://b/runs/j/submitted_config.yaml"
    with pytest.raises(UserError, match=r"set BUCKET in configs/names\.env"):
        config_uri(job, {"JOB": "j"})


def test_package_of_this_version_is_ours_once(tmp_path, capsys):
    uri = f"gs://b/packages/{package.SDIST_NAME}"

    assert own_packages(_package_job(tmp_path, uri, "gs://b/other-1.0.tar.gz")) == (uri,)
    assert capsys.readouterr().out == ""


def test_package_of_another_version_is_left_and_said_so(tmp_path, capsys):
    uri = "gs://b/packages/wide_and_deep_trainer-0.0.1.tar.gz"

    assert own_packages(_package_job(tmp_path, uri)) == ()
    assert capsys.readouterr().out == (
        f"note: {uri} is taken as it is; this checkout makes {package.SDIST_NAME}\n"
    )


def test_config_arrives_byte_by_byte(emulator, tmp_path, capsys):
    source = tmp_path / "my.yaml"
    source.write_bytes(b"label: {column: \xc3\xa9}\r\n")

    upload_config(str(source), f"{emulator}/runs/j/submitted_config.yaml")

    assert storage.read_bytes(f"{emulator}/runs/j/submitted_config.yaml") == source.read_bytes()
    assert capsys.readouterr().out.startswith(f"uploaded {source} to gs://bucket/runs/j/submitted")


def test_package_is_uploaded_only_when_it_changed(emulator, capsys):
    uri = f"{emulator}/packages/{package.SDIST_NAME}"

    upload_packages([uri])
    generation = cloud_files.find_blob(uri).generation
    upload_packages([uri])

    assert capsys.readouterr().out.splitlines() == [
        f"uploaded the package to {uri}",
        f"package unchanged: {uri}",
    ]
    assert cloud_files.find_blob(uri).generation == generation
    assert storage.read_bytes(uri)[:2] == b"\x1f\x8b"


def test_nothing_is_built_where_no_package_is_needed(monkeypatch):
    monkeypatch.setattr(package, "build_package", lambda _: pytest.fail("built"))

    upload_packages([])
