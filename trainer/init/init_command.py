"""The command: options in, a config, a tuning study and an account out.

    python -m trainer.init --csv 'people-*.csv' --target income

Imports the modules of this package, storage and errors.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NoReturn

from trainer import storage
from trainer.errors import UserError
from trainer.fields import split_texts
from trainer.redaction import shown

_DEFAULT_ROWS, _HELD_OUT_ROWS = 200_000, 20_000
# Of fewer, a fifth may leave a validation part without a row.
_LEAST_ROWS = 50


def main(argv: Sequence[str]) -> None:
    """Study the table, write both files, print the account.

    Raises:
        UserError: an option, a file or the target is no good, or an output exists.
    """
    options = _parse(argv)
    from trainer.init.account import account  # Arrow and pydantic, which --help does not need
    from trainer.init.config_writer import config_text
    from trainer.init.csv_dialect import Given
    from trainer.init.parquet_sample import sample_parquet
    from trainer.init.table_sample import TableSample, sample_csv
    from trainer.init.table_study import Wishes, study_table
    from trainer.init.tuning_file import tuning_text

    patterns = options.csv or options.parquet
    config_path = options.output or f"{output_stem(patterns[0])}.yaml"
    tuning_path = f"{re.sub(r'[.]ya?ml$', '', config_path)}.tuning.yaml"
    files = _files(patterns)
    _check_free([config_path, tuning_path], options.force)

    def sample_of(paths: Sequence[str], num_rows: int) -> TableSample:
        if options.parquet:
            return sample_parquet(paths, num_rows)
        given = Given(options.delimiter, options.column_names, options.header)
        return sample_csv(paths, num_rows, given)

    sample = sample_of(files, options.sample_rows)
    if sample.num_rows < _LEAST_ROWS:
        raise UserError(
            f"{files[0]} has {sample.num_rows} rows; {_LEAST_ROWS} or more are needed to judge "
            "columns by"
        )
    held_out = sample_of(_files(options.validation), _HELD_OUT_ROWS) if options.validation else None
    _files(options.test)  # They are missed here, and not when the run has trained.
    names = ("target", "task", "positive", "validation", "test")
    wishes = Wishes(train=tuple(patterns), **{name: getattr(options, name) for name in names})
    study = study_table(sample, wishes, held_out)
    num_held_out = sum(not given for given in (options.validation, options.test))
    num_train = round(sample.total_rows * (1 - study.fraction * num_held_out))
    texts = {
        config_path: config_text(study, config_path, tuning_path),
        tuning_path: tuning_text(config_path, tuning_path, study.target.task, num_train),
    }
    for path, text in texts.items():
        storage.write_text(path, text)
    print(shown(account(study, config_path, tuning_path)))


def output_stem(pattern: str) -> str:
    """The name of a config for files of that name or pattern.

    >>> output_stem("gs://b/data/people-*.csv.gz"), output_stem("a/*.parquet"), output_stem("x.csv")
    ('people', 'table', 'x')
    """
    name = PurePosixPath(pattern).name
    name = re.sub(r"\.(csv|tsv|txt|data|parquet)(\.gz)?$|\.gz$", "", name)
    return re.sub(r"[\W_]+$", "", re.split(r"[*?\[]", name)[0]) or "table"


def _files(patterns: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(f for p in patterns for f in storage.list_files(p)))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; python -m trainer.init --help lists the options")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m trainer.init",
        description="Write a config and a tuning study for a table, and say why.",
        usage="%(prog)s (--csv FILES | --parquet FILES) --target COLUMN [options]",
        allow_abbrev=False,
    )
    add: Any = parser.add_argument
    files = "paths or patterns, comma-separated or repeated; local, gs:// or /gcs/"
    add("--csv", action="append", metavar="FILES", help=f"CSV or CSV.gz: {files}")
    add("--parquet", action="append", metavar="FILES", help=files)
    add("--target", required=True, help="the column to predict, by name or number from 1")
    add("--output", metavar="PATH", help="the config; default: NAME OF THE FILES.yaml, here")
    add("--force", action="store_true", help="overwrite the config and the study")
    tasks = ("regression", "binary", "multiclass")
    add("--task", choices=tasks, help="default: from the target's values")
    add("--positive", metavar="TEXT", help="the target's value that counts as 1, against the rest")
    add("--validation", action="append", default=[], metavar="FILES", help="a file set of its own")
    add("--test", action="append", default=[], metavar="FILES", help="a file set of its own")
    add("--column_names", help="of a CSV without a header: a,b,c; default: c1,c2,c3")
    add("--header", choices=("auto", "yes", "no"), default="auto", help="of the CSV (%(default)s)")
    add("--delimiter", help="of the CSV; default: from its first rows")
    add(
        "--sample_rows",
        type=_count,
        default=_DEFAULT_ROWS,
        help="rows to look at; larger tables are sampled (%(default)s)",
    )
    options = parser.parse_args(argv)
    if bool(options.csv) == bool(options.parquet):
        parser.error("give --csv or --parquet, one of them")
    for name in ("csv", "parquet", "validation", "test"):
        texts = [part for text in getattr(options, name) or [] for part in split_texts(text)]
        setattr(options, name, tuple(texts))
    if not (options.csv or options.parquet):
        parser.error("--csv names no file")
    if options.column_names is not None:
        options.column_names = tuple(split_texts(options.column_names))
        if options.header == "yes":
            parser.error("--column_names are for files without a header; leave out --header=yes")
    if options.delimiter is not None:
        options.delimiter = options.delimiter.replace("\\t", "\t")
        if len(options.delimiter) != 1 or not options.delimiter.isascii():
            parser.error(f"--delimiter must be one character; received {options.delimiter!r}")
    return options


def _count(text: str) -> int:
    value = float(text.replace("_", "").replace(",", ""))
    if not value.is_integer() or value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number; received {text!r}")
    return int(value)


def _check_free(paths: Sequence[str], force: bool) -> None:
    for path in paths:
        if not force and storage.exists(path):
            raise UserError(
                f"{path} exists already; give --force to overwrite it, or another --output"
            )
