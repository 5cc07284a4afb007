"""One small training, killed at many moments: does it always end with the same bits?

    python -m tests.kill_points --points=200 --output=DIR

The reference is an uninterrupted run in a process of its own. Then, `--points` times, the same
run is started in an empty folder, killed by SIGKILL, and started again until it ends; every fourth
is killed a second or a third time. Half of the moments are spread evenly over the time that a run
takes. The others lie just before one of its file operations (open, rename, delete, make a folder),
spread evenly over these: there a kill does most harm.

Each start is a fork of a process that has imported TensorFlow and used no device, and replays the
exported model by itself instead of in a process of its own: so a start costs 2 seconds and not 10.
That this changes no bit is checked first.

What is compared, for every run that ends: all variables of the newest checkpoint and of the
exported model bit for bit, the records of all evaluations without the clock, what the exported
model answers, the report without timings, and the names of all files in the run folder, so that
nothing half-written stays.

It prints in which phases the kills fell and what differs, and exits 1 if anything does.
"""

from __future__ import annotations

import argparse
import collections
import functools
import hashlib
import json
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tests.runs import read_metrics, read_report, run_task
from trainer import datasets, evaluation, export, model, parity, replay, storage, task
from trainer.blocks import DataPart
from trainer.checkpoint import CheckpointFolder
from trainer.program import Program
from trainer.run_folder import RunFolder
from trainer.serving import MISSING, Row, ServingInputs

NUM_ROWS = 700
CONFIG = """
data:
  train: {table}
  validation_fraction: 0.2
  test_fraction: 0.1
  split_column: name
  shuffle_rows: 100
label: {{column: bought, task: binary}}
columns:
  name: key
  age: numeric
  city: {{kind: categorical, min_frequency: 1}}
  shop: {{kind: categorical, hash_buckets: 300}}
  importance: weight
crosses:
  - {{columns: [city, shop], towers: [wide, deep], bins: 2000}}
model: {{hidden_units: [8], dropout: 0.2}}
optimizer: {{wide_l1: 0.001, schedule: cosine}}
training:
  batch_size: 32
  epochs: 4
  eval_steps: 9
  steps_per_call: 4
  checkpoint_steps: 6
evaluation: {{baseline: constant, report: none}}
"""
PHASES = (
    *("start", "statistics", "encoding", "model", "restore", "first call", "training"),
    *("evaluation", "checkpoint", "commit", "metrics and test", "export", "replay", "report"),
)
# A second or third kill of a run, for so many of the points.
SHARE_KILLED_AGAIN = 0.25
JOB_DIR = "run"


class Life(NamedTuple):
    """How a start of the run ended.

    Attributes:
        exit_code: -9 after a kill.
        phase: where it was then.
        seconds: that it lived.
        operations: on files of the run, so far.
    """

    exit_code: int
    phase: str
    seconds: float
    operations: int


class Moment(NamedTuple):
    """When to kill: after so many seconds, or before so-and-so-manieth file operation."""

    seconds: float | None = None
    operation: int | None = None


