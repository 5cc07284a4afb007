"""trainer.run_lock: one writer, in a folder and in a bucket."""

import json
import os
import platform
import subprocess
import sys
import threading

import pytest

from trainer import cloud_files, storage
from trainer.errors import UserError
from trainer.run_lock import RunLock, owner_name

HOLDER = """
import sys, time
from trainer.run_lock import RunLock
with RunLock(sys.argv[1], "process 7 on there"):
    print("held", flush=True)
    time.sleep(60)
"""


def quick(path, owner="process 1 on here"):
    return RunLock(path, owner, renewal_seconds=0.05, patience_seconds=0.4)


def test_owner_is_the_job_or_else_this_process():
    assert owner_name("123") == "job 123"
    assert owner_name(None) == f"process {os.getpid()} on {platform.node()}"


def test_second_run_in_a_folder_is_refused_by_name_until_the_first_ends(tmp_path):
    path = str(tmp_path / "run" / "LOCK")
    with RunLock(path, "process 1 on here"):
        with (
            pytest.raises(UserError, match=r"run is being written by process 1 on here; wait"),
            RunLock(path, "process 2 on here"),
        ):
            pass
        assert storage.exists(path)
    assert not storage.exists(path)
    with RunLock(path, "process 2 on here") as lock:
        lock.check()


def test_lock_of_a_killed_process_is_free_at_once(tmp_path):
    path = str(tmp_path / "LOCK")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="process 7 on there"), RunLock(path, "me"):
            pass
        process.kill()
        process.wait()
    assert storage.exists(path)
    with RunLock(path, "me"):
        assert storage.read_text(path) == "me"


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file/run/LOCK"):
        RunLock(str(tmp_path / "file" / "run" / "LOCK"), "me").__enter__()


@pytest.fixture
def bucket(monkeypatch):
    """A bucket with preconditions as Cloud Storage holds them; the emulator does not."""
    flaky_storage = pytest.importorskip("flaky_storage")
    with flaky_storage.FlakyStorage() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        cloud_files.client.cache_clear()
        yield "gs://bucket"
    cloud_files.client.cache_clear()


def owner_in(path):
    """Of whatever generation: the lock may be renewed at this moment."""
    return json.loads(cloud_files.new_blob(path).download_as_text())["owner"]


def test_lock_in_a_bucket_is_renewed_and_removed(bucket):
    path = f"{bucket}/a/LOCK"
    with quick(path):
        first = cloud_files.find_blob(path).generation
        seen = threading.Event()
        for _ in range(100):
            if cloud_files.find_blob(path).generation != first:
                break
            seen.wait(0.05)
        else:
            pytest.fail("never renewed")
        assert owner_in(path) == "process 1 on here"
    assert not storage.exists(path)


def test_second_run_in_a_bucket_is_refused_while_the_first_renews(bucket):
    path = f"{bucket}/b/LOCK"
    with (
        quick(path),
        pytest.raises(UserError, match=r"bucket/b is being written by process 1 on here"),
        quick(path, "process 2 on there"),
    ):
        pass


def test_lock_that_is_not_renewed_is_taken_over(bucket):
    path = f"{bucket}/c/LOCK"
    storage.write_text(path, json.dumps({"owner": "process 7 on there"}))
    with quick(path):
        assert owner_in(path) == "process 1 on here"


def test_restarted_job_does_not_wait_for_itself(bucket):
    path = f"{bucket}/d/LOCK"
    storage.write_text(path, json.dumps({"owner": "job 5"}))
    with RunLock(path, "job 5", patience_seconds=1000):
        pass


def test_run_that_lost_its_lock_writes_no_more(bucket):
    path = f"{bucket}/e/LOCK"
    lock = quick(path)
    with lock:
        # Whatever its generation is: it may be renewed at this moment.
        cloud_files.new_blob(path).upload_from_string(json.dumps({"owner": "process 2 on there"}))
        lock._thread.join(5)
        with pytest.raises(UserError, match=r"bucket/e was taken over by another run"):
            lock.check()
    assert owner_in(path) == "process 2 on there"


def test_process_of_the_same_name_is_another_run(bucket):
    """A job that Vertex AI starts again, while its old process still lives somewhere."""
    path = f"{bucket}/f/LOCK"
    # Seldom renewed, so that it is not at the very moment of the takeover.
    with RunLock(path, "job 5", renewal_seconds=1.0) as old, quick(path, "job 5") as new:
        old._thread.join(5)
        with pytest.raises(UserError, match="was taken over by another run"):
            old.check()
        new.check()
