"""A table whose label depends on tags, words and places, and its config."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

TAGS = [f"tag {i}" for i in range(30)]
WORDS = [
    "gut",
    "\u00e4rger",
    "nice",
    "\u4e2d\u6587",
    "fast",
    "slow",
    "na\u00efve",
    "red",
    "blue",
    "very",
]
CONFIG = """
data:
  train: {folder}/train.{suffix}
  validation: {folder}/validation.{suffix}
  test: {folder}/test.{suffix}
label: {{column: y, task: regression}}
columns:
  tags: {{kind: multi_hot, min_frequency: 1}}
  note: {{kind: text, hash_buckets: 4096}}
training: {{steps: 600, batch_size: 128, eval_steps: 100, checkpoint_steps: 200}}
model: {{hidden_units: [16], dropout: 0.0, input_dropout: 0.0}}
evaluation: {{baseline: constant}}
"""
NUM_ROWS = {"train": 4000, "validation": 800, "test": 800}
NOISE_SD = 0.3


def rows_of(num_rows, seed):
    """Lists of tags, notes, and a label: the mean of the tags' effects and that of the words."""
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(1)
    of_tag = dict(zip(TAGS, truth.normal(0, 1, len(TAGS)), strict=True))
    of_word = dict(zip(WORDS, truth.normal(0, 1, len(WORDS)), strict=True))
    tags = [rng.choice(TAGS, rng.integers(0, 5), replace=False).tolist() for _ in range(num_rows)]
    notes = [rng.choice(WORDS, rng.integers(1, 6)).tolist() for _ in range(num_rows)]
    signal = np.array(
        [
            np.mean([of_tag[t] for t in row] or [0.0]) + np.mean([of_word[w] for w in words])
            for row, words in zip(tags, notes, strict=True)
        ]
    )
    texts = [", ".join(words).capitalize() + "!" for words in notes]
    return tags, texts, signal + rng.normal(0, NOISE_SD, num_rows)


def write_tables(folder, suffix="csv"):
    """The three parts in `folder`; of CSV the tags are joined, of Parquet they are lists."""
    for seed, (part, num_rows) in enumerate(NUM_ROWS.items(), start=2):
        tags, notes, label = rows_of(num_rows, seed)
        path = folder / f"{part}.{suffix}"
        if suffix == "csv":
            joined = ["|".join(row) for row in tags]
            pa.csv.write_csv(pa.table({"tags": joined, "note": notes, "y": label}), path)
        else:
            lists = pa.array(tags, pa.list_(pa.string()))
            pa.parquet.write_table(pa.table({"tags": lists, "note": notes, "y": label}), path)


CLASS_CONFIG = """
data: {train: train.csv, validation: valid.csv}
label: {column: topic, task: multiclass}
columns:
  tags: {kind: multi_hot, min_frequency: 1}
  note: {kind: text, hash_buckets: 4096}
  x: numeric
model: {hidden_units: [16], softmax: sampled, num_sampled: 12}
training: {batch_size: 128, checkpoint_steps: 100, steps_per_call: 20, patience: 0}
"""


def write_class_table(folder):
    """Write train.csv (4,000 rows), valid.csv (500) and config.yaml; gives the folder.

    The topic, one of 50, is that of the first word and of the number of tags.
    """
    for name, num_rows, seed in (("train", 4000, 2), ("valid", 500, 3)):
        tags, notes, x = rows_of(num_rows, seed)
        pairs = zip(tags, notes, strict=True)
        topics = [f"{note.rstrip('!').split(',')[0]} {len(row)}" for row, note in pairs]
        joined = ["|".join(row) for row in tags]
        table = pa.table({"tags": joined, "note": notes, "x": x, "topic": topics})
        pa.csv.write_csv(table, folder / f"{name}.csv")
    (folder / "config.yaml").write_text(CLASS_CONFIG)
    return folder
