"""A long mixed run, killed and started again: does it lose a step, does it leak?

    python -m tests.soak --minutes=60 --output=DIR

For each kind of row storage one run of short epochs, frequent evaluations and a checkpoint every
two seconds lives several lives: short ones that end by SIGKILL, long ones that end by SIGTERM and
SIGKILL. Each second the trainer's memory, file descriptors, threads and temporary files are read
from /proc. In the end:

- every row was trained as often as an uninterrupted run of as many steps trains it. The wide
  weight of a row's number counts that: its learning rate is 1, its loss is the absolute error of a
  label far out of reach, so each look at the row moves it by exactly 1 / batch size;
- the records of all evaluations are those of a run that was let alone, as far as that one came;
- after a warm-up the medians of the first and the last third of each long life agree.

It prints a table of the lives, exits 1 where one of these is not so, and leaves samples.csv and
soak.svg in the output folder. `--minutes` below 6 is the short form: one kind of storage, looser
bounds.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.runs import read_metrics, start_task

NUM_ROWS = 2000
BATCH_SIZE = 64
EVAL_STEPS = 256
FAR = 1e9
CONFIG = f"""
data:
  train: [table-*.csv]
  validation: [table-0.csv]
  shuffle_rows: 700
label: {{column: price, task: regression}}
columns:
  row: {{kind: identity, size: {NUM_ROWS}, towers: [wide]}}
  age: numeric
  city: {{kind: categorical, min_frequency: 1}}
  shop: {{kind: categorical, hash_buckets: 64}}
crosses:
  - {{columns: [city, shop], towers: [wide, deep], bins: 1000}}
model:
  hidden_units: [16, 8]
  dropout: 0.2
  loss: mae
  standardize_target: false
  output_offset: none
optimizer: {{wide_optimizer: sgd, momentum: 0, wide_learning_rate: 1, deep_learning_rate: 1.0e-6}}
training:
  batch_size: {BATCH_SIZE}
  steps: 100000000
  eval_steps: {EVAL_STEPS}
  steps_per_call: 32
  checkpoint_seconds: 2
  patience: 0
"""
# Shares of the minutes of one kind of storage, and what ends the life.
LIVES = [(0.02, "SIGKILL"), (0.02, "SIGKILL"), (0.5, "SIGTERM"), (0.34, "SIGKILL")]
SHARE_OF_TWIN = 0.08
SHORT_LIVES = [(0.25, "SIGKILL"), (0.6, "SIGTERM")]
SHARE_OF_SHORT_TWIN = 0.15
PATIENCE_SECONDS = 300
# A life is measured if it has so many samples after its warm-up.
FEWEST_SAMPLES = 9


class Sample(NamedTuple):
    """What a process has taken at a moment, seconds after its start and its first evaluation."""

    life: str
    second: float
    trained: float
    memory_mb: float
    descriptors: int
    threads: int
    temporary_files: int


MEASURED = ("memory_mb", "descriptors", "threads", "temporary_files")


class Bounds(NamedTuple):
    """Of a long life: what passes before it is measured, and how much memory it may win then."""

    warm_up_seconds: float
    memory_share: float


def main() -> int:
    """Live all lives, check, print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--output", type=Path, default=Path("soak"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--storage", nargs="*", default=["memory", "disk", "stream"])
    options = parser.parse_args()
    is_short = options.minutes < 6
    kinds = options.storage[:1] if is_short else options.storage
    bounds = Bounds(6, 0.1) if is_short else Bounds(60, 0.03)
    options.output.mkdir(parents=True, exist_ok=True)
    write_table(options.output)
    seconds = options.minutes * 60 / len(kinds)
    rng = random.Random(options.seed)
    samples: list[Sample] = []
    problems: list[str] = []
    for kind in kinds:
        run = Run(options.output, kind)
        for share, name in SHORT_LIVES if is_short else LIVES:
            life = run.live(seconds * share * rng.uniform(0.8, 1.2), name)
            samples += life
            problems += leaks(life, bounds)
            print(describe(life), flush=True)
        twin = Run(options.output, f"{kind}-twin")
        twin.live(seconds * (SHARE_OF_SHORT_TWIN if is_short else SHARE_OF_TWIN), "SIGTERM")
        problems += [f"{kind}: {problem}" for problem in lost(run.job_dir, twin.job_dir)]
        print(f"{kind}: {read_state(run.job_dir)['step']} steps", flush=True)
        with open(options.output / "samples.csv", "w", newline="") as file:
            csv.writer(file).writerows([Sample._fields, *samples])
        (options.output / "soak.svg").write_text(drawing(samples))
    print("\n".join(problems) or "no step lost, nothing leaked")
    return 1 if problems else 0


