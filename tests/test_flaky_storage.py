"""Cloud Storage on a bad day: nothing is lost, nothing is half-visible, and nobody notices.

Whole runs are processes against tests/flaky_storage.py; the same run against the same endpoint
without faults says what must come out.
"""

import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

pytest.importorskip("gcp_storage_emulator")

from flaky_storage import CUTS, FAULTS, STATUSES, Change, FlakyStorage, broken_promises
from runs import environment
from table_runs import config_text, outcome, table_files

from trainer import cloud_files, storage
from trainer.errors import Interrupted, UserError
from trainer.run_lock import RunLock


@pytest.fixture
def use(monkeypatch):
    """Makes an endpoint that of this process's client, which is in no mood to wait."""

    def use_endpoint(flaky):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", flaky.endpoint)
        monkeypatch.setattr(cloud_files, "FIRST_PAUSE_SECONDS", 0.01)
        monkeypatch.setattr(cloud_files, "LONGEST_PAUSE_SECONDS", 0.05)
        cloud_files.client.cache_clear()
        return flaky

    yield use_endpoint
    cloud_files.client.cache_clear()


# ---- the endpoint itself


def test_endpoint_honours_generations_as_cloud_storage_does(use):
    with use(FlakyStorage()):
        blob = cloud_files.client().bucket("bucket").blob("a")
        blob.upload_from_string(b"1", if_generation_match=0)
        first = blob.generation
        for wrong in (0, first + 1):
            with pytest.raises(Exception, match="412"):
                cloud_files.new_blob("gs://bucket/a").upload_from_string(
                    b"x", if_generation_match=wrong
                )
        blob.upload_from_string(b"2", if_generation_match=first)
        assert blob.generation > first
        old = cloud_files.client().bucket("bucket").blob("a", generation=first)
        with pytest.raises(Exception, match="404"):
            old.download_as_bytes()
        with pytest.raises(Exception, match="404"):
            old.delete()
        with pytest.raises(Exception, match="412"):
            blob.reload(if_metageneration_match=7)
        assert storage.read_bytes("gs://bucket/a") == b"2"


def test_endpoint_counts_what_it_does(use):
    flaky = FlakyStorage(rate=0.5, seed=3, delay_seconds=0.0, late_seconds=0.1)
    with use(flaky):
        for i in range(40):
            storage.write_bytes(f"gs://bucket/{i}", b"%d" % i)
    faults = sum(flaky.counts[fault] for fault in FAULTS)
    assert faults + flaky.counts["served"] == flaky.counts["requests"]
    assert 0.35 < faults / flaky.counts["requests"] < 0.65
    assert all(flaky.counts[fault] for fault in FAULTS)


def test_broken_promises_are_seen():
    manifest = b'{"state.json": [9, %d]}' % 0xCBF43926  # the published check value of CRC-32
    state, seal = Change("c/state.json", b"123456789"), Change("c/manifest.json", manifest)
    assert broken_promises([state, seal]) == []
    assert broken_promises([seal, state]) == [
        "c/manifest.json was set while state.json was not there",
        "c/state.json changed while c/manifest.json stood",
    ]
    assert broken_promises([state, seal, state._replace(content=None)]) == [
        "c/state.json changed while c/manifest.json stood"
    ]
    assert broken_promises([state, seal, seal._replace(content=None), state]) == []
    assert broken_promises([Change("m/saved_model.pb", b"")]) == [
        "m/saved_model.pb was set without its variables"
    ]
    assert len(broken_promises([Change("r/COMPLETE", b"")])) == 2
    assert broken_promises([Change("r/COMPLETE", b""), Change("r/LOCK", None)])[2:] == []


# ---- storage.py against it


