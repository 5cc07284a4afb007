"""trainer.insight.held_out_rows: one pass over the held-out parts."""

import numpy as np
import pyarrow as pa
import pyarrow.csv

from trainer import data_files
from trainer.config import parse_config
from trainer.datasets import build_datasets
from trainer.insight import held_out_rows
from trainer.insight.held_out_rows import RawRows, read_held_out


def _datasets(folder, num_rows=3000, **data):
    random = np.random.default_rng(1)
    x = random.normal(size=num_rows)
    color = random.choice(["red", "blue"], num_rows)
    path = folder / "rows.csv"
    pa.csv.write_csv(pa.table({"x": x, "color": color, "y": x * 2, "w": x * 0 + 2}), path)
    columns = {"x": "numeric", "color": {"kind": "categorical"}, "w": "weight"}
    config = parse_config(
        {
            "data": {"train": str(path), **data},
            "columns": columns,
            "label": {"column": "y", "task": "regression"},
        },
        "test",
    )
    return build_datasets(config, data_files.find_files(config.data, str(folder)))


def test_statistics_and_sample_are_those_of_the_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(held_out_rows, "SAMPLE_ROWS", 100)
    datasets = _datasets(tmp_path, validation_fraction=0.2, test_fraction=0.2)

    found = read_held_out(datasets, seed=1)

    assert set(found.statistics) == {"validation", "test"}
    for part, statistics in found.statistics.items():
        assert statistics.num_rows == datasets.stores[part].num_rows
        values = np.concatenate([b.columns["x"].to_numpy() for b in datasets.parts[part].blocks()])
        assert np.isclose(statistics.numbers["x"].mean, values.mean())
    sample = found.sample
    test_x = np.concatenate([b.columns["x"].to_numpy() for b in datasets.parts["test"].blocks()])
    sampled = sample.columns["x"].to_numpy()
    assert 60 < len(sampled) < 140
    assert np.isin(sampled, test_x).all()
    np.testing.assert_allclose(sample.labels[:, 0], 2 * sampled, rtol=1e-6)
    assert set(sample.weight) == {2.0}
    again = read_held_out(datasets, seed=1).sample
    assert again.columns["x"].equals(sample.columns["x"])
    assert not read_held_out(datasets, seed=2).sample.columns["x"].equals(sample.columns["x"])


def test_without_held_out_rows_the_sample_is_of_training(tmp_path):
    found = read_held_out(_datasets(tmp_path, num_rows=50), seed=1)
    assert found.statistics == {}
    assert len(found.sample.weight) == 50 and found.sampled == "train"


def test_a_large_part_is_read_up_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(held_out_rows, "MOST_ROWS", 10)
    found = read_held_out(_datasets(tmp_path, validation_fraction=0.5), seed=1)
    assert len(found.sample.weight) == found.statistics["validation"].num_rows


def test_some_of_the_rows_are_spread_evenly():
    rows = RawRows({"x": pa.array(range(10))}, np.arange(10)[:, None], np.arange(10) + 0.5)
    some = rows.spread(4)
    assert some.columns["x"].to_pylist() == [0, 2, 5, 7]
    assert some.labels[:, 0].tolist() == [0, 2, 5, 7] and some.weight.tolist() == [
        0.5,
        2.5,
        5.5,
        7.5,
    ]
    assert rows.spread(10) is rows
