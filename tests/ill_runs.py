"""Runs with a planted illness each, and sound ones, and what the doctor says of them.

`python tests/ill_runs.py [NAME ...]` prints for each the findings and the figures that the
thresholds were chosen by.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from trainer import model
from trainer.config import parse_config
from trainer.export import ExportReport
from trainer.insight import column_insights, doctor, health, insights

COLUMNS = {"a": "numeric", "b": "numeric", "c": "numeric", "city": "categorical"}
CITIES = np.array([f"city {i}" for i in range(8)])


def table(num_rows, seed, *, noise=0.3, shift=0.0, kind="regression", **more):
    """Rows whose label is a smooth function of numbers and a city, plus noise."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, num_rows))
    city = rng.integers(0, len(CITIES), num_rows)
    y = 2 * a + np.sin(2 * b) + 0.5 * c**2 + 0.3 * city + noise * rng.normal(size=num_rows) + shift
    columns = {"a": a, "b": b, "c": c, "city": CITIES[city], "y": y}
    if kind == "noise":
        columns["y"] = rng.normal(size=num_rows)
    elif kind == "rare":
        columns["y"] = (y > 7.6).astype(int)
    elif kind == "binary":
        columns["y"] = (y > 2.0).astype(int)
    elif kind == "repeated":
        columns = {"city": CITIES[city], "y": 0.5 * city + rng.normal(size=num_rows)}
    elif kind == "leak":
        columns["a"] = y + 0.001 * rng.normal(size=num_rows)
    elif kind == "unseen":
        columns["city"] = np.char.add(f"{shift} ", CITIES[city])
        columns["y"] = y - shift
    return pa.table({**columns, **more})


def sections(**given):
    values = {
        "columns": COLUMNS,
        "label": {"column": "y", "task": "regression"},
        "model": {"hidden_units": [32, 16]},
        "training": {"epochs": 30, "batch_size": 64, "patience": 8},
        "evaluation": {"baseline": "constant"},
    }
    for name, section in given.items():
        replaces = name in ("columns", "label")
        values[name] = section if replaces else values.get(name, {}) | section
    return values


def _tables(kind="regression", num_rows=2000, seed=0, **validation):
    return {
        "train": table(num_rows, 2 * seed, kind=kind),
        "validation": table(1000, 2 * seed + 1, kind=kind, **validation),
    }


BINARY = {"column": "y", "task": "binary", "positive": "1"}
# By what they are ill of: the tables, and the sections of the config.
PLANTED = {
    "learning rate too high": (
        lambda: _tables(),
        sections(optimizer={"deep_learning_rate": 0.5, "wide_learning_rate": 5.0}),
    ),
    "learning rate too low": (
        lambda: _tables(),
        sections(
            optimizer={"deep_learning_rate": 2e-5, "wide_learning_rate": 1e-3},
            training={"epochs": 10},
        ),
    ),
    "dead units": (
        lambda: _tables(),
        sections(
            model={"hidden_units": [64, 64, 64], "dropout": 0.0},
            optimizer={"deep_learning_rate": 0.1},
        ),
    ),
    "exploding gradients": (
        lambda: _tables(),
        sections(model={"hidden_units": [32] * 40, "residual": True}, optimizer={"clip_norm": 1.0}),
    ),
    "vanishing gradients": (
        lambda: _tables(),
        sections(model={"hidden_units": [16] * 8, "activation": "sigmoid"}),
    ),
    "overfitting": (
        lambda: {"train": table(150, 0, noise=3.0), "validation": table(1000, 1, noise=3.0)},
        sections(
            model={"hidden_units": [256, 256], "dropout": 0.0, "input_dropout": 0.0},
            training={"epochs": 100, "patience": 0, "batch_size": 32},
        ),
    ),
    "label noise floor reached": (
        lambda: _tables("repeated"),
        sections(columns={"city": "categorical"}),
    ),
    "class imbalance": (lambda: _tables("rare", 6000), sections(label=BINARY)),
    "constant prediction": (lambda: _tables("noise"), sections()),
    "train/validation mismatch": (lambda: _tables(shift=2.0), sections()),
    "leaking column": (lambda: _tables("leak"), sections()),
    "out-of-vocabulary": (lambda: _tables("unseen", shift=1.0), sections()),
}


def healthy(seed):
    """A sound run: a regression for even seeds, a binary task for odd ones."""
    if seed % 2:
        return _tables("binary", seed=seed), sections(label=BINARY, training={"seed": seed})
    return _tables(seed=seed), sections(training={"seed": seed})


def examine(tables, values, job_dir):
    """The report of such a run, which exports nothing."""
    whole = model.export_run, model.collect, model.present, insights.FORGIVEN
    model.export_run = lambda *_: ExportReport(0.0, 0, 0.0, "")
    model.collect = lambda evidence: insights.collect(evidence, producers())
    model.present, insights.FORGIVEN = (lambda *_: None), ()
    try:
        config = parse_config({**values, "output": {"job_dir": str(job_dir)}}, "planted")
        return model.train_and_evaluate(config, tables=tables)
    finally:
        model.export_run, model.collect, model.present, insights.FORGIVEN = whole


def producers():
    """What the doctor listens to, and the doctor."""
    return [column_insights.produce, health.produce, doctor.produce]


def slow_input(folder):
    """A run over wide CSV files that are parsed anew in each epoch."""
    rng = np.random.default_rng(0)
    more = {f"n{i}": rng.normal(size=20_000) for i in range(40)}
    path = Path(folder) / "train.csv"
    pa.csv.write_csv(table(20_000, 0, **more), path)
    pa.csv.write_csv(table(1000, 1, **{n: v[:1000] for n, v in more.items()}), f"{path}.val")
    columns = COLUMNS | dict.fromkeys(more, "numeric")
    return None, sections(
        columns=columns,
        data={"train": str(path), "validation": f"{path}.val", "storage": "stream"},
        model={"towers": "wide"},
        training={"epochs": 12, "batch_size": 1024},
    )


def main(names):
    runs = {name: (lambda n=name: (PLANTED[n][0](), PLANTED[n][1])) for name in PLANTED}
    runs |= {f"healthy {seed}": (lambda s=seed: healthy(s)) for seed in range(5)}
    with tempfile.TemporaryDirectory() as folder:
        runs["input-bound"] = lambda: slow_input(folder)
        for number, name in enumerate(names or runs):
            tables, values = runs[name]()
            report = examine(tables, values, f"{folder}/{number}")
            print(name, report["stopped_by"], report["kept_step"], report["health"]["seconds"])
            for finding in report["doctor"]:
                print("   ", finding["severity"], finding["illness"], "-", finding["evidence"])
            for layer in report["health"]["layers"]:
                kept = {k: np.round([v[0], v[-1]], 4) for k, v in layer.items() if k != "name"}
                print("       ", layer["name"], kept, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
