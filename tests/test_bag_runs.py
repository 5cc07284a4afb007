"""Runs whose label depends on tags and words, from CSV and from Parquet with lists."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import tensorflow as tf
import yaml
from bag_tables import CONFIG, NOISE_SD, rows_of, write_tables

from trainer.config import parse_config
from trainer.model import train_and_evaluate
from trainer.trained_embeddings import TrainedEmbeddings


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder and the report of a run of each format."""
    folder = tmp_path_factory.mktemp("bags")
    found = {}
    for suffix in ("csv", "parquet"):
        write_tables(folder, suffix)
        values = yaml.safe_load(CONFIG.format(folder=folder, suffix=suffix))
        values["output"] = {"job_dir": str(folder / suffix)}
        values["evaluation"] |= {"report": "none"}
        found[suffix] = folder / suffix, train_and_evaluate(parse_config(values, "test"))
    return found


def test_tags_and_words_are_learned_down_to_the_noise(runs):
    _, report = runs["csv"]
    # The label's own spread is that of the constant; nothing can get below the noise.
    _, _, label = rows_of(800, seed=4)
    constant = report["baselines"]["constant"]["test"]["rmse"]
    assert constant == pytest.approx(label.std(), rel=0.01)
    rmse = report["metrics"]["test"]["rmse"]
    explained = (constant**2 - rmse**2) / (constant**2 - NOISE_SD**2)
    assert explained > 0.97


def test_lists_of_parquet_are_the_delimited_texts_of_csv(runs):
    reports = [report for _, report in runs.values()]
    assert reports[0]["metrics"] == reports[1]["metrics"]


def test_the_exported_model_reads_delimited_texts(runs):
    folder, report = runs["parquet"]
    assert report["export_max_difference"] < 1e-6
    serve = tf.saved_model.load(str(folder / "model")).signatures["serving_default"]
    tags, notes, label = rows_of(800, seed=4)
    answers = serve(tags=tf.constant(["|".join(row) for row in tags]), note=tf.constant(notes))
    errors = answers["prediction"].numpy() - label
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(report["metrics"]["test"]["rmse"], rel=1e-4)
    # A tag that was never seen, and no tag at all, are answered.
    odd = serve(tags=tf.constant(["???", "", " | "]), note=tf.constant(["gut"] * 3))
    odd = odd["prediction"].numpy()
    assert np.isfinite(odd).all()
    assert odd[1] == odd[2] != odd[0]


def test_one_embedding_serves_two_columns(tmp_path):
    """Trips from and over cities: what is learned of a city by one column helps the other."""
    rng = np.random.default_rng(3)
    cities = np.array([f"city {i}" for i in range(6)])
    start = cities[rng.integers(6, size=400)]
    via = ["|".join(rng.choice(cities, rng.integers(0, 4))) for _ in start]
    label = rng.normal(size=400)
    pa.csv.write_csv(pa.table({"start": start, "via": via, "y": label}), tmp_path / "t.csv")
    shared = {"shared_embedding": "city", "min_frequency": 1, "top_k": 5}
    values = {
        "data": {"train": f"{tmp_path}/t.csv"},
        "label": {"column": "y", "task": "regression"},
        "columns": {
            "start": {"kind": "categorical"} | shared,
            "via": {"kind": "multi_hot"} | shared,
        },
        "training": {"steps": 4, "batch_size": 32},
        "model": {"hidden_units": [4], "embedding_dim": 3},
        "evaluation": {"baseline": "none"},
        "output": {"job_dir": str(tmp_path / "run")},
    }

    train_and_evaluate(parse_config(values, "test"))

    trained = TrainedEmbeddings(str(tmp_path / "run"))
    found = trained.embeddings()
    counts = Counter([*start, *(c for text in via for c in text.split("|") if c)])
    top = sorted(counts, key=lambda city: (-counts[city], city))[:5]
    assert found["start"].names == found["via"].names == ("(missing)", "(other)", *top)
    np.testing.assert_array_equal(found["start"].rows, found["via"].rows)
    assert found["start"].rows.shape == (7, 3)
    # One weight each in the wide part, of their own.
    weights = trained.wide_weights()
    assert not np.array_equal(weights["start"].rows, weights["via"].rows)
