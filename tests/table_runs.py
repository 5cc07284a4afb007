"""A small table and its config, and what a run over it leaves, to compare runs bit by bit."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

CONFIG = """
data:
  train: {folder}/train-*.{suffix}
  validation: {folder}/validation.{suffix}
  test: {folder}/test.{suffix}
label: {{column: bought, task: binary, positive: "yes"}}
columns:
  age: numeric
  city: {{kind: categorical, {city}}}
crosses: [{{columns: [city, age], towers: [wide]}}]
training: {{epochs: 4, batch_size: 16, eval_steps: 10, checkpoint_steps: 10}}
model: {{hidden_units: [8], dropout: 0.1}}
evaluation: {{baseline: constant}}
"""
NUM_ROWS = {"train-0": 100, "train-1": 100, "validation": 60, "test": 60}


def config_text(folder, suffix="csv", city="min_frequency: 1"):
    """Ten calls of five steps over a table in `folder`, local or gs://."""
    return CONFIG.format(folder=folder, suffix=suffix, city=city)


def table_files(suffix="csv", seed=7):
    """The bytes of each file of the table, by name."""
    rng = np.random.default_rng(seed)
    files = {}
    for part, num_rows in NUM_ROWS.items():
        city = np.array(["Berlin", "Paris", "Rome"])[rng.integers(3, size=num_rows)]
        age = rng.integers(18, 80, num_rows)
        bought = np.where((city == "Berlin") ^ (rng.random(num_rows) < 0.1), "yes", "no")
        table = pa.table({"age": age, "city": city, "bought": bought})
        sink = pa.BufferOutputStream()
        if suffix == "csv":
            pa.csv.write_csv(table, sink)
        else:
            pa.parquet.write_table(table, sink)
        files[f"{part}.{suffix}"] = sink.getvalue().to_pybytes()
    return files


def outcome(files):
    """What a complete run has learned, without its clocks.

    Args:
        files: the bytes of every file of the run's folder, by name within it.

    Returns:
        Sizes and checksums of the newest checkpoint's variables, the bytes of the served ones, the
        records of the evaluations, and the final metrics.
    """
    assert "COMPLETE" in files
    newest = max(name for name in files if name.endswith("/manifest.json"))
    checkpoint = json.loads(files[newest])
    del checkpoint["state.json"]  # It tells the seconds.
    served = {name: data for name, data in files.items() if name.startswith("model/variables/")}
    records = [json.loads(line) for line in files["metrics.jsonl"].decode().splitlines()]
    history = [{k: v for k, v in record.items() if "seconds" not in k} for record in records]
    return checkpoint, served, history, json.loads(files["report.json"])["metrics"]
