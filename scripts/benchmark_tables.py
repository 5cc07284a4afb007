"""The tables that are measured, generated: rides, prepared rides, and one heavy in categories.

Nothing is downloaded, and a table depends on its number of rows alone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from benchmark_peers import columns

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


from trainer import sample

# Of the category-heavy table: as Criteo's.
NUM_INTEGERS = 13
VOCABULARIES = tuple(int(v) for v in np.round(np.geomspace(10, 300_000, 26)))
_FIRST_YEAR = 2009


def rides(num_rows: int) -> pa.Table:
    """Rides with the fields of the public taxi export."""
    return sample.generate_rides(num_rows, seed=1)


def prepared(table: pa.Table) -> dict[str, np.ndarray]:
    """The ids (int32), scaled numbers and label (float32) of `columns.PREPARED_*` for rides."""
    times = np.array(table[columns.DATE].to_numpy(), "U19").astype("datetime64[s]")
    days = times.astype("datetime64[D]")
    months = times.astype("datetime64[M]").astype(np.int64)
    buckets = {
        name: np.searchsorted(columns.EDGES[source], table[source].to_numpy(), side="right")
        for name, source in columns.BUCKETS.items()
    }
    ids = {
        "year": months // 12 + 1970 - _FIRST_YEAR,
        "month": months % 12,
        "day_of_week": (days.astype(np.int64) + 3) % 7,
        "hour": (times - days).astype(np.int64) // 3600,
    }
    for name, parts in columns.CROSSES.items():
        ids[name] = np.zeros(len(table), np.int64)
        for part in parts:
            ids[name] = ids[name] * columns.COURSE_SIZES[part] + {**ids, **buckets}[part]
    found = {name: ids[name].astype(np.int32) for name in columns.PREPARED_IDS}
    for name in columns.PREPARED_NUMBERS:
        mean, deviation = columns.SCALES[name]
        found[name] = ((table[name].to_numpy() - mean) / deviation).astype(np.float32)
    found[columns.PREPARED_LABEL] = table[columns.LABEL].to_numpy().astype(np.float32)
    return found


def with_large_ids(table: Mapping[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    """The prepared table with its largest id column drawn evenly from `size` ids."""
    name = largest_ids()
    ids = np.random.default_rng(size).integers(0, size, len(table[name]), np.int32)
    return {**table, name: ids}


def largest_ids() -> str:
    """The id column of the prepared table with the most ids."""
    return max(columns.PREPARED_IDS, key=lambda name: columns.PREPARED_IDS[name])


def mixed(num_rows: int, num_columns: int) -> tuple[pa.Table, dict[str, object]]:
    """Half numbers, half categories of 1,000 tokens, a label; and the trainer's config of it."""
    rng = np.random.default_rng(num_columns)
    tokens = pa.array([f"token-{i}" for i in range(1000)])
    table: dict[str, pa.Array] = {"label": pa.array(rng.standard_normal(num_rows))}
    kinds: dict[str, object] = {}
    for i in range(num_columns):
        if i % 2:
            table[f"category_{i}"] = tokens.take(pa.array(rng.integers(0, 1000, num_rows)))
            kinds[f"category_{i}"] = {"kind": "categorical"}
        else:
            table[f"number_{i}"] = pa.array(rng.standard_normal(num_rows).round(6))
            kinds[f"number_{i}"] = {"kind": "numeric"}
    return pa.table(table), {"label": {"column": "label", "task": "regression"}, "columns": kinds}


def categories(num_rows: int) -> pa.Table:
    """A binary label, 13 integers and 26 string columns of skewed tokens, some of them missing.

    The rank of a token is log-uniform: the tenth is a tenth as frequent as the first.
    """
    rng = np.random.default_rng(7)
    table = {"label": pa.array((rng.random(num_rows) < 0.25).astype(np.int64))}
    for i in range(NUM_INTEGERS):
        values = np.floor(np.exp(rng.normal(1.5, 1.5, num_rows))).astype(np.int64)
        table[f"integer_{i}"] = pa.array(values, mask=rng.random(num_rows) < 0.1 * (i % 3))
    for i, size in enumerate(VOCABULARIES):
        codes = np.random.default_rng(i).integers(0, 2**44, size)
        tokens = pa.array([f"{code:011x}" for code in codes])
        ranks = ((size + 1) ** rng.random(num_rows) - 1).astype(np.int32)
        missing = rng.random(num_rows) < 0.05 * (i % 4)
        table[f"category_{i}"] = tokens.take(pa.array(ranks, mask=missing))
    return pa.table(table)


def categories_config() -> dict[str, object]:
    """The trainer's config of `categories`, as YAML has it: every token has an id."""
    integers = {f"integer_{i}": {"kind": "numeric"} for i in range(NUM_INTEGERS)}
    tokens = {
        f"category_{i}": {"kind": "categorical", "min_frequency": 1}
        for i in range(len(VOCABULARIES))
    }
    return {"label": {"column": "label", "task": "binary"}, "columns": {**integers, **tokens}}


def write(table: pa.Table, folder: Path, name: str, *, num_files: int, header: bool) -> None:
    """The table as `<name>-<i>.csv` and `<name>-<i>.parquet`, in `num_files` equal parts."""
    csv_options = pa.csv.WriteOptions(include_header=header, quoting_style="none")
    bounds = np.linspace(0, len(table), num_files + 1).astype(int)
    for i in range(num_files):
        part = table.slice(bounds[i], bounds[i + 1] - bounds[i])
        pa.csv.write_csv(part, str(folder / f"{name}-{i:02d}.csv"), csv_options)
        pa.parquet.write_table(part, folder / f"{name}-{i:02d}.parquet", compression="zstd")


def write_prepared(table: Mapping[str, np.ndarray], folder: Path, name: str) -> None:
    """The prepared table: `<name>.parquet`, `<name>-validation.parquet` and, of both, `<name>.npz`.

    The last sixteenth is held out.
    """
    num_rows = len(table[columns.PREPARED_LABEL])
    cut = num_rows - num_rows // 16
    parts = {"": slice(cut), "validation/": slice(cut, None)}
    for prefix, rows in parts.items():
        path = folder / f"{name}{prefix and '-validation'}.parquet"
        pa.parquet.write_table(pa.table({n: values[rows] for n, values in table.items()}), path)
    np.savez(
        folder / f"{name}.npz",
        **{prefix + n: v[rows] for prefix, rows in parts.items() for n, v in table.items()},
    )
