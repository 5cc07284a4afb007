"""What every section of the benchmark is given: sizes, a folder of tables, the trainer's configs.

Imports no TensorFlow: the command itself needs none.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import benchmark_tables as tables
import yaml
from benchmark_peers import columns

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).resolve().parent / "benchmark_peers"
DEFAULT_CONFIG = ROOT / "configs" / "taxifare_sample.yaml"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        rides: rows of the taxi table, in `files` files; whole shuffle windows.
        categories: rows of the category-heavy table.
        prepared: rows of the prepared table, a sixteenth of them held out.
        column_rows: rows of the tables of 8 to 128 columns.
        memory_rows: rows of the smallest run whose peak memory is taken.
        rounds: of each figure.
        seconds: of a round of training; contenders take three times as long.
        batch_sizes: of training from memory.
        table_rows: sizes of the large id space.
        column_counts: widths of tables.
        serving_calls: of each request size.
        worker_steps: of a measurement of two workers.
    """

    rides: int = 4 * 262_144
    files: int = 4
    categories: int = 300_000
    prepared: int = 262_144 * 16 // 15
    column_rows: int = 65_536
    memory_rows: int = 250_000
    rounds: int = 3
    seconds: float = 1.0
    batch_sizes: tuple[int, ...] = (64, 1024, 4096, 16384)
    table_rows: tuple[int, ...] = (50_000, 500_000, 5_000_000)
    column_counts: tuple[int, ...] = (8, 32, 128)
    serving_calls: int = 500
    worker_steps: int = 128


QUICK = Sizes(
    rides=8_000,
    files=2,
    categories=3_000,
    prepared=4096 * 16 // 15,
    column_rows=2_000,
    memory_rows=1_000,
    rounds=1,
    seconds=0.05,
    batch_sizes=(256,),
    table_rows=(500, 5_000),
    column_counts=(4, 8),
    serving_calls=20,
    worker_steps=32,
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A section's surroundings.

    Attributes:
        sizes: how much.
        folder: of tables and scratch files, deleted at the end.
        peer_python: interpreter of the peers.
        has_peers: whether they are measured at all.
    """

    sizes: Sizes
    folder: Path
    peer_python: str = sys.executable
    has_peers: bool = True

    def scratch(self, name: str) -> Path:
        """A new folder."""
        path = self.folder / name
        path.mkdir()
        return path

    def config_file(self, name: str, values: dict[str, Any]) -> Path:
        """The values as YAML that the trainer reads."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    def pattern(self, table: str, suffix: str) -> str:
        """Of the files of a table that `make_tables` wrote."""
        return str(self.folder / f"{table}-*.{suffix}")

    def default_config(self) -> dict[str, Any]:
        """The trainer's own taxi config: its features, crosses and defaults, without its data."""
        values = yaml.safe_load(DEFAULT_CONFIG.read_text())
        values["data"] = {"column_names": list(columns.FIELDS)}
        del values["training"]
        return values


def make_tables(setting: Setting) -> None:
    """Write the rides, the category-heavy and the prepared table."""
    sizes, folder = setting.sizes, setting.folder
    rides = tables.rides(max(sizes.rides, sizes.prepared))
    tables.write_prepared(tables.prepared(rides.slice(0, sizes.prepared)), folder, "prepared")
    tables.write(rides.slice(0, sizes.rides), folder, "rides", num_files=sizes.files, header=False)
    tables.write(
        tables.categories(sizes.categories), folder, "categories", num_files=2, header=True
    )


def child_environment() -> dict[str, str]:
    """Of processes that import the trainer."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, "PYTHONPATH": path}