@pytest.mark.parametrize("fault", FAULTS)
def test_files_come_and_go_through_every_fault(use, fault, tmp_path):
    """Small and large (more than one request) objects; content, lists and deletes are right."""
    rng = np.random.default_rng(1)
    large = rng.bytes(9 << 20)
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    contents = {"a.bin": rng.bytes(100_000), "deep/b.bin": large, "last": b""}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    flaky = FlakyStorage(rate=0.3, seed=5, faults=(fault,), delay_seconds=0.01, late_seconds=0.05)
    with use(flaky):
        for _ in range(2):  # The second time in the place of the first.
            storage.commit_dir(str(folder), "gs://bucket/run", last="last")
            storage.fetch_dir("gs://bucket/run", str(tmp_path / "back"))
            for name, content in contents.items():
                assert (tmp_path / "back" / name).read_bytes() == content
        with storage.open_read("gs://bucket/run/deep/b.bin") as stream:
            stream.seek(8 << 20)
            assert stream.read(10) == large[8 << 20 :][:10]
        assert storage.list_files("gs://bucket/run/**/*.bin") == [
            "gs://bucket/run/a.bin",
            "gs://bucket/run/deep/b.bin",
        ]
        storage.remove("gs://bucket/run")
        assert not storage.exists("gs://bucket/run")
        time.sleep(0.2)  # What is late arrives, and does nothing any more.
        assert flaky.names() == []
    assert flaky.counts[fault] >= 5


def test_a_write_that_arrives_late_does_not_undo_a_newer_one(use):
    flaky = FlakyStorage(rate=1.0, faults=("late",), late_seconds=0.3)
    with use(flaky):
        writer = threading.Thread(target=storage.write_bytes, args=("gs://bucket/a", b"old"))
        writer.start()
        while not flaky.counts["late"]:
            time.sleep(0.001)
        flaky.rate = 0.0
        writer.join()
        storage.write_bytes("gs://bucket/a", b"new")
        time.sleep(0.5)
        assert flaky.read("a") == b"new"
        assert [change.content for change in flaky.journal] == [b"old", b"new"]


def test_an_object_of_another_writer_is_not_overwritten_unseen(use, monkeypatch):
    with use(FlakyStorage()) as flaky:
        storage.write_bytes("gs://bucket/a", b"mine")
        monkeypatch.setattr(cloud_files, "_generation", lambda path: 1)
        with pytest.raises(UserError, match=r"bucket/a was written by another process at the same"):
            storage.write_bytes("gs://bucket/a", b"mine")
        assert len(flaky.journal) == 1


@pytest.mark.parametrize("action", ["read", "write", "list", "delete", "fetch", "gzip", "parquet"])
def test_storage_that_stays_away_is_an_interruption(use, monkeypatch, tmp_path, action):
    monkeypatch.setattr(cloud_files, "RETRY_SECONDS", 0.3)
    with use(FlakyStorage()) as flaky:
        # Two columns of 9 MB, more than one request for both.
        numbers = np.random.default_rng(1).random(1_200_000)
        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(pyarrow.table({"a": numbers, "b": numbers[::-1]}), sink)
        content = sink.getvalue().to_pybytes()
        storage.write_bytes("gs://bucket/a/b", content)
        stream = storage.open_read("gs://bucket/a/b")
        table = pyarrow.parquet.ParquetFile(storage.open_read("gs://bucket/a/b"))
        flaky.is_away = True
        actions = {
            "read": lambda: storage.read_bytes("gs://bucket/a/b"),
            "write": lambda: storage.write_bytes("gs://bucket/a/b", b"2"),
            "list": lambda: storage.list_files("gs://bucket/a/*"),
            "delete": lambda: storage.remove("gs://bucket/a"),
            "fetch": lambda: storage.fetch_dir("gs://bucket/a", str(tmp_path)),
            "parquet": lambda: list(table.iter_batches()),
            "gzip": lambda: pyarrow.CompressedInputStream(
                pyarrow.PythonFile(stream, "r"), "gzip"
            ).read(),
        }
        message = r"cannot \w+ gs://bucket/a.*: no answer for 0.3 s \(.+\); start again to go on"
        with pytest.raises(Interrupted, match=message):
            actions[action]()
        flaky.is_away = False
        assert storage.read_bytes("gs://bucket/a/b") == content


def test_a_server_that_says_nothing_is_asked_again(use, monkeypatch):
    monkeypatch.setattr(cloud_files, "TIMEOUT_SECONDS", 0.2)
    flaky = FlakyStorage(rate=1.0, faults=("delay",), delay_seconds=1.0)
    with use(flaky):
        reader = threading.Timer(0.3, lambda: setattr(flaky, "rate", 0.0))
        reader.start()
        storage.write_bytes("gs://bucket/a", b"1")
        assert storage.read_bytes("gs://bucket/a") == b"1"
    assert flaky.counts["delay"] >= 1
    assert [change.content for change in flaky.journal] == [b"1"]


