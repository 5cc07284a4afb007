#!/usr/bin/env python3
"""Measure a sampled softmax beside the full one: the time of a step, and what is learned.

    python scripts/benchmark_softmax.py                    20,000 classes: 7 minutes on 2 cores
    python scripts/benchmark_softmax.py --planted=peaked --classes=2000 --num_sampled=512,1024
    python scripts/benchmark_softmax.py --batch_size=1024 --steps=40     the time of a larger step

The table is generated: the class follows from two columns of ids, known to the last probability.
Each model trains the same steps on it and is timed in turns. What it has learned is measured by all
classes, against these probabilities instead of drawn labels, so that a difference is one of the
models: the expected log loss, and the probability of the class that a model finds most likely.

Axes: R rows, K classes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Protocol

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tensorflow as tf

from trainer.config import Config, parse_config
from trainer.encoders import IdFeature, NumberFeature
from trainer.evaluation import averaged_weights
from trainer.features import FeatureLayout
from trainer.network import WideAndDeep
from trainer.objective import Objective
from trainer.program import Program
from trainer.rows import RowLayout, pack_rows
from trainer.statistics import StatisticsBuilder, TableStatistics
from trainer.strategy import make_one_device

NUM_IDS = 100
NUM_TEST = 8192
TEST_BATCH = 256
CALL_STEPS = 8
LAYOUT = FeatureLayout(
    ids=(IdFeature("group", NUM_IDS, True, 8), IdFeature("place", NUM_IDS, True, 8)),
    numbers=(NumberFeature("a", True, True, ()), NumberFeature("b", True, True, ())),
)
ROWS = RowLayout(2, 2)


class Truth(Protocol):
    """Which class a row has, by its group and its place, each from 0 to `NUM_IDS` - 1."""

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """(R, K) of rows of these (R, 2) ids."""
        ...


class Spread:
    """Zipf's law, tilted: log p_k = log(1 / rank_k) + vector_k (vector_group + vector_place).

    As words and products are: some are frequent everywhere, and a row tells which are more so.
    """

    def __init__(self, num_classes: int):
        """Draw the vectors, always the same; a tilt has a standard deviation of 2."""
        rng = np.random.default_rng(0)
        self._rank_log_K = -np.log(rng.permutation(num_classes) + 1.0)
        self._of_ids, of_classes = (rng.normal(size=(n, 4)) for n in (2 * NUM_IDS, num_classes))
        self._of_classes = of_classes / np.sqrt(2)

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """See `Truth`."""
        of_rows = self._of_ids[ids[:, 0]] + self._of_ids[NUM_IDS + ids[:, 1]]
        found = np.exp(of_rows @ self._of_classes.T + self._rank_log_K)
        return found / found.sum(axis=1, keepdims=True)


class Peaked:
    """With probability 0.8 one of the few classes of the row, else any one, by Zipf's law.

    These are of the group: that of the place with half of it, the next with a quarter, and so on.
    All are about equally frequent, so that the few that matter to a row are hardly ever drawn: the
    hardest case.
    """

    def __init__(self, num_classes: int):
        """Take the number of classes, a multiple of `NUM_IDS`."""
        members = num_classes // NUM_IDS
        steps = (np.arange(members) - np.arange(NUM_IDS)[:, np.newaxis]) % members
        self._member = 0.5**steps / (0.5**steps).sum(axis=1, keepdims=True)
        zipf = 1.0 / np.arange(1, num_classes + 1)
        self._any_K = np.random.default_rng(0).permutation(zipf / zipf.sum())

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """See `Truth`."""
        found = np.tile(0.2 * self._any_K, (len(ids), 1))
        by_group = found.reshape(len(ids), NUM_IDS, -1)
        by_group[np.arange(len(ids)), ids[:, 0]] += 0.8 * self._member[ids[:, 1]]
        return found


PLANTED = {"spread": Spread, "peaked": Peaked}


def drawn(truth: Truth, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(R,) a class for each of the rows of these ids."""
    different, place = np.unique(ids, axis=0, return_inverse=True)
    share, found = rng.random(len(ids)), np.empty(len(ids), np.int64)
    rows_of = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    for pair, rows in zip(different, rows_of, strict=True):
        ends = truth.probabilities(pair[np.newaxis])[0].cumsum()
        found[rows] = np.searchsorted(ends[:-1], share[rows] * ends[-1], side="right")
    return found


