"""What goes wrong with disks and files, done to real runs: `python -m pytest -m faults`.

Each run is a process. What it leaves in the end is compared, bit by bit, with what it leaves where
nothing goes wrong.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from runs import start_task
from table_runs import config_text, outcome, table_files

# 7 MiB a checkpoint: small disks are full of them, and nothing else counts.
LARGE = "hash_buckets: 30000"


def put_table(folder, city="min_frequency: 1"):
    """table.yaml, and the data in data/."""
    (folder / "data").mkdir()
    for name, content in table_files().items():
        (folder / "data" / name).write_bytes(content)
    (folder / "table.yaml").write_text(config_text("data", city=city))


def start(folder, *flags, prefix=(), job_dir="run", **variables):
    flags = ("--config=table.yaml", f"--job_dir={job_dir}", *flags)
    return start_task(*flags, cwd=folder, prefix=prefix, **variables)


def end(process, seconds=400):
    """The exit code, what was said on stdout, and on stderr."""
    said, errors = process.communicate(timeout=seconds)
    return process.returncode, said, errors


def left_in(job_dir):
    job_dir = Path(job_dir)
    files = {p.relative_to(job_dir).as_posix(): p for p in job_dir.rglob("*") if p.is_file()}
    assert not [name for name in files if name.endswith(".tmp") or name == "LOCK"]
    return outcome({name: path.read_bytes() for name, path in files.items()})


def steps(job_dir):
    """Steps of the committed checkpoints, oldest first."""
    seals = Path(job_dir).glob("checkpoints/step-*/manifest.json")
    return sorted(int(path.parent.name.removeprefix("step-")) for path in seals)


def contents(folder):
    """The bytes of every file but the lock, which comes and goes with each start."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.name != "LOCK"}


def run_until(folder, step, **options):
    """Kill a run once it has a checkpoint of at least that step, but before it ends."""
    process = start(folder, "--checkpoint_steps=5", "--epochs=40", **options)
    while not [s for s in steps(folder / "run") if s >= step]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def half_way(tmp_path_factory):
    """A folder with a run of 500 steps that was killed, and what it leaves where it is not."""
    folder = tmp_path_factory.mktemp("half_way")
    put_table(folder)
    run_until(folder, 20)
    assert len(steps(folder / "run")) >= 2  # 3 where it was killed before the oldest went
    whole = tmp_path_factory.mktemp("whole")
    put_table(whole)
    code, _, errors = end(start(whole, "--epochs=40"))
    assert code == 0, errors
    return folder, left_in(whole / "run")


@pytest.fixture
def killed(half_way, tmp_path):
    """A copy of that folder, and what its run must leave in the end."""
    folder, expected = half_way
    shutil.copytree(folder, tmp_path / "killed")
    return tmp_path / "killed", expected


def resume(folder, *flags, **options):
    return end(start(folder, "--epochs=40", *flags, **options))


def finishes(folder, expected, *flags, **options):
    code, said, errors = resume(folder, *flags, **options)
    assert code == 0, errors
    assert left_in(folder / "run") == expected
    return said


def one_error(code, errors):
    """The one line of a run that ended with a mistake of the user."""
    assert code == 2, errors
    (line,) = errors.splitlines()
    assert line.startswith("error: ")
    return line


# ---- damaged checkpoints