def write_table(folder: Path) -> None:
    """Three files of rows, so that streamed rows are shuffled too, and the config."""
    rng = np.random.default_rng(5)
    bounds = np.linspace(0, NUM_ROWS, 4).astype(int)
    for number, (first, last) in enumerate(itertools.pairwise(bounds)):
        lines = ["row,age,city,shop,price"]
        for row in range(first, last):
            price = rng.choice([-FAR, FAR])
            lines.append(
                f"{row},{rng.normal():.3f},c{rng.integers(30)},s{rng.integers(200)},{price:.0f}"
            )
        (folder / f"table-{number}.csv").write_text("\n".join(lines) + "\n")
    (folder / "config.yaml").write_text(CONFIG)


class Run:
    """The lives of one run, one after another."""

    def __init__(self, folder: Path, name: str):
        """Nothing is started yet; `name` begins with the kind of storage."""
        self._folder, self._name, self._num_lives = folder, name, 0
        self.job_dir = folder / name
        self._scratch_dir = folder / f"{name}-scratch"
        self._scratch_dir.mkdir()

    def live(self, seconds: float, name: str) -> list[Sample]:
        """Start the trainer, watch it for so long, and end it by the signal `name`.

        The seconds count from its first evaluation on, so that a slow machine measures as long.
        """
        self._num_lives += 1
        life = f"{self._name} {self._num_lives} ({name})"
        process = start_task(
            "--config=config.yaml",
            f"--storage={self._name.partition('-')[0]}",
            f"--job_dir={self.job_dir.resolve()}",
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            TMPDIR=str(self._scratch_dir.resolve()),
        )
        try:
            samples = self._watch(process, life, seconds)
            process.send_signal(signal.Signals[name])
            _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
        expected = -signal.SIGKILL if name == "SIGKILL" else 75
        if process.returncode != expected:
            raise SystemExit(f"{life} gave {process.returncode} instead of {expected}: {errors}")
        return samples

    def _watch(self, process: subprocess.Popen[str], life: str, seconds: float) -> list[Sample]:
        started, samples = time.monotonic(), []
        evaluated_before, evaluated_at, trained = self._evaluated(), 0.0, 0.0
        while trained < seconds:
            if process.poll() is not None:
                raise SystemExit(f"{life} ended by itself: {process.communicate()[1]}")
            now = time.monotonic()
            if not evaluated_at and self._evaluated() != evaluated_before:
                evaluated_at = now
            trained = now - evaluated_at if evaluated_at else 0.0
            samples.append(measure(process.pid, life, now - started, trained, self._scratch_dir))
            time.sleep(1)
        return samples

    def _evaluated(self) -> int:
        """A number that another evaluation changes."""
        path = self.job_dir / "metrics.jsonl"
        return path.stat().st_mtime_ns if path.exists() else 0


