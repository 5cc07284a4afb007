"""Tables from one kind of file to another: CSV, Parquet, TFRecord of tf.Example.

    python -m trainer.convert 'people-*.csv' --to=people.tfrecord.gz --config=people.yaml

With a config the files are read as training reads them: its columns, types and rules. Without one
all columns go over, as Arrow takes them: texts of CSV by their first MiB, features of TFRecord by
the first records.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from trainer import storage
from trainer.blocks import source_of
from trainer.config import Config, parse_config
from trainer.data_files import format_of
from trainer.errors import UserError
from trainer.input_columns import read_columns
from trainer.memory_tables import BATCH_ROWS
from trainer.outcome import exit_code_of
from trainer.reader import BadRows, Source, read_blocks
from trainer.table_sinks import SUFFIXES, Sink, open_sink
from trainer.tfrecord_files import TFRecordFile, columns_of
from trainer.yaml_text import load_yaml


def convert(
    files: Sequence[str],
    out: str,
    *,
    config: Config | None = None,
    rows_per_shard: int = 0,
    report: Callable[[int], Any] = lambda num_rows: None,
) -> list[str]:
    """Write the rows of `files`, in their order, to `out`; nothing is there until all are written.

    Args:
        files: one or more, with the same columns.
        out: a name that ends in one of `SUFFIXES`; of shards, a `*` stands for their numbers.
        config: which columns there are, and how a CSV is written; None: all that a file has.
        rows_per_shard: 0: one file.
        report: hears how many rows each batch had.

    Returns:
        The files that were written.

    Raises:
        UserError: a file cannot be read or written, or has a row that training would not take.
    """
    if not out.endswith(SUFFIXES):
        raise UserError(f"--to must end in one of {', '.join(SUFFIXES)}; received {out!r}")
    if rows_per_shard < 0 or bool(rows_per_shard) != ("*" in os.path.basename(out)):
        raise UserError(
            f"--rows_per_shard and a * in the name of --to need each other, rows above 0: {out!r}"
        )
    folder, pattern = os.path.split(out)
    with tempfile.TemporaryDirectory(prefix="convert-") as scratch_dir:
        with closing(_Shards(scratch_dir, pattern, rows_per_shard)) as shards:
            for table in _tables_of(files) if config is None else _blocks_of(files, config):
                shards.write(table)
                report(table.num_rows)
        if not shards.names:
            raise UserError(f"{files[0]} has no rows to convert")
        storage.commit_dir(scratch_dir, folder or ".", last=shards.names[-1])
    return [storage.join(folder, name) if folder else name for name in shards.names]


class _Shards:
    """Files of a folder that are filled one after the other."""

    def __init__(self, folder: str, pattern: str, rows_per_shard: int):
        self.names: list[str] = []
        self._folder = folder
        self._pattern = pattern
        self._most_rows = rows_per_shard or sys.maxsize
        self._room = 0
        self._sink: Sink | None = None

    def write(self, table: pa.Table) -> None:
        """Add rows, in as many files as it takes."""
        while table.num_rows:
            if self._sink is None:
                self.names.append(self._pattern.replace("*", f"{len(self.names):05d}"))
                path = os.path.join(self._folder, self.names[-1])
                self._sink = open_sink(path, table.schema)
                self._room = self._most_rows
            piece, table = table[: self._room], table[self._room :]
            self._sink.write(piece)
            self._room -= piece.num_rows
            if not self._room:
                self.close()

    def close(self) -> None:
        """Finish the file that is open."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None


def _blocks_of(files: Sequence[str], config: Config) -> Iterator[pa.Table]:
    """The rows as a config describes them."""
    source = source_of(config.data, tuple(files), read_columns(config))
    yield from _read(source, config.data.max_bad_rows)


def _read(source: Source, max_bad_rows: int = 0) -> Iterator[pa.Table]:
    for block in read_blocks(source, BadRows(max_bad_rows)):
        yield pa.table({name: _plain(column) for name, column in block.columns.items()})


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _tables_of(files: Sequence[str]) -> Iterator[pa.Table]:
    """The rows as Arrow takes them, all files by the types of the first."""
    found = format_of(files[0], "auto")
    if found == "tfrecord":
        columns = columns_of(files[0])
        source = Source(files=tuple(files), columns=columns, open_tfrecord=TFRecordFile)
        yield from _read(source)
        return
    types: dict[str, Any] | None = None
    for path in files:
        try:
            if found == "parquet":
                with storage.open_read(path) as stream:
                    batches = pq.ParquetFile(stream).iter_batches(BATCH_ROWS)
                    yield from (pa.Table.from_batches([batch]) for batch in batches)
                continue
            types = types or _csv_types(path)
            with _open_csv(path, types) as batches:
                yield from (pa.Table.from_batches([batch]) for batch in batches)
        except (pa.ArrowException, OSError) as error:
            raise UserError(
                f"cannot read {path}: {' '.join(str(error).split())}; a --config says delimiter, "
                "types and how many bad rows there are"
            ) from error


def _csv_types(path: str) -> dict[str, Any]:
    """Arrow's guess; what is neither a number nor a text stays the text that it is."""
    with _open_csv(path, {}) as reader:
        return {
            field.name: field.type
            if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
            else pa.string()
            for field in reader.schema
        }


def _open_csv(path: str, types: dict[str, Any]) -> pyarrow.csv.CSVStreamingReader:
    stream = pa.PythonFile(storage.open_read(path), "r")
    return pyarrow.csv.open_csv(
        pa.CompressedInputStream(stream, "gzip") if path.endswith(".gz") else stream,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types, strings_can_be_null=True, null_values=[""]
        ),
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; python -m trainer.convert --help lists the options")


def main(argv: Sequence[str]) -> None:
    """Convert what the arguments say.

    Raises:
        UserError: an argument is no good, or as `convert`.
    """
    parser = _Parser(
        prog="python -m trainer.convert",
        description="Convert tables between CSV, Parquet and TFRecord of tf.Example.",
        allow_abbrev=False,
    )
    add: Any = parser.add_argument
    add("files", nargs="+", help="paths or patterns; local, gs:// or /gcs/")
    add("--to", required=True, metavar="PATH", help=f"ends in {', '.join(SUFFIXES)}")
    add("--config", metavar="PATH", help="config that says columns and types; default: all columns")
    add("--rows_per_shard", type=int, default=0, help="with a * in --to; default: one file")
    options = parser.parse_args(argv)
    files = list(dict.fromkeys(f for p in options.files for f in storage.list_files(p)))
    config = None
    if options.config:
        values = load_yaml(storage.read_text(options.config), options.config)
        config = parse_config(values, options.config)
    with tqdm(total=_num_rows(files), unit=" rows", unit_scale=True, file=sys.stderr) as bar:
        written = convert(
            files,
            options.to,
            config=config,
            rows_per_shard=options.rows_per_shard,
            report=bar.update,
        )
        num_rows = bar.n
    first, *others = written
    shown = f"{first} and {len(others)} more" if others else first
    print(f"{num_rows} rows written to {shown}")


def _num_rows(files: Sequence[str]) -> int | None:
    """How many rows there are where the files say it: only Parquet does."""
    if any(format_of(path, "auto") != "parquet" for path in files):
        return None
    num_rows = 0
    for path in files:
        with storage.open_read(path) as stream:
            try:
                num_rows += pq.ParquetFile(stream).metadata.num_rows
            except pa.ArrowException as error:
                raise UserError(f"{path} is not a readable Parquet file: {error}") from error
    return num_rows


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
