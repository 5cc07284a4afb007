"""Sections: what the machine can do, and the way from files to encoded rows."""

from __future__ import annotations

import glob
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import benchmark_tables as tables
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from benchmark_measure import Recorder
from benchmark_peers import columns
from benchmark_setting import Setting

_DATE = {columns.DATE: {"kind": "datetime", "parts": ["year", "month", "day_of_week", "hour"]}}


def measure_machine(setting: Setting, recorder: Recorder) -> None:
    """Memory bandwidth, and random rows of tables that the caches hold or do not."""
    import ceilings

    recorder.alternate(
        "bytes/s", {"machine/memory copy": lambda: ceilings.copy_bytes_per_second(1 << 28)}
    )
    recorder.alternate(
        "rows/s",
        {
            f"machine/gather of {size:,} rows": partial(ceilings.gather_rows_per_second, size)
            for size in setting.sizes.table_rows
        },
    )


class Case(NamedTuple):
    """Columns of a table that are read together.

    name: in the figures.
    table: whose files.
    values: the trainer's config but for its files.
    has_all_stages: whether blocks, statistics and Arrow's own reading are measured too.
    """

    name: str
    table: str
    values: dict[str, Any]
    has_all_stages: bool = True


def cases() -> list[Case]:
    """What is read."""
    label = {"column": columns.LABEL, "task": "regression"}
    data = {"column_names": list(columns.FIELDS)}
    numbers = {name: {"kind": "numeric"} for name in columns.NUMBERS}
    plain = {name: {"kind": "numeric", **columns.PLAIN_NUMBER} for name in columns.NUMBERS}

    def rides(chosen: dict[str, Any]) -> dict[str, Any]:
        return {"data": data, "label": label, "columns": chosen}

    return [
        Case("numbers", "rides", rides(numbers)),
        Case("numbers and date", "rides", rides({**numbers, **_DATE})),
        Case("plain numbers", "rides", rides(plain), has_all_stages=False),
        Case("plain numbers and date", "rides", rides({**plain, **_DATE}), has_all_stages=False),
        Case("course", "rides", columns.course_config()),
        Case("categories", "categories", tables.categories_config()),
    ]


def measure_reading(setting: Setting, recorder: Recorder) -> None:
    """Arrow's own parse, blocks, statistics and encoded rows of each case, CSV and Parquet."""
    for case in cases():
        for suffix in ("csv", "parquet"):
            works = reading_works(case, suffix, setting.pattern(case.table, suffix))
            recorder.rates(
                "rows/s", {f"read/{case.name} {suffix}/{n}": w for n, w in works.items()}
            )


def reading_works(case: Case, suffix: str, pattern: str) -> dict[str, Callable[[], int]]:
    """The stages by name; each gives its number of rows."""
    from trainer.blocks import open_parts
    from trainer.config import parse_config
    from trainer.features import FeatureEncoder, read_vocabularies

    files = tuple(sorted(glob.glob(pattern)))
    values = dict(case.values)
    if suffix == "parquet":
        values["data"] = {}
    config = parse_config(values, "benchmark")
    part = open_parts(config, {"train": files})["train"]
    part.reader.release()  # every pass reads the files
    encoder = FeatureEncoder(
        config, part.statistics(), config.model.embedding_dim, read_vocabularies(config)
    )
    packed = part.packed(encoder)
    next(packed([0]))  # traces
    units = range(len(part.reader.units))
    works: dict[str, Callable[[], int]] = {
        "encoded": lambda: sum(len(rows) for rows in packed(units))
    }
    if case.has_all_stages:
        source = part.reader.source
        works["arrow"] = lambda: sum(_arrow_rows(path, source) for path in files)
        works["blocks"] = lambda: sum(block.num_rows for block in part.blocks())
        works["statistics"] = lambda: part.statistics().num_rows
    return works


def _arrow_rows(path: str, source: Any) -> int:
    """Rows of a file, read into the same columns and types by Arrow alone, on all cores."""
    from trainer.cells import ARROW_TYPES

    types = {column.name: ARROW_TYPES[column.dtype] for column in source.columns}
    if path.endswith(".parquet"):
        texts = [name for name, dtype in types.items() if pa.types.is_dictionary(dtype)]
        table = pa.parquet.read_table(path, columns=list(types), read_dictionary=texts)
    else:
        convert = pa.csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=list(source.null_values),
            strings_can_be_null=True,
        )
        table = pa.csv.read_csv(
            path, pa.csv.ReadOptions(column_names=source.column_names), convert_options=convert
        )
    return table.num_rows
