"""The files of a run: which they are, and how to know them again."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from trainer import sample, storage
from trainer.cluster import Cluster
from trainer.config import Config, parse_config
from trainer.data_config import DataConfig
from trainer.errors import UserError, listed
from trainer.memory_tables import TABLE_PREFIX, DataFile, MemoryTable, memory_table

# table: in memory.
Format = Literal["auto", "csv", "parquet", "tfrecord", "table"]
# Shards are often numbered: a.tfrecord-00001-of-00004.
_TFRECORD = re.compile(r"\.tfrecords?(-\d+-of-\d+)?(\.gz)?$")
Part = Literal["train", "validation", "test"]
# By part; a pandas DataFrame or an Arrow table each.
Tables = Mapping[Part, Any]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
SAMPLE_PREFIX = "sample:"


def with_tables(config: Config, tables: Tables | None, cluster: Cluster) -> Config:
    """The config of a run on `tables`, each in the place of its part's files.

    Raises:
        UserError: a part has no such name, train is not among them, the config holds out a part of
            the training rows that is given too, or the run is one of several processes.
    """
    if not tables:
        return config
    if cluster.addresses:
        raise UserError(
            "tables in memory train in one process, and this one is part of a cluster; write them "
            "to Parquet files that every process can read"
        )
    if "train" not in tables or not set(tables) <= set(PARTS):
        raise UserError(
            f"tables must be {listed(PARTS)}, train at least; received {listed(tables) or 'none'}"
        )
    values = config.model_dump()
    values["data"] |= {part: (f"{TABLE_PREFIX}{part}",) for part in tables}
    return parse_config(values, "tables")


def find_files(
    data: DataConfig, sample_dir: str, tables: Tables | None = None
) -> dict[Part, tuple[DataFile, ...]]:
    """Files of each part of the data that the config names; writes the embedded sample if asked.

    Args:
        data: the patterns.
        sample_dir: where the sample goes; a remote one is replaced by a local scratch folder.
        tables: those that patterns of `with_tables` stand for.

    Raises:
        UserError: a pattern matches nothing, or stands for a table that is not there.
    """
    patterns: dict[Part, tuple[str, ...]] = {
        "train": data.train,
        "validation": data.validation,
        "test": data.test,
    }
    if any(p.startswith(SAMPLE_PREFIX) for found in patterns.values() for p in found):
        if storage.is_remote(sample_dir):
            sample_dir = str(Path(data.scratch_dir or tempfile.gettempdir()) / "trainer-sample")
        sample.write_sample(sample_dir)
    files: dict[Part, tuple[DataFile, ...]] = {}
    for part, found in patterns.items():
        if found and found[0].startswith(TABLE_PREFIX):
            files[part] = (_table(found[0], part, tables or {}),)
        elif found:
            local = (_sample_pattern(p, sample_dir) for p in found)
            files[part] = tuple(file for p in local for file in storage.list_files(p))
    return files


def format_of(path: DataFile, declared: Format) -> Format:
    """How a file is written: as declared, where that is auto by the end of its name.

    >>> [format_of(p, "auto") for p in ("a.parquet", "a.csv.gz", "a.tfrecord-00001-of-00004.gz")]
    ['parquet', 'csv', 'tfrecord']
    """
    if isinstance(path, MemoryTable):
        return "table"
    if declared != "auto":
        return declared
    if path.endswith(".parquet"):
        return "parquet"
    return "tfrecord" if _TFRECORD.search(path) else "csv"


def _table(name: str, part: Part, tables: Tables) -> MemoryTable:
    if part not in tables:
        raise UserError(
            f"data.{part}: {name} stands for a table in memory, which only "
            "train_and_evaluate(config, tables=...) of the Python API can give"
        )
    return memory_table(name, tables[part])


def _sample_pattern(pattern: str, sample_dir: str) -> str:
    if not pattern.startswith(SAMPLE_PREFIX):
        return pattern
    name = pattern.removeprefix(SAMPLE_PREFIX)
    if name not in ("train", "valid", "test"):
        raise UserError(
            f"the embedded sample has sample:train, sample:valid and sample:test; received "
            f"{pattern!r}"
        )
    return storage.join(sample_dir, f"{name}*.csv")


def fingerprints(data: DataConfig, files: dict[Part, tuple[DataFile, ...]]) -> dict[str, str]:
    """What is in each file or table, by path or name: the same for a copy on another machine.

    A file of the embedded sample goes by its name, for each run writes it to a place of its own.
    """
    found = {}
    for part, paths in files.items():
        has_sample = any(p.startswith(SAMPLE_PREFIX) for p in getattr(data, part))
        for path in paths:
            if isinstance(path, MemoryTable):
                found[path.name] = path.fingerprint
                continue
            name = os.path.basename(path)
            is_sample = has_sample and name in sample.NUM_ROWS_BY_FILE
            key = f"{SAMPLE_PREFIX}{name}" if is_sample else path
            found[key] = storage.content_fingerprint(path)
    return found