def truncate(checkpoint):
    (file,) = checkpoint.glob("variables.data-*")
    os.truncate(file, file.stat().st_size // 2)


def flip_a_bit(checkpoint):
    (file,) = checkpoint.glob("variables.data-*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def lose_a_file(checkpoint):
    (checkpoint / "variables.index").unlink()


def lose_the_manifest(checkpoint):
    (checkpoint / "manifest.json").unlink()


DAMAGES = {
    truncate: r"is damaged: variables.data-\S+ has \d+ bytes instead of \d+; trying the one before",
    flip_a_bit: r"is damaged: variables.data-\S+ does not match its checksum",
    lose_a_file: r"is damaged: variables.index is missing",
    lose_the_manifest: r"is incomplete: it has no manifest.json",
}


@pytest.mark.faults(
    "the newest checkpoint is damaged", "a warning names it, the one before is used, bit-identical"
)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_checkpoint_gives_way_to_the_one_before(killed, damage):
    folder, expected = killed
    *_, before, newest = steps(folder / "run")
    damage(folder / "run" / "checkpoints" / f"step-{newest:09d}")

    said = finishes(folder, expected)

    assert re.search(rf"step-{newest:09d} {DAMAGES[damage]}", said)
    assert f"step-{before:09d} is" not in said


@pytest.mark.faults(
    "all checkpoints are damaged", "one error, nothing is touched; --resume=restart runs to the end"
)
def test_damage_of_all_checkpoints_is_an_error(killed):
    folder, expected = killed
    for step in steps(folder / "run"):
        flip_a_bit(folder / "run" / "checkpoints" / f"step-{step:09d}")
    before = contents(folder / "run" / "checkpoints")

    code, _, errors = resume(folder)

    assert re.search(
        r"no checkpoint in run/checkpoints can be used, .* does not match its checksum. Put an "
        r"intact copy there, or begin again from step 0 with --resume=restart",
        one_error(code, errors),
    )
    assert contents(folder / "run" / "checkpoints") == before
    finishes(folder, expected, "--resume=restart")


# ---- full disks


class SmallDisk:
    """A file system of its own at `path`, in a namespace that ends with the test."""

    def __init__(self, path, megabytes):
        path.mkdir()
        mount = f'mount -t tmpfs -o size={megabytes}m small "$0" && echo mounted && exec sleep 900'
        self._holder = subprocess.Popen(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._holder.stdout.readline() != "mounted\n":
            pytest.skip(f"no file system can be mounted here: {self._holder.stderr.read().strip()}")
        pid = str(self._holder.pid)
        # Its commands begin in /, and the folder they shall run in is theirs to enter.
        self.prefix = ["nsenter", "-t", pid, "--user", "--mount", "--preserve-credentials"]
        self.prefix.append(f"--wd={path.parent}")
        self.path, self.seen_from_here = path, Path(f"/proc/{pid}/root", *path.parts[1:])

    def grow(self, megabytes):
        size = f"remount,size={megabytes}m"
        subprocess.run([*self.prefix, "mount", "-o", size, str(self.path)], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._holder.kill()
        self._holder.communicate()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """What a run of 50 steps with large checkpoints leaves."""
    folder = tmp_path_factory.mktemp("large")
    put_table(folder, LARGE)
    code, _, errors = end(start(folder))
    assert code == 0, errors
    return left_in(folder / "run")


@pytest.mark.faults(
    "the disk of the run is full amid the third checkpoint",
    "one error, both older ones intact; with room the run resumes, bit-identical",
)
def test_full_disk_of_the_run(large, tmp_path):
    put_table(tmp_path, LARGE)
    with SmallDisk(tmp_path / "disk", megabytes=18) as disk:
        run = disk.seen_from_here / "run"
        options = {"prefix": disk.prefix, "job_dir": disk.path / "run"}
        code, _, errors = end(start(tmp_path, **options))
        line = one_error(code, errors)
        assert re.search(r"cannot write \S+/step-000000030/variables.data\S+: No space left", line)
        assert steps(run) == [10, 20]
        assert not list(run.rglob("*.tmp"))

        disk.grow(megabytes=100)
        code, said, errors = end(start(tmp_path, **options))
        assert code == 0, errors
        assert "step      20" not in said  # It went on from there.
        assert left_in(run) == large


@pytest.mark.faults(
    "the folder for temporary files is full while a checkpoint is saved",
    "one error that names it, older ones intact; with room the run resumes, bit-identical",
)
@pytest.mark.parametrize("place", ["TMPDIR", "data.scratch_dir"])
def test_full_temporary_folder(large, tmp_path, place):
    put_table(tmp_path, LARGE)
    with SmallDisk(tmp_path / "scratch", megabytes=8) as disk:
        if place == "TMPDIR":
            flags, variables = [], {"TMPDIR": str(disk.path)}
        else:
            flags, variables = [f"--scratch_dir={disk.path}"], {}
        process = start(tmp_path, *flags, prefix=disk.prefix, **variables)
        while not steps(tmp_path / "run"):
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        with contextlib.suppress(OSError):  # As full as can be, where a save is under way.
            (disk.seen_from_here / "other").write_bytes(bytes(3 << 20))
        code, _, errors = end(process)
        line = one_error(code, errors)
        assert re.search(rf"cannot save a checkpoint by way of {disk.path}: .*No space left", line)
        assert "make room there, or name another data.scratch_dir" in line
        assert steps(tmp_path / "run")

        (disk.seen_from_here / "other").unlink()
        disk.grow(megabytes=100)
        code, _, errors = end(start(tmp_path, *flags, prefix=disk.prefix, **variables))
        assert code == 0, errors
    assert left_in(tmp_path / "run") == large


@pytest.mark.faults(
    "no file may be larger than a third of a checkpoint (ulimit -f)",
    "one error, nothing half-written; without the limit the run ends, bit-identical",
)
def test_limit_of_file_sizes(large, tmp_path):
    put_table(tmp_path, LARGE)
    limited = ["bash", "-c", 'ulimit -f 2000; exec "$0" "$@"']
    code, _, errors = end(start(tmp_path, prefix=limited))
    assert "File too large" in one_error(code, errors)
    assert steps(tmp_path / "run") == []
    assert not list((tmp_path / "run").rglob("*.tmp"))

    code, _, errors = end(start(tmp_path))
    assert code == 0, errors
    assert left_in(tmp_path / "run") == large


# ---- data


@pytest.mark.faults(
    "a data file changes between start and resume",
    "an error that names it, nothing is lost; with the old data the run resumes, bit-identical",
)
@pytest.mark.parametrize("change", ["a digit", "a row more", "a file more", "a file less"])
def test_changed_data_is_refused(killed, change):
    folder, expected = killed
    before = contents(folder / "run")
    file = folder / "data" / "train-1.csv"
    original, status = file.read_bytes(), file.stat()
    named = "data/train-1.csv"
    if change == "a digit":
        file.write_bytes(re.sub(rb"[0-9]", b"1", original, count=1))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "a row more":
        file.write_bytes(original + b'20,"Rome","no"\n')
    elif change == "a file more":
        named = "data/train-2.csv"
        (folder / named).write_bytes(original)
    else:
        file.unlink()

    code, _, errors = resume(folder)

    assert re.search(
        rf"run holds a run with another data file: {named} was .*, now .*; use another --job_dir, "
        "or discard it with --resume=restart",
        one_error(code, errors),
    )
    assert contents(folder / "run") == before
    (folder / "data" / "train-2.csv").unlink(missing_ok=True)
    file.write_bytes(original)
    finishes(folder, expected)


@pytest.mark.faults(
    "the run and its data are copied to another machine", "the run resumes there, bit-identical"
)
def test_copied_data_is_the_same_data(killed):
    """A copy has new times and inodes."""
    folder, expected = killed
    for file in (folder / "data").iterdir():
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content)
        os.utime(file, (10**9, 10**9))
    finishes(folder, expected)


@pytest.mark.faults(
    "a run of the embedded sample in a bucket goes on with an empty disk", "it resumes"
)
def test_sample_is_the_same_on_another_machine(tmp_path):
    flaky_storage = pytest.importorskip("flaky_storage")
    flags = ["--steps=60", "--eval_steps=20", "--checkpoint_steps=20", "--baseline=none"]
    with flaky_storage.FlakyStorage() as server:
        variables = {"STORAGE_EMULATOR_HOST": server.endpoint, "CLOUD_ML_JOB_ID": "7"}

        def begin(machine):
            (tmp_path / machine).mkdir()
            return start_task(
                "--job_dir=gs://bucket/run",
                "--hidden_units=4",
                *flags,
                cwd=tmp_path / machine,
                TMPDIR=str(tmp_path / machine),
                **variables,
            )

        first = begin("first")
        while not [n for n in server.names() if n.endswith("step-000000020/manifest.json")]:
            assert first.poll() is None, first.communicate()
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        code, said, errors = end(begin("second"))
        assert code == 0, said + errors
        assert "run/COMPLETE" in server.names()
        assert '"message": "step      20' not in said


# ---- two at once


@pytest.mark.faults(
    "a second run starts in the same folder", "it is refused, the first undisturbed"
)
@pytest.mark.parametrize("place", ["local", "gs"])
def test_second_run_is_refused(half_way, tmp_path, place):
    flaky_storage = pytest.importorskip("flaky_storage")
    put_table(tmp_path)
    with flaky_storage.FlakyStorage() as server:
        options = {"STORAGE_EMULATOR_HOST": server.endpoint}
        job_dir = "gs://bucket/run" if place == "gs" else "run"
        flags = ["--epochs=40", "--checkpoint_steps=50"]
        first = start(tmp_path, *flags, job_dir=job_dir, **options)
        while not (steps(tmp_path / "run") or any("manifest" in n for n in server.names())):
            assert first.poll() is None, first.communicate()
            time.sleep(0.01)
        # So that it is still there when the second looks for its signs of life.
        os.kill(first.pid, signal.SIGSTOP)
        second = start(tmp_path, *flags, "--resume=restart", job_dir=job_dir, **options)
        if place == "gs":
            while not server.counts[412]:
                assert second.poll() is None, second.communicate()
                time.sleep(0.01)
        else:
            second.wait()
        os.kill(first.pid, signal.SIGCONT)
        code, _, errors = end(second)
        line = one_error(code, errors)
        holder = rf"{job_dir} is being written by process {first.pid} on \S+; wait for its end"
        code, _, errors = end(first)
        assert code == 0, errors
        assert re.search(holder, line)
        if place == "gs":
            names = [name for name in server.names() if name.startswith("run/")]
            left = outcome({name.removeprefix("run/"): server.read(name) for name in names})
            assert flaky_storage.broken_promises(server.journal) == []
        else:
            left = left_in(tmp_path / "run")
        assert left == half_way[1]


# ---- clocks


@pytest.mark.faults(
    "clocks are apart: files from 1970 or from tomorrow", "nobody cares, bit-identical"
)
@pytest.mark.parametrize("seconds", [0, None], ids=["1970", "tomorrow"])
def test_times_of_files_do_not_matter(killed, seconds):
    folder, expected = killed
    moment = time.time() + 86_400 if seconds is None else seconds
    assert (folder / "run" / "LOCK").exists()  # It was killed.
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (moment, moment))
    finishes(folder, expected)


@pytest.mark.faults("the clock of Cloud Storage is apart by days", "nobody cares, bit-identical")
@pytest.mark.parametrize("days", [-20_000, 1])
def test_times_of_objects_do_not_matter(half_way, tmp_path, days):
    flaky_storage = pytest.importorskip("flaky_storage")
    put_table(tmp_path)
    with flaky_storage.FlakyStorage(days_ahead=days) as server:
        variables = {"STORAGE_EMULATOR_HOST": server.endpoint, "CLOUD_ML_JOB_ID": "7"}
        flags = ["--epochs=40", "--checkpoint_steps=50"]
        first = start(tmp_path, *flags, job_dir="gs://bucket/run", **variables)
        while not any("manifest" in name for name in server.names()):
            assert first.poll() is None, first.communicate()
            time.sleep(0.01)
        first.kill()
        first.communicate()
        assert "run/LOCK" in server.names()
        flags = ["--checkpoint_steps=50"]
        code, said, errors = resume(tmp_path, *flags, job_dir="gs://bucket/run", **variables)
        assert code == 0, said + errors
        names = [name for name in server.names() if name.startswith("run/")]
        assert outcome({n.removeprefix("run/"): server.read(n) for n in names}) == half_way[1]