def measure(pid: int, life: str, second: float, trained: float, scratch_dir: Path) -> Sample:
    """One look at a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    return Sample(
        life,
        round(second, 1),
        round(trained, 1),
        int(status["VmRSS"][0]) / 1024,
        len(os.listdir(f"/proc/{pid}/fd")),
        int(status["Threads"][0]),
        sum(len(names) for _, _, names in os.walk(scratch_dir)),
    )


def medians(life: list[Sample], field: str) -> tuple[float, float]:
    """Of the first and the last third."""
    values = [getattr(sample, field) for sample in life]
    third = len(values) // 3
    return statistics.median(values[:third]), statistics.median(values[-third:])


def leaks(life: list[Sample], bounds: Bounds) -> list[str]:
    """What is not flat in a life; [] for one too short to say."""
    warm = [sample for sample in life if sample.trained > bounds.warm_up_seconds]
    if len(warm) < FEWEST_SAMPLES:
        return []
    found = []
    for field in MEASURED:
        first, last = medians(warm, field)
        # A checkpoint that is just being written has a descriptor, a thread and some files.
        allowed = bounds.memory_share * first if field == "memory_mb" else 2
        if abs(last - first) > allowed:
            found.append(f"{life[0].life}: {field} went from {first:g} to {last:g}")
    return found


def describe(life: list[Sample]) -> str:
    """One line: a life and what it took at its thirds."""
    text = f"{life[0].life:28} {life[-1].second:6.0f} s"
    if len(life) < FEWEST_SAMPLES:
        return text
    for field in MEASURED:
        first, last = medians([sample for sample in life if sample.trained > 0] or life, field)
        text += f"   {field} {first:.1f} -> {last:.1f}"
    return text


def read_state(job_dir: Path) -> dict[str, object]:
    """state.json of the newest whole checkpoint."""
    return json.loads((newest_checkpoint(job_dir) / "state.json").read_text())


def newest_checkpoint(job_dir: Path) -> Path:
    """The folder of the newest whole checkpoint."""
    return max(path.parent for path in (job_dir / "checkpoints").glob("step-*/manifest.json"))


def lost(job_dir: Path, twin_dir: Path) -> list[str]:
    """What a run lost against one that nobody disturbed."""
    problems = []
    state = read_state(job_dir)
    step = state["step"]
    steps = [record["step"] for record in state["history"]]
    if steps != list(range(EVAL_STEPS, step + 1, EVAL_STEPS)):
        problems.append(f"the evaluations up to step {step} are not every {EVAL_STEPS} steps")
    if state["loss_steps"] != step % EVAL_STEPS:
        problems.append(f"the mean loss has {state['loss_steps']} steps at step {step}")

    clocks = {"seconds": 0, "waiting_seconds": 0}
    expected = [{**r, **clocks} for r in read_metrics(twin_dir)]
    actual = [{**r, **clocks} for r in read_metrics(job_dir)][: len(expected)]
    if actual != expected:
        problems.append(f"the first {len(expected)} records are not those of the twin")

    looks = looks_at_rows(newest_checkpoint(job_dir))
    whole_epochs, rest = divmod(step * BATCH_SIZE, NUM_ROWS)
    counts = {number: int((looks == number).sum()) for number in np.unique(looks)}
    if counts != {
        n: c for n, c in ((whole_epochs, NUM_ROWS - rest), (whole_epochs + 1, rest)) if c
    }:
        problems.append(f"after {whole_epochs} epochs and {rest} rows they were seen {counts}")
    return problems


def looks_at_rows(checkpoint: Path) -> np.ndarray:
    """How often each row was trained."""
    import tensorflow as tf  # 4 seconds, which only this needs

    reader = tf.train.load_checkpoint(str(checkpoint / "variables"))
    shapes = reader.get_variable_to_shape_map().items()
    # The wide table: the missing row number, the row numbers, and then the other columns.
    (name,) = (
        name
        for name, shape in shapes
        if name.startswith("weights/") and len(shape) == 2 and shape[0] > NUM_ROWS
    )
    return np.abs(reader.get_tensor(name)[1 : NUM_ROWS + 1, 0]).astype(np.float64) * BATCH_SIZE


def drawing(samples: list[Sample]) -> str:
    """An SVG of all lives, one after another: a panel for each number, a line for each life."""
    width, height, gap = 1000, 130, 40
    lives = list(dict.fromkeys(sample.life for sample in samples))
    ends = [max(s.second for s in samples if s.life == life) for life in lives]
    starts = dict(zip(lives, np.cumsum([0, *ends]).tolist(), strict=False))
    total = sum(ends)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 40}" '
        f'height="{4 * (height + gap) + 20}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for row, field in enumerate(MEASURED):
        top = 30 + row * (height + gap)
        highest = max(getattr(sample, field) for sample in samples) or 1
        parts.append(f'<text x="20" y="{top - 6}">{field}, from 0 to {highest:g}</text>')
        parts.append(f'<rect x="20" y="{top}" width="{width}" height="{height}" fill="#f4f4f4"/>')
        for number, life in enumerate(lives):
            points = " ".join(
                f"{20 + (starts[life] + s.second) / total * width:.1f},"
                f"{top + height - getattr(s, field) / highest * height:.1f}"
                for s in samples
                if s.life == life
            )
            color = ("#1f5fa8", "#c2571a")[number % 2]
            parts.append(f'<polyline points="{points}" fill="none" stroke="{color}"/>')
    minutes = total / 60
    parts.append(f'<text x="20" y="{4 * (height + gap) + 14}">{minutes:.0f} minutes</text></svg>')
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