def main() -> int:
    """Run the reference, all points, and print what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("kill-points"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write_table(options.output)
    expected = reference(options.output / "reference")
    whole = live(options.output / "whole", Moment())
    differences = compare(expected, options.output / "whole")
    if differences:
        raise SystemExit(f"a forked process differs from a fresh one: {differences}")
    print(f"an uninterrupted run: {whole.seconds:.1f} s, {whole.operations} file operations")

    rng = random.Random(options.seed)
    phases: collections.Counter[str] = collections.Counter()
    left: collections.Counter[str] = collections.Counter()
    num_equal = 0
    for point in range(options.points):
        folder = options.output / f"point-{point:03d}"
        by_time = point % 2 == 0
        kills = [*killed(folder, whole, rng, by_time=by_time)]
        phases.update(life.phase for life in kills)
        differences = compare(expected, folder)
        num_equal += not differences
        left.update(path.name.rpartition("-")[0] for path in (folder / "scratch").iterdir())
        told = ", ".join(f"{life.phase} at {life.seconds:.2f} s" for life in kills)
        print(f"point {point}: killed in {told}: {differences or 'equal'}", flush=True)
        if not differences:
            shutil.rmtree(folder)
    print(f"\n{num_equal} of {options.points} kill points end with the same bits")
    print(f"{phases.total()} kills by phase:")
    for phase in PHASES:
        print(f"  {phase:18} {phases[phase]:4}")
    # Generated code of TensorFlow's, a few kB each, has no dash in its name.
    left.pop("", None)
    print(f"temporary folders left by them: {dict(left) or 'none'}")
    return 0 if num_equal == options.points else 1


def write_table(folder: Path) -> None:
    """The data and the config that all runs read."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    lines = ["name,age,city,shop,importance,bought"]
    for row in range(NUM_ROWS):
        age = "" if row % 17 == 0 else f"{rng.normal(40, 12):.1f}"
        city, shop = rng.integers(12), rng.integers(150)
        bought = int(rng.random() < (0.2 + 0.05 * city if shop % 3 else 0.5))
        lines.append(f"n{row},{age},c{city},s{shop},{1 + row % 2},{bought}")
    table = folder / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    (folder / "config.yaml").write_text(CONFIG.format(table=table.resolve()))


def reference(folder: Path) -> dict[str, Any]:
    """What a run in a process of its own makes."""
    folder.mkdir()
    done = run_task("--config=../config.yaml", f"--job_dir={JOB_DIR}", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "scratch").mkdir()
    in_fork(folder, lambda: write_outcome(folder))
    return read_outcome(folder)


def killed(folder: Path, whole: Life, rng: random.Random, *, by_time: bool) -> list[Life]:
    """Kill a run at a random moment, sometimes again, and let it end; the kills."""
    kills: list[Life] = []
    num_kills = 1 + (rng.random() < SHARE_KILLED_AGAIN) * rng.choice([1, 2])
    for _ in range(20):
        if len(kills) == num_kills:
            moment = Moment()
        elif by_time:
            moment = Moment(seconds=rng.uniform(0, whole.seconds))
        else:
            moment = Moment(operation=rng.randint(1, whole.operations))
        life = live(folder, moment)
        if life.exit_code == 0 and kills:
            return kills
        if life.exit_code == 0:  # It ended sooner than the moment came: this was no kill point.
            shutil.rmtree(folder)
        elif life.exit_code == -signal.SIGKILL:
            kills.append(life)
        else:
            raise SystemExit(f"{folder} gave {life.exit_code}: see its log.txt")
    raise SystemExit(f"{folder} does not end")


def live(folder: Path, moment: Moment) -> Life:
    """Start the run in a fork, kill it at the moment, and say how it ended."""
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    shared = mmap.mmap(-1, 8)
    started = time.monotonic()

    def run() -> int:
        follow_phases(shared)
        follow_operations(shared, folder.resolve(), moment.operation)
        export.FreshProcess = SameProcess
        code = task.main(["--config=../config.yaml", f"--job_dir={JOB_DIR}"], os.environ)
        if code == 0:
            write_outcome(folder)
        return code

    exit_code = in_fork(folder, run, kill_after=moment.seconds)
    return Life(
        exit_code,
        PHASES[shared[0]],
        time.monotonic() - started,
        int.from_bytes(shared[4:8], "little"),
    )


