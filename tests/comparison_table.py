"""A small table of every kind of raw column, on disk, with its config: for tests of comparisons."""

import csv

import numpy as np
import yaml

from trainer.config import parse_config

CITIES = ("Rome", "Oslo", "Lima")


def write_table(path, num_rows, seed):
    """Rows whose label, 0 or 1, depends on the city and on x, with some values missing."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["y", "x", "city", "member", "size", "seen", "lat", "lon", "day"])
        for i in range(num_rows):
            x, city = rng.normal(), int(rng.integers(3))
            label = int(rng.random() < 1 / (1 + np.exp(-(2 * x + (city == 1)))))
            writer.writerow(
                [
                    label,
                    "" if i % 17 == 5 else f"{x:.4f}",
                    "" if i % 19 == 3 else CITIES[city],
                    rng.choice(["yes", "no"]),
                    rng.integers(4),
                    f"2024-03-{1 + i % 28:02d} 07:30:00",
                    40 + i % 3,
                    -73.5,
                    f"d{i % 10}",
                ]
            )


def make_class_config(folder, num_rows=600):
    """The config of a table whose label is one of three classes, by x, and its path."""
    for seed, name in enumerate(("train", "validation", "test")):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=num_rows)
        kind = np.array(["low", "middle", "top"])[
            np.digitize(x + 0.3 * rng.normal(size=num_rows), [-0.5, 1])
        ]
        lines = [f"{a:.4f},{b},{1 + i % 2}" for i, (a, b) in enumerate(zip(x, kind, strict=True))]
        (folder / f"{name}.csv").write_text("\n".join(["x,kind,w", *lines, ""]))
    values = {
        "data": {name: str(folder / f"{name}.csv") for name in ("train", "validation", "test")},
        "label": {"column": "kind", "task": "multiclass"},
        "columns": {"x": "numeric", "w": "weight"},
        "model": {"hidden_units": [8]},
        "training": {"epochs": 5, "batch_size": 32},
        "output": {"job_dir": str(folder / "run")},
    }
    return _written(folder / "classes.yaml", values)


def make_config(folder, num_rows=600, **sections):
    """The config of such a table in three files, and its path."""
    for seed, name in enumerate(("train", "validation", "test")):
        write_table(folder / f"{name}.csv", num_rows if name == "train" else num_rows // 2, seed)
    values = {
        "data": {
            **{name: str(folder / f"{name}.csv") for name in ("train", "validation", "test")},
            "null_values": [""],
        },
        "label": {"column": "y", "task": "binary"},
        "columns": {
            "x": "numeric",
            "x_cell": {"kind": "bucketized", "source": "x", "quantiles": 4},
            "city": "categorical",
            "member": "boolean",
            "size": {"kind": "identity", "size": 4},
            "seen": "datetime",
            "way": {"kind": "geo", "from_point": ["lat", "lon"], "to_point": ["lon", "lat"]},
            "day": "key",
        },
        "model": {"hidden_units": [8]},
        "training": {"epochs": 3, "batch_size": 64},
        "output": {"job_dir": str(folder / "run")},
        **sections,
    }
    return _written(folder / "table.yaml", values)


def _written(path, values):
    """The config of these values, and the file that has them."""
    path.write_text(yaml.safe_dump(values))
    return parse_config(values, "test"), path