# ---- the run lock against it


@pytest.mark.parametrize("fault", ["cut after", "late", "cut amid"])
def test_lock_knows_its_own_writes_whose_answers_were_lost(use, fault):
    flaky = FlakyStorage(rate=0.5, seed=2, faults=(fault,), late_seconds=0.02)
    with use(flaky):
        lock = RunLock("gs://bucket/LOCK", "me", renewal_seconds=0.02, patience_seconds=60)
        with lock:
            while min(flaky.counts[fault], flaky.counts[412]) < 5:
                time.sleep(0.01)
                lock.check()
            lock.check()
        assert not storage.exists("gs://bucket/LOCK")


def test_outage_is_not_taken_for_the_holders_silence(use):
    """A newcomer waits already when the bucket goes away for longer than its patience."""
    with use(FlakyStorage()) as flaky:
        holder = RunLock("gs://bucket/LOCK", "first", renewal_seconds=0.3, patience_seconds=1.2)
        newcomer = RunLock("gs://bucket/LOCK", "second", renewal_seconds=0.3, patience_seconds=1.2)
        with holder:
            threading.Timer(0.05, lambda: setattr(flaky, "is_away", True)).start()
            threading.Timer(2.5, lambda: setattr(flaky, "is_away", False)).start()
            with pytest.raises(UserError, match="is being written by first"), newcomer:
                pass
            holder.check()


def test_who_was_away_finds_out_before_it_writes(use):
    """After minutes of standstill a check asks the bucket and does not trust the thread."""
    with use(FlakyStorage()):
        stopped = RunLock("gs://bucket/LOCK", "first", renewal_seconds=0.1, patience_seconds=60)
        with stopped:
            stopped._over.set()  # Its thread sleeps as a stopped process does.
            stopped._thread.join()
            time.sleep(0.25)
            with (
                RunLock("gs://bucket/LOCK", "second", renewal_seconds=0.1, patience_seconds=0.3),
                pytest.raises(UserError, match="was taken over by another run"),
            ):
                stopped.check()


# ---- whole runs

# Settings of trainer.cloud_files and what is made of them, for runs that shall not wait for long.
QUICK = (
    "import sys; from trainer import cloud_files as c; c.RETRY_SECONDS = {retry_seconds}; "
    "c.FIRST_PAUSE_SECONDS = {pause}; "
    "from trainer.task import console_main; sys.exit(console_main())"
)


def put_table(flaky, suffix="csv"):
    """The table and its config as objects of the bucket."""
    was, flaky.rate = flaky.rate, 0.0
    for name, content in table_files(suffix).items():
        storage.write_bytes(f"gs://bucket/data/{name}", content)
    storage.write_text("gs://bucket/table.yaml", config_text("gs://bucket/data", suffix))
    flaky.rate = was


def start(flaky, tmp_path, *flags, retry_seconds=120.0, pause=0.2):
    """A run in the bucket, as a job of Vertex AI, which knows its own lock."""
    settings = QUICK.format(retry_seconds=retry_seconds, pause=pause)
    arguments = ["--config=gs://bucket/table.yaml", "--job_dir=gs://bucket/run", *flags]
    variables = {"STORAGE_EMULATOR_HOST": flaky.endpoint, "CLOUD_ML_JOB_ID": "7"}
    return subprocess.Popen(
        [sys.executable, "-c", settings, *arguments],
        cwd=tmp_path,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process, seconds=300):
    output, errors = process.communicate(timeout=seconds)
    return process.returncode, output + errors


