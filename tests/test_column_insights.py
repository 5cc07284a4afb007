"""trainer.insight.column_insights: the sections of a run whose columns are of every kind."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from trainer.config import parse_config
from trainer.insight import insights
from trainer.insight.column_insights import shuffled_columns
from trainer.model import train_and_evaluate

NAMES = ["amount", "city", "tags", "shelf", "sold", "at", "v", "note"]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of three classes; `city` is unseen and `amount` shifted in the validation file."""
    folder = tmp_path_factory.mktemp("kinds")
    random = np.random.default_rng(1)
    for name, size in (("train", 900), ("validation", 400)):
        is_new = name == "validation"
        shelf = random.integers(0, 3, size)
        table = {
            "amount": random.normal(3.0 * is_new, 1, size),
            "city": random.choice(["York", "Bath"] if not is_new else ["York", "Rome"], size),
            "tags": random.choice(["a|b", "a", ""], size),
            "shelf": shelf,
            "sold": random.choice(["yes", "no"], size),
            "at": [f"2026-01-01 {hour:02}:00:00" for hour in random.integers(0, 24, size)],
            "v": [f"{x:.3f}|{y:.3f}" for x, y in random.normal(size=(size, 2))],
            "note": random.choice(["very good", "not good"], size),
            "label": np.array(["low", "mid", "top"])[shelf],
        }
        pa.csv.write_csv(pa.table(table), folder / f"{name}.csv")
    kinds = {
        "amount": "numeric",
        "city": {"kind": "categorical"},
        "tags": "multi_hot",
        "shelf": {"kind": "identity", "size": 3},
        "sold": "boolean",
        "at": {"kind": "datetime", "parts": ["hour"]},
        "v": {"kind": "vector", "size": 2},
        "note": {"kind": "text", "hash_buckets": 16},
    }
    config = parse_config(
        {
            "data": {part: str(folder / f"{part}.csv") for part in ("train", "validation")},
            "columns": kinds,
            "label": {"column": "label", "task": "multiclass"},
            "model": {"hidden_units": [8], "dropout": 0.0, "input_dropout": 0.0},
            "training": {"steps": 150, "batch_size": 64},
            "evaluation": {"baseline": "none"},
            "output": {"job_dir": str(folder / "run")},
        },
        "test",
    )
    forgiven, insights.FORGIVEN = insights.FORGIVEN, ()
    try:
        return train_and_evaluate(config)
    finally:
        insights.FORGIVEN = forgiven


def test_every_raw_column_is_profiled(report):
    columns = {c["column"]: c for c in report["data_profile"]["columns"]}
    assert set(columns) == {
        "amount", "city", "tags", "shelf", "sold", "at.hour", "v.0", "v.1", "note",
    }  # fmt: skip
    assert columns["amount"]["drift"]["validation"]["js"] > 0.3
    assert columns["city"]["unseen"]["validation"] == pytest.approx(0.5, abs=0.08)
    assert columns["at.hour"]["train"]["distinct"] == 24
    assert columns["sold"]["train"]["rows"] == 900
    for name in ("sold", "at.hour", "shelf", "note", "v.0"):
        drift = columns[name]["drift"]["validation"]
        assert drift["linf"] < 2 * drift["linf_by_chance"]
    assert columns["shelf"]["leak"] == pytest.approx(1.0)
    assert columns["sold"]["leak"] < 0.2
    assert report["data_profile"]["label"]["validation"]["linf"] < 0.1
    text = " ".join(report["data_profile"]["warnings"])
    assert "amount: Jensen-Shannon" in text
    assert "shelf: alone explains" in text


def test_the_column_that_says_the_class_matters_most(report):
    importance = report["importance"]
    assert {item["column"] for item in importance} == set(NAMES)
    measured = {"part": "validation", "rows": 400, "columns": 8, "all_columns": 8}
    assert report["importance_of"] == measured
    assert importance[0]["column"] == "shelf"
    assert importance[0]["mean"] > 10 * abs(importance[1]["mean"])
    curve = report["partial_dependence"]["shelf"]
    assert sorted(curve["values"]) == [0, 1, 2]
    by_value = dict(zip(curve["values"], curve["prediction"], strict=True))
    best = max(by_value, key=by_value.get)
    assert by_value[best] > 0.8
    assert sum(by_value.values()) < 1.6


def test_of_very_many_columns_those_that_tell_most_of_the_label_are_shuffled():
    names = [f"x{i}" for i in range(150)]
    powers = {name: i / 150 for i, name in enumerate(names) if i != 149}
    assert shuffled_columns(names, powers) == names[83:149]
    assert shuffled_columns(names[:100], powers) == names[:100]
