#!/usr/bin/env python3
"""Measure a sampled softmax beside the full one: the time of a step, and what is learned.

    python scripts/benchmark_softmax.py                        the step: a minute on 2 cores
    python scripts/benchmark_softmax.py --classes=2000 --rows=60000 --epochs=12 --batch_size=512
                                                               what is learned: a minute
    python scripts/benchmark_softmax.py --num_sampled=64,512   numbers of drawn classes

The table is generated: the class follows from two columns of ids, known to the last probability.
Each model trains the same steps on it; the log loss and the accuracy on test rows are by all
classes, beside the best possible ones. A step is timed in turns, after the same warm-up.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tensorflow as tf

from trainer.config import Config, parse_config
from trainer.encoders import IdFeature, NumberFeature
from trainer.evaluation import averaged_weights, evaluate
from trainer.features import FeatureLayout
from trainer.network import WideAndDeep
from trainer.objective import Objective
from trainer.program import Program
from trainer.row_stores import BlockStore
from trainer.rows import RowLayout, pack_rows
from trainer.statistics import StatisticsBuilder, TableStatistics
from trainer.strategy import make_one_device

NUM_IDS = 100
NUM_TEST = 4096
CALL_STEPS = 8
LAYOUT = FeatureLayout(
    ids=(IdFeature("group", NUM_IDS, True, 8), IdFeature("place", NUM_IDS, True, 8)),
    numbers=(NumberFeature("a", True, True, ()), NumberFeature("b", True, True, ())),
)
ROWS = RowLayout(2, 2)


def planted(num_classes: int, num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Packed rows, and the probability of each one's class.

    A row has a group of classes with probability 0.8, within it one by a place, with a slope of
    frequencies; else any class, by Zipf's law.
    """
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, NUM_IDS, (num_rows, 2))
    members = num_classes // NUM_IDS
    within = 0.5 ** ((np.arange(members) - np.arange(NUM_IDS)[:, np.newaxis]) % members)
    within /= within.sum(axis=1, keepdims=True)
    anywhere = 1.0 / np.arange(1, num_classes + 1)
    anywhere = np.random.default_rng(0).permutation(anywhere / anywhere.sum())
    ends = within.cumsum(axis=1)[ids[:, 1]]
    member = (ends < rng.random((num_rows, 1)) * ends[:, -1:]).sum(axis=1)
    drawn = np.where(
        rng.random(num_rows) < 0.8,
        ids[:, 0] * members + member,
        rng.choice(num_classes, num_rows, p=anywhere),
    )
    is_near = drawn // members == ids[:, 0]
    probability = 0.2 * anywhere[drawn] + 0.8 * is_near * within[ids[:, 1], drawn % members]
    numbers = rng.normal(size=(num_rows, 2)).astype(np.float32)
    label = drawn[:, np.newaxis].astype(np.float32)
    ones = np.ones(num_rows, np.float32)
    return pack_rows(ids.astype(np.int32), numbers, label, ones), probability


def statistics_of(label: np.ndarray, num_classes: int) -> TableStatistics:
    """Of the label of the training rows; nothing else is asked for."""
    counts = np.bincount(label.astype(int), minlength=num_classes).astype(float)
    builder = StatisticsBuilder([], [], "label")
    builder.add({"label": label}, np.arange(len(label), dtype=np.uint64))
    classes = tuple((str(k), count) for k, count in enumerate(counts))
    return dataclasses.replace(builder.finalize(), classes=classes)


def config_of(batch_size: int, **model: object) -> Config:
    """Of a model of one hidden layer; the columns stand for nothing."""
    values = {
        "columns": {"a": "numeric"},
        "label": {"column": "y", "task": "multiclass"},
        "model": {"hidden_units": [64], "dropout": 0, "input_dropout": 0} | model,
        "training": {"batch_size": batch_size},
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
    found = measure(parse(argv))
    full_ms = found["full"]["step_ms"]
    for name, figures in found.items():
        step_ms = figures["step_ms"]
        print(
            f"{name:14s} step {step_ms:8.2f} ms ({full_ms / step_ms:5.1f} times as fast)  "
            f"test log loss {figures['log_loss']:.4f}  accuracy {figures['accuracy']:.4f}"
        )
    return 0


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """step_ms, log_loss and accuracy of each model, the full softmax first."""
    batch = options.batch_size
    rows, _ = planted(options.classes, options.rows, seed=1)
    test, best = planted(options.classes, NUM_TEST, seed=2)
    label = rows[:, -2].view(np.float32)
    statistics = statistics_of(label, options.classes)
    steps = max(CALL_STEPS, round(options.epochs * len(rows) / batch))
    models: dict[str, dict[str, object]] = {"full": {}}
    for num in options.num_sampled:
        models[f"sampled {num}"] = {"softmax": "sampled", "num_sampled": num}
    programs = {
        name: program_of(config_of(batch, **model), statistics, steps)
        for name, model in models.items()
    }
    print(
        f"{options.classes} classes, {steps} steps of {batch} rows of 2 columns of ids, 2 numbers"
    )
    print(f"best possible: log loss {-np.log(best).mean():.4f}")
    store = BlockStore([test], [len(test)], "memory")
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for first in range(0, steps, CALL_STEPS):
        places = np.random.default_rng(first).integers(0, len(rows), (CALL_STEPS, batch))
        chunk = tf.constant(rows[places])
        for name, program in programs.items():
            started = time.perf_counter()
            program.train(chunk, first)
            seconds[name].append((time.perf_counter() - started) / CALL_STEPS)
    figures = {}
    for name, program in programs.items():
        with averaged_weights(program):
            found = evaluate(program, store)
        step_ms = 1000 * float(np.median(seconds[name][1:] or seconds[name]))
        figures[name] = {
            "step_ms": step_ms,
            "log_loss": found["log_loss"],
            "accuracy": found["accuracy"],
        }
    return figures


def parse(argv: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--epochs", type=float, default=0.4)
    parser.add_argument("--batch_size", type=int, default=1024)
    parser.add_argument(
        "--num_sampled", type=lambda text: [int(n) for n in text.split(",")], default=[64, 512]
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