def in_fork(folder: Path, run: Callable[[], int | None], *, kill_after: float | None = None) -> int:
    """Call `run` in a child that works in `folder`; its exit code, -9 after a kill."""
    folder = folder.resolve()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        exit_code = 1
        try:
            log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(folder)
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "scratch")
            exit_code = run() or 0
        except Exception:  # noqa: BLE001 - the child must never return into the parent's program
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(exit_code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class SameProcess:
    """In the place of `parity.FreshProcess`: what it does, at once."""

    def __init__(self, work_dir: str) -> None:
        """Nothing is started."""

    def __enter__(self) -> SameProcess:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing has to end."""

    def replay_rows(
        self, export_dir: str, rows: Sequence[Row], inputs: ServingInputs
    ) -> parity.Answers:
        """The answers of the model, loaded here."""
        return replay.replay(export_dir, {"rows": rows, "missing": MISSING, **inputs._asdict()})


def follow_phases(shared: mmap.mmap) -> None:
    """Keep the number of the phase in the first byte, for whoever kills this process."""

    def mark(owner: object, name: str, phase: str, after: str = "") -> None:
        function = getattr(owner, name)

        @functools.wraps(function)
        def marked(*args: Any, **kwargs: Any) -> Any:
            before = shared[0]
            shared[0] = PHASES.index(phase)
            result = function(*args, **kwargs)
            shared[0] = PHASES.index(after) if after else before
            return result

        setattr(owner, name, marked)

    mark(DataPart, "statistics", "statistics")
    mark(datasets, "store_rows", "encoding")
    mark(model, "build_program", "model")
    mark(CheckpointFolder, "restore_latest", "restore", after="first call")
    mark(Program, "train", "first call", after="training")
    mark(evaluation, "evaluate", "evaluation")
    mark(CheckpointFolder, "save", "checkpoint")
    mark(storage, "commit_dir", "commit")
    mark(model, "evaluate_parts", "metrics and test")
    mark(model, "export_run", "export")
    mark(SameProcess, "replay_rows", "replay")
    mark(RunFolder, "complete", "report")


def follow_operations(shared: mmap.mmap, folder: Path, fatal: int | None) -> None:
    """Count Python's file operations below `folder` in bytes 4 to 8; die before a fatal one."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            return
        path = arguments[0]
        if isinstance(path, str | Path) and Path(folder, path).is_relative_to(folder):
            count += 1
            shared[4:8] = count.to_bytes(4, "little")
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def write_outcome(folder: Path) -> None:
    """Put what a run has made into outcome.json, as it is compared. Uses TensorFlow."""
    job_dir = folder.resolve() / JOB_DIR
    report = read_report(job_dir)
    for name in ("seconds", "examples_per_second"):
        del report[name]
    request = json.loads((job_dir / "model/assets.extra/sample_request.json").read_text())
    served = tf.saved_model.load(str(job_dir / "model")).signatures["serving_default"]
    specs = served.structured_input_signature[1]
    columns = {
        name: tf.constant([row[name] for row in request["instances"]], spec.dtype)
        for name, spec in specs.items()
    }
    files = [path.relative_to(job_dir).as_posix() for path in job_dir.rglob("*") if path.is_file()]
    outcome = {
        "checkpoint": digests(max((job_dir / "checkpoints").iterdir()) / "variables"),
        "model": digests(job_dir / "model/variables/variables"),
        "records": [
            {**record, "seconds": 0, "waiting_seconds": 0} for record in read_metrics(job_dir)
        ],
        "answers": served(**columns)["probability"].numpy().tolist(),
        "report": report,
        # Each start has event files of its own.
        "files": sorted(name for name in files if "/events.out.tfevents." not in name),
        "texts": {
            name: (job_dir / name).read_text()
            for name in ("config.yaml", "statistics.json", "run.json")
        },
    }
    (folder / "outcome.json").write_text(json.dumps(outcome))


def digests(checkpoint: Path) -> dict[str, str]:
    """A hash of the bits of each variable, by name."""
    reader = tf.train.load_checkpoint(str(checkpoint))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {
        name: hashlib.sha256(np.asarray(value).tobytes()).hexdigest()
        for name, value in values.items()
        # Bytes that describe the objects; their order differs between processes.
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def read_outcome(folder: Path) -> dict[str, Any]:
    """What `write_outcome` wrote."""
    return json.loads((folder / "outcome.json").read_text())


def compare(expected: dict[str, Any], folder: Path) -> str:
    """Which parts of the outcome of a run in `folder` are not as expected; '' if none."""
    actual = read_outcome(folder)
    texts = []
    for part, value in expected.items():
        if part == "files" and actual[part] != value:
            texts.append(f"files {sorted(set(actual[part]) ^ set(value))}")
        elif actual[part] != value:
            texts.append(part)
    return ", ".join(texts)


if __name__ == "__main__":
    sys.exit(main())
