"""trainer.jobs.fake_cloud: a folder as Cloud Storage."""

import os

import pytest

from trainer.errors import UserError
from trainer.jobs.fake_cloud import buckets_in, fake_cloud, make_buckets, storage_client


def names(endpoint, bucket):
    return [blob.name for blob in storage_client(endpoint).list_blobs(bucket)]


def test_files_of_the_folder_are_objects_and_objects_are_files(tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "x.csv").write_text("1,2")
    with fake_cloud(str(tmp_path), ["runs"]) as endpoint:
        client = storage_client(endpoint)
        assert client.bucket("data").blob("a/x.csv").download_as_bytes() == b"1,2"
        for name in ("m/kept", "m/deleted"):
            client.bucket("runs").blob(name).upload_from_string(b"abc")
        client.bucket("runs").blob("m/deleted").delete()

    on_disk = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    # .meta is the emulator's own.
    assert on_disk == {"data/a/x.csv", "runs/m/kept", ".meta", ".lock"}
    assert (tmp_path / "runs/m/kept").read_bytes() == b"abc"


def test_a_later_run_sees_the_folder_as_it_is_then(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("same", "changed", "removed"):
        (tmp_path / "data" / name).write_text("old")
    with fake_cloud(str(tmp_path), []) as endpoint:
        blobs = storage_client(endpoint).list_blobs("data")
        before = {blob.name: blob.generation for blob in blobs}
    (tmp_path / "data" / "removed").unlink()
    (tmp_path / "data" / "added").write_text("new")
    (tmp_path / "data" / "changed").write_text("new")
    later = os.stat(tmp_path / "data" / "changed").st_mtime + 60
    os.utime(tmp_path / "data" / "changed", (later, later))

    with fake_cloud(str(tmp_path), []) as endpoint:
        client = storage_client(endpoint)
        blobs = {blob.name: blob for blob in client.list_blobs("data")}
        after = {name: blob.generation for name, blob in blobs.items()}
        # Read as the trainer reads: by the address that the object states.
        texts = {name: blob.download_as_text() for name, blob in blobs.items()}

    assert texts == {"same": "old", "changed": "new", "added": "new"}
    # A generation is part of a file's fingerprint, by which encoded data is found again.
    assert after["same"] == before["same"]
    assert after["changed"] != before["changed"]


def test_buckets_are_made_once(tmp_path):
    with fake_cloud(str(tmp_path), ["runs"]) as endpoint:
        storage_client(endpoint).bucket("runs").blob("a").upload_from_string(b"1")
        make_buckets(endpoint, ["runs", "more"])
        assert names(endpoint, "runs") == ["a"]
        assert names(endpoint, "more") == []


def test_a_client_of_the_emulator_ignores_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    with fake_cloud(str(tmp_path), ["runs"]) as endpoint:
        assert names(endpoint, "runs") == []


def test_a_folder_that_is_no_bucket_is_named(tmp_path):
    (tmp_path / "My Data").mkdir()
    with pytest.raises(UserError, match=r"My Data cannot be a bucket: .* Rename"):
        fake_cloud(str(tmp_path), []).__enter__()


def test_missing_package_names_the_extra(tmp_path, monkeypatch):
    import importlib

    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(UserError, match=r"wide-and-deep-trainer\[local\]"):
        fake_cloud(str(tmp_path), []).__enter__()


def test_buckets_are_found_wherever_they_stand():
    text = 'args: ["--config=gs://b-1/c.yaml"]\nx: gs://my.data/*.csv # gs://${BUCKET}/x'
    assert buckets_in(text) == ["b-1", "my.data"]
    assert buckets_in("") == []


def test_a_folder_serves_one_run_at_a_time(tmp_path):
    with fake_cloud(str(tmp_path), []), pytest.raises(UserError, match="another --gs_dir"):
        fake_cloud(str(tmp_path), []).__enter__()
    with fake_cloud(str(tmp_path), []):
        pass