def left_in(flaky):
    """What the run has learned, after a look at how it came there."""
    assert broken_promises(flaky.journal) == []
    assert "run/LOCK" not in flaky.names()
    names = [name for name in flaky.names() if name.startswith("run/")]
    return outcome({name.removeprefix("run/"): flaky.read(name) for name in names})


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the run leaves where nothing goes wrong, by file format."""
    known = {}

    def outcome_of(suffix, use):
        if suffix not in known:
            with use(FlakyStorage()) as flaky:
                put_table(flaky, suffix)
                code, log = end(start(flaky, tmp_path_factory.mktemp("plain")))
                assert code == 0, log
                known[suffix] = left_in(flaky)
        return known[suffix]

    return outcome_of


def run_among_faults(use, tmp_path, suffix, **settings):
    with use(FlakyStorage(**settings)) as flaky:
        put_table(flaky, suffix)
        code, log = end(start(flaky, tmp_path))
        assert code == 0, log
        assert "Traceback" not in log
        return left_in(flaky), flaky.counts


def test_a_run_among_faults_leaves_what_it_leaves_without(use, expected, tmp_path):
    left, counts = run_among_faults(use, tmp_path, "csv", rate=0.15, seed=1, late_seconds=0.5)

    assert left == expected("csv", use)
    assert sum(counts[fault] for fault in FAULTS) >= 15
    assert all(sum(counts[fault] for fault in kind) for kind in (STATUSES, CUTS))


@pytest.mark.faults(
    "Cloud Storage fails a third of all requests, in eight ways",
    "exit 0, weights and metrics bit-identical, nothing half-visible",
)
@pytest.mark.parametrize(("suffix", "seed"), [("csv", 2), ("parquet", 3)])
def test_a_run_among_many_faults(use, expected, tmp_path, suffix, seed):
    left, counts = run_among_faults(
        use, tmp_path, suffix, rate=0.33, seed=seed, late_seconds=3.0, delay_seconds=0.5
    )

    assert left == expected(suffix, use)
    assert min(counts[fault] for fault in FAULTS) >= 3


def wait_for_checkpoint(flaky, process, count=1):
    while sum(change.name.endswith("/manifest.json") for change in flaky.journal) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.faults(
    "Cloud Storage is away for 30 s while training", "the run goes on, bit-identical"
)
def test_an_outage_of_half_a_minute_is_waited_for(use, expected, tmp_path):
    with use(FlakyStorage()) as flaky:
        put_table(flaky)
        process = start(flaky, tmp_path, pause=1.0)
        wait_for_checkpoint(flaky, process)
        flaky.is_away = True
        time.sleep(30)
        assert process.poll() is None
        assert flaky.counts["503"] + flaky.counts["cut before"] >= 3
        flaky.is_away = False
        code, log = end(process)
        assert code == 0, log
        assert left_in(flaky) == expected("csv", use)


@pytest.mark.faults(
    "Cloud Storage is away for longer than it is waited for",
    "one line, exit 75; the next start resumes, bit-identical",
)
def test_an_outage_that_lasts_interrupts_the_run(use, expected, tmp_path):
    with use(FlakyStorage()) as flaky:
        put_table(flaky)
        process = start(flaky, tmp_path, retry_seconds=6.0)
        wait_for_checkpoint(flaky, process)
        flaky.is_away = True
        code, log = end(process)
        assert code == 75, log
        assert "Traceback" not in log
        (line,) = [line for line in log.splitlines() if "interrupted: " in line]
        assert "gs://bucket/run/" in line
        assert "no answer for 6 s" in line
        assert "start again to go on" in line
        kept = [name for name in flaky.names() if name.endswith("/manifest.json")]
        assert kept
        assert broken_promises(flaky.journal) == []

        flaky.is_away = False
        code, log = end(start(flaky, tmp_path))
        assert code == 0, log
        assert left_in(flaky) == expected("csv", use)


@pytest.mark.faults(
    "kill -9 at five moments while Cloud Storage fails every fifth request",
    "each start goes on; bit-identical, nothing half-visible",
)
def test_kills_among_faults(use, expected, tmp_path):
    with use(FlakyStorage(rate=0.2, seed=6, late_seconds=0.5)) as flaky:
        put_table(flaky)
        rng = np.random.default_rng(4)
        for _ in range(5):
            process = start(flaky, tmp_path)
            changes = len(flaky.journal) + rng.integers(6, 30)
            while len(flaky.journal) < changes and process.poll() is None:
                time.sleep(0.005)
            process.kill()
            process.communicate()
        code, log = end(start(flaky, tmp_path))
        assert code == 0, log
        assert left_in(flaky) == expected("csv", use)
