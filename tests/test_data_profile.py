"""trainer.insight.data_profile: shares, warnings and leaks of a table with planted faults."""

import numpy as np
import pyarrow as pa
import pytest

from trainer.config import parse_config
from trainer.insight.column_shifts import TableProfile
from trainer.insight.data_profile import data_profile, label_powers
from trainer.insight.held_out_rows import RawRows
from trainer.statistics import StatisticsBuilder

COLUMNS = {"x": "numeric", "c": {"kind": "categorical"}, "flag": {"kind": "boolean"}}


def _schema(task="regression"):
    return parse_config({"columns": COLUMNS, "label": {"column": "y", "task": task}}, "test")


def _profile(x, c, flags):
    builder = StatisticsBuilder(numbers=["x"], categories=["c"], label=None)
    columns = {"x": np.asarray(x, float), "c": pa.array(c)}
    builder.add(columns, np.arange(len(x), dtype=np.uint64))
    return TableProfile(builder.finalize(), {"flag": flags})


def _column(found, name):
    return next(column for column in found["columns"] if column["column"] == name)


def test_each_part_has_its_shares():
    random = np.random.default_rng(1)
    x = random.normal(5, 2, 1000)
    x[:100], x[100:150] = np.nan, 0.0
    train = _profile(x, ["a"] * 700 + ["b"] * 250 + [None] * 50, {"true": 600, "false": 400})
    test = _profile(x[::2], ["a"] * 250 + ["z"] * 250, {"true": 300, "false": 200})

    found = data_profile(_schema(), train, {"test": test}, {"x": 0.5})

    number = _column(found, "x")
    present = x[100:]
    assert number["train"]["missing"] == pytest.approx(0.1)
    assert number["train"]["zeros"] == pytest.approx(0.05)
    assert number["train"]["mean"] == pytest.approx(present.mean())
    assert number["train"]["sd"] == pytest.approx(present.std())
    for name, share in (("p05", 0.05), ("p50", 0.5), ("p95", 0.95)):
        assert number["train"][name] == pytest.approx(np.quantile(present, share), abs=1e-6)
    assert number["leak"] == 0.5
    category = _column(found, "c")
    assert category["train"]["top"] == [
        {"value": "a", "share": 0.7},
        {"value": "b", "share": 0.25},
    ]
    assert category["train"]["missing"] == 0.05
    assert category["unseen"] == {"test": 0.5}
    assert category["drift"]["test"]["linf"] == pytest.approx(0.5)
    assert _column(found, "flag")["drift"]["test"]["linf"] == 0.0
    assert found["warnings"] == [
        "c: L-infinity distance 0.50 between train and test; 0.3 is the usual limit",
        "c: 50% of the test rows have a value that no training row had",
    ]


def test_faults_are_warned_of_and_a_healthy_table_is_not():
    random = np.random.default_rng(2)

    def draw(size, shift=0.0, missing=0.0):
        x = random.normal(shift, 1, size)
        x[: int(missing * size)] = np.nan
        cities = random.choice(["a", "b", "c"], size)
        return _profile(x, cities, {"true": size // 2, "false": size // 2})

    train = draw(5000)
    assert data_profile(_schema(), train, {"validation": draw(1000)}, {"x": 0.94})["warnings"] == []
    faults = data_profile(
        _schema(),
        train,
        {"validation": draw(1000, shift=2.0), "test": draw(1000, missing=0.3)},
        {"x": 0.999, "c": 0.96},
    )["warnings"]
    assert [text.split(" ")[0:2] for text in faults] == [
        ["x:", "Jensen-Shannon"],
        ["x:", "missing"],
        ["x:", "alone"],
        ["c:", "alone"],
    ]
    assert faults[1] == "x: missing in 30% of the test rows, in 0% of the training rows"
    assert "almost surely a leak" in faults[2]
    assert "a suspect" in faults[3]


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_a_leak_has_power_and_noise_has_none(task):
    random = np.random.default_rng(3)
    target = random.normal(size=2000)
    label = (target > 0).astype(float) if task == "binary" else target
    rows = RawRows(
        {
            "x": pa.array(label * 7 - 1, pa.float32()),
            "c": pa.array(random.choice(["a", "b"], 2000)).dictionary_encode(),
            "flag": pa.array(np.where(target > 0, "yes", "no")),
        },
        label[:, np.newaxis].astype(np.float32),
        np.ones(2000, np.float32),
    )
    powers = label_powers(_schema(task), rows)
    assert powers["x"] > 0.99
    assert powers["c"] < 0.05
    # Half of the ranks' variance, 3/4, is between the halves of the ranks.
    assert powers["flag"] == pytest.approx(0.75 if task == "regression" else 1.0, abs=0.02)


def test_of_classes_each_frequent_one_is_asked():
    random = np.random.default_rng(4)
    classes = random.integers(0, 3, 900)
    rows = RawRows(
        {
            "x": pa.array(random.normal(size=900), pa.float32()),
            "c": pa.array(np.array(["p", "q", "r"])[classes]),
            "flag": pa.array(np.where(classes == 2, "yes", None)),
        },
        classes[:, np.newaxis].astype(np.float32),
        np.ones(900, np.float32),
    )
    powers = label_powers(_schema("multiclass"), rows)
    assert powers["c"] == powers["flag"] == pytest.approx(1.0)
    assert powers["x"] < 0.2