def planted(truth: Truth, num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Packed rows, and their (R, 2) ids."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, NUM_IDS, (num_rows, 2)).astype(np.int32)
    label = drawn(truth, ids, rng)[:, np.newaxis].astype(np.float32)
    numbers = rng.normal(size=(num_rows, 2)).astype(np.float32)
    return pack_rows(ids, numbers, label, np.ones(num_rows, np.float32)), ids


def statistics_of(label: np.ndarray, num_classes: int) -> TableStatistics:
    """Of the label of the training rows; nothing else is asked for."""
    counts = np.bincount(label.astype(int), minlength=num_classes).astype(float)
    builder = StatisticsBuilder([], [], "label")
    builder.add({"label": label}, np.arange(len(label), dtype=np.uint64))
    classes = tuple((str(k), count) for k, count in enumerate(counts))
    return dataclasses.replace(builder.finalize(), classes=classes)


def config_of(options: argparse.Namespace, seed: int, **model: object) -> Config:
    """Of a model of one hidden layer; the columns stand for nothing."""
    values = {
        "columns": {"a": "numeric"},
        "label": {"column": "y", "task": "multiclass"},
        "model": {"hidden_units": [64], "dropout": 0, "input_dropout": 0} | model,
        # A rate that goes to 0, so that the noise of the last steps is not what is compared.
        "optimizer": {"wide_learning_rate": options.wide_learning_rate, "schedule": "linear"},
        "training": {"batch_size": options.batch_size, "seed": seed},
    }
    return parse_config(values, "benchmark")


def program_of(config: Config, statistics: TableStatistics, num_steps: int) -> Program:
    """Its compiled steps."""
    objective = Objective(config, statistics)
    distribution = make_one_device()
    batch_size = int(config.training.batch_size)
    with distribution.strategy.scope():
        network = WideAndDeep(
            LAYOUT,
            config.model,
            batch_size=batch_size,
            num_outputs=objective.num_outputs,
            offset=objective.offset,
            seed=config.training.seed,
        )
    return Program(
        distribution,
        network,
        objective,
        config,
        layout=ROWS,
        batch_size=batch_size,
        total_steps=num_steps,
        mean_weight=1.0,
        longest_call=CALL_STEPS,
    )


def main(argv: list[str]) -> int:
    """Print the figures."""
    options = parse(argv)
    print(
        f"{options.planted}: {options.classes} classes, {options.steps} steps of "
        f"{options.batch_size} rows of 2 columns of ids, 2 numbers; {len(options.seeds)} seed(s)",
        flush=True,
    )
    found = [measure(options, seed) for seed in options.seeds]
    print(f"{'':14s}{'step':>10s}{'times as fast':>15s}{'log loss':>20s}{'accuracy':>20s}")
    for name, full in found[0].items():
        line = f"{name:14s}"
        of_seeds = {metric: np.array([one[name][metric] for one in found]) for metric in full}
        of_full = {metric: np.array([one["full"][metric] for one in found]) for metric in full}
        if "step_ms" in full:
            times = of_full["step_ms"] / of_seeds["step_ms"]
            line += f"{of_seeds['step_ms'].mean():7.2f} ms{times.mean():15.1f}"
        else:
            line += " " * 25
        for metric in ("log_loss", "accuracy"):
            change = of_seeds[metric] / of_full[metric] - 1
            line += f"{of_seeds[metric].mean():10.4f} ({change.mean():+7.2%})"
        print(line)
    return 0


def measure(options: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    """step_ms, log_loss and accuracy of each model, the full softmax first; then the best ones."""
    truth = PLANTED[options.planted](options.classes)
    rows, _ = planted(truth, options.rows, seed)
    test = planted(truth, NUM_TEST, seed + 1_000_000)
    statistics = statistics_of(rows[:, -2].view(np.float32), options.classes)
    models: dict[str, dict[str, object]] = {"full": {}}
    for num in options.num_sampled:
        models[f"sampled {num}"] = {"softmax": "sampled", "num_sampled": num}
    programs = {
        name: program_of(config_of(options, seed, **model), statistics, options.steps)
        for name, model in models.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for first in range(0, options.steps, CALL_STEPS):
        rng = np.random.default_rng([seed, first])
        chunk = tf.constant(rows[rng.integers(0, len(rows), (CALL_STEPS, options.batch_size))])
        for name, program in programs.items():
            started = time.perf_counter()
            program.train(chunk, first)
            seconds[name].append((time.perf_counter() - started) / CALL_STEPS)
    figures = {}
    for name, program in programs.items():
        with averaged_weights(program):
            figures[name] = learned(truth, *test, program)
        figures[name]["step_ms"] = 1000 * float(np.median(seconds[name][1:] or seconds[name]))
    return figures | {"best possible": learned(truth, *test, None)}


def learned(
    truth: Truth, rows: np.ndarray, ids: np.ndarray, program: Program | None
) -> dict[str, float]:
    """log_loss and accuracy that the model's predictions have on average; None: of the truth."""
    log_losses, accuracies = [], []
    for first in range(0, len(rows), TEST_BATCH):
        part = slice(first, first + TEST_BATCH)
        truth_RK = truth.probabilities(ids[part])
        log_RK = np.log(truth_RK)
        if program is not None:
            log_RK = tf.nn.log_softmax(program.predict(tf.constant(rows[part]))).numpy()
        log_losses.append(-(truth_RK * log_RK).sum(axis=1))
        accuracies.append(truth_RK[np.arange(len(truth_RK)), log_RK.argmax(axis=1)])
    return {
        "log_loss": float(np.concatenate(log_losses).mean()),
        "accuracy": float(np.concatenate(accuracies).mean()),
    }


def parse(argv: list[str]) -> argparse.Namespace:
    """The options."""

    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--planted", choices=PLANTED, default="spread", help="what there is to learn"
    )
    parser.add_argument("--classes", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=256_000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--wide_learning_rate", type=float, default=20.0)
    parser.add_argument("--num_sampled", type=numbers, default=[1024, 2048])
    parser.add_argument("--seeds", type=numbers, default=[1], help="of the table and the weights")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
