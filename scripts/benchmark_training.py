"""Sections: training steps from memory, by batch size, table size and number of columns."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import benchmark_tables as tables
import numpy as np
from benchmark_measure import Recorder
from benchmark_peers import columns
from benchmark_setting import Setting

# Calls before the clock starts. The pipeline reads two ahead while others are measured, which would
# be counted as its own speed; a step, several times slower than it, gains nothing by that.
TRAIN_WARM_UP = 1
BATCHES_WARM_UP = 3
# Below, a step is calls and copies; its products are no limit worth the time of measuring them.
LEAST_GEMM_BATCH = 1024
OPTIMIZERS = ("ftrl", "adagrad", "adam")
TABLE_BATCH = 4096
# Behind --large: a table of so many rows, trained a little.
LARGE_TABLE_ROWS = 50_000_000


class Stage:
    """A trainer over rows in memory; its stages are functions of the seconds they may take."""

    def __init__(self, values: dict[str, Any], pattern: str, batch_size: int, datasets: Any = None):
        """Read and encode the files, build the model; nothing is traced yet.

        Args:
            values: the trainer's config but for its files and training.
            pattern: of the files.
            batch_size: of the steps.
            datasets: what another stage has made of the files; None to make it.
        """
        from trainer.config import parse_config
        from trainer.datasets import build_datasets
        from trainer.plan import make_plan
        from trainer.program import build_program
        from trainer.strategy import make_one_device

        training = {"steps": 10**9, "eval_steps": 10**9, "batch_size": batch_size}
        data = {**values.get("data", {}), "storage": "memory"}
        self.config = parse_config({**values, "data": data, "training": training}, "benchmark")
        files = tuple(sorted(glob.glob(pattern)))
        self.datasets = datasets or build_datasets(self.config, {"train": files})
        store = self.datasets.stores["train"]
        self.plan = make_plan(self.config.training, store.num_rows, 0)
        self.program = build_program(self.config, self.datasets, self.plan, make_one_device())
        self._step = 0
        self._calls = self._chunks()

    def _chunks(self) -> Any:
        from trainer.input import rows_of_calls

        calls = rows_of_calls(
            self.datasets.stores["train"],
            self.datasets.layout,
            config=self.config,
            plan=self.plan,
            distribution=self.program.distribution,
            first_step=0,
        )
        return iter(calls)

    def train(self, seconds: float) -> float:
        """Examples per second of training, over at least so many seconds."""

        def call() -> int:
            losses = self.program.train(next(self._calls), self._step)
            self._step += len(losses)
            return len(losses)

        return self._rate(call, seconds, TRAIN_WARM_UP)

    def make_batches(self, seconds: float) -> float:
        """Examples per second of the input pipeline alone."""
        chunks = self._chunks()
        return self._rate(lambda: int(next(chunks).shape[0]), seconds, BATCHES_WARM_UP)

    def _rate(self, call: Callable[[], int], seconds: float, num_warm_up: int) -> float:
        for _ in range(num_warm_up):
            call()
        started, steps = time.perf_counter(), 0
        while (spent := time.perf_counter() - started) < seconds:
            steps += call()
        return steps * self.plan.batch_size / spent


def measure_steps(setting: Setting, recorder: Recorder) -> None:
    """Training from memory at each batch size, beside the matrix products of its layers alone."""
    import ceilings

    sizes, rides = setting.sizes.batch_sizes, setting.pattern("rides", "csv")
    prepared = str(setting.folder / "prepared.parquet")
    cases = {
        "prepared": (columns.prepared_config(), prepared, sizes),
        "course": (columns.course_config(), rides, sizes[-2:-1]),
        "defaults": (setting.default_config(), rides, sizes),
    }
    for name, (values, pattern, batch_sizes) in cases.items():
        works: dict[str, Callable[[], float]] = {}
        datasets = None
        for batch_size in batch_sizes:
            stage = Stage(values, pattern, batch_size, datasets)
            datasets = stage.datasets
            key = f"step/{name} {batch_size}"
            works[f"{key}/train"] = partial(stage.train, setting.sizes.seconds)
            if batch_size >= LEAST_GEMM_BATCH:
                layers = ceilings.layers_of(stage.program.model)
                works[f"{key}/gemm"] = partial(
                    ceilings.gemm_examples_per_second, layers, batch_size
                )
            works[f"{key}/batches"] = partial(stage.make_batches, setting.sizes.seconds / 4)
        recorder.alternate("examples/s", works)


def measure_tables(setting: Setting, recorder: Recorder) -> None:
    """A step with one large id space, by its size and optimizer."""
    rows = dict(np.load(setting.folder / "prepared.npz"))
    for size in setting.sizes.table_rows:
        tables.write_prepared(_trained_only(rows, size), setting.folder, f"ids-{size}")
    for optimizer in OPTIMIZERS:
        works = {}
        for size in setting.sizes.table_rows:
            stage = table_stage(setting, size, optimizer)
            works[f"table/{optimizer} {size}/train"] = partial(stage.train, setting.sizes.seconds)
        recorder.alternate("examples/s", works)


def measure_large_table(setting: Setting, recorder: Recorder) -> None:
    """A table of 50 million rows: examples per second, and the memory that it takes."""
    import resource

    rows = dict(np.load(setting.folder / "prepared.npz"))
    tables.write_prepared(
        _trained_only(rows, LARGE_TABLE_ROWS), setting.folder, f"ids-{LARGE_TABLE_ROWS}"
    )
    for optimizer in ("ftrl", "adagrad"):
        stage = table_stage(setting, LARGE_TABLE_ROWS, optimizer)
        key = f"large/{optimizer} {LARGE_TABLE_ROWS}"
        recorder.alternate("examples/s", {f"{key}/train": partial(stage.train, 2.0)})
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        recorder.tell(f"{key}/peak memory", "MB", [peak])
        del stage


def _trained_only(rows: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    trained = {name: values for name, values in rows.items() if "/" not in name}
    return tables.with_large_ids(trained, size)


def table_stage(setting: Setting, size: int, optimizer: str) -> Stage:
    """A trainer whose largest id space has `size` ids."""
    name = tables.largest_ids()
    values = columns.prepared_config({name: size})
    values["optimizer"] = {"wide_optimizer": optimizer, "deep_optimizer": optimizer}
    pattern = str(setting.folder / f"ids-{size}.parquet")
    return Stage(values, pattern, min(TABLE_BATCH, setting.sizes.prepared // 2))


def measure_columns(setting: Setting, recorder: Recorder) -> None:
    """Encoding and training by the number of columns, half numbers and half categories."""
    works: dict[str, Callable[[], float]] = {}
    for count in setting.sizes.column_counts:
        table, values = tables.mixed(setting.sizes.column_rows, count)
        tables.write(table, setting.folder, f"mixed-{count}", num_files=1, header=True)
        batch_size = min(TABLE_BATCH, setting.sizes.column_rows // 2)
        stage = Stage(values, setting.pattern(f"mixed-{count}", "csv"), batch_size)
        works[f"columns/{count}/train"] = partial(stage.train, setting.sizes.seconds)
        works[f"columns/{count}/encode"] = partial(_encode, stage, len(table))
    recorder.alternate("rows/s", works)


def _encode(stage: Stage, num_rows: int) -> float:
    """Rows per second from files to encoded rows."""
    part = stage.datasets.parts["train"]
    part.reader.release()
    packed = part.packed(stage.datasets.encoder)
    started = time.perf_counter()
    for _ in packed(range(len(part.reader.units))):
        pass
    return num_rows / (time.perf_counter() - started)
