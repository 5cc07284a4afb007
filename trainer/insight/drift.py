"""Whether new files still look like the rows that a model was trained on, column by column.

Needs nothing but the exported model: its statistics.json and id_counts.json.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from trainer import storage
from trainer.blocks import source_of
from trainer.column_summaries import ColumnSummaries
from trainer.config import Config
from trainer.errors import UserError, nearest
from trainer.feature_names import FeatureNames
from trainer.features import FeatureEncoder
from trainer.input_columns import input_columns
from trainer.insight.column_shifts import Kind, TableProfile, column_shifts
from trainer.insight.id_counts import count_ids, named_counts, uncounted_features
from trainer.reader import BadRows, read_blocks
from trainer.splits import row_ids
from trainer.trained_embeddings import read_encoder, read_model_config

# Of all tables without any drift, one in twenty has a column that chance puts beyond the bound.
_LEVEL = 0.95


class Drift(NamedTuple):
    """How far a column of the new rows lies from that of the training rows.

    measure: js or linf, the one of its kind. distance: by that measure. by_chance: what chance
    alone does to it. threshold: that it was held against. is_drift: whether it is beyond both.
    """

    column: str
    kind: Kind
    measure: str
    distance: float
    js: float
    linf: float
    by_chance: float
    threshold: float
    is_drift: bool


def measure_drift(
    model: str,
    patterns: Sequence[str],
    threshold: float = 0.3,
    of_columns: Mapping[str, float] | None = None,
) -> list[Drift]:
    """The drift of each column, the largest first.

    A column has drifted where its distance is above its threshold and above what chance does to an
    unshifted column of as many rows. The bound of chance is for all columns together, by
    Bonferroni, so it holds for each one all the more.

    Args:
        model: folder of a complete run, or of an exported model; local, gs:// or /gcs/.
        patterns: of the new files, of the format of the training files; a label is not needed.
        threshold: of every column, 0.3 as in Vertex AI Model Monitoring; 0 for chance alone.
        of_columns: thresholds of single columns.

    Raises:
        UserError: there is no such model, file or column, or the files have no rows.
    """
    model_dir, config = read_model_config(model)
    encoder, statistics = read_encoder(model_dir, config)
    ids_path = storage.join(model_dir, "assets.extra", "id_counts.json")
    base = TableProfile(statistics, json.loads(storage.read_text(ids_path)))
    other = _profile_files(config, encoder, patterns)
    of_columns = of_columns or {}
    num_columns = len(statistics.numbers) + len(statistics.tokens) + len(base.ids)
    shifts = column_shifts(base, other, level=1 - (1 - _LEVEL) / max(1, num_columns))
    for name in of_columns:
        if name not in shifts:
            raise UserError(
                f"--threshold: there is no column {name!r}{nearest(name, shifts)}; the columns "
                f"are {', '.join(shifts)}"
            )
    found = []
    for name, shift in shifts.items():
        limit = of_columns.get(name, threshold)
        found.append(
            Drift(
                name,
                shift.kind,
                "js" if shift.kind == "number" else "linf",
                shift.distance,
                shift.shift.js,
                shift.shift.linf,
                shift.by_chance,
                limit,
                shift.distance > max(limit, shift.by_chance),
            )
        )
    return sorted(found, key=lambda drift: (not drift.is_drift, -drift.distance, drift.column))


def _profile_files(
    config: Config, encoder: FeatureEncoder, patterns: Sequence[str]
) -> TableProfile:
    """One pass over the files."""
    columns = {name: column for name, column in input_columns(config).items() if name != config.key}
    files = tuple(file for pattern in patterns for file in storage.list_files(pattern))
    source = source_of(config.data, files, tuple(columns.values()))
    source = dataclasses.replace(source, limit_rows=0)
    summaries = ColumnSummaries(config, labels=None)

    def encoded() -> Iterator[np.ndarray]:
        for block in read_blocks(source, BadRows(config.data.max_bad_rows)):
            summaries.take(summaries.summarize(block.columns, row_ids(block)))
            yield encoder.encode_block(block.columns).ids

    counts = count_ids(encoder.layout, encoded())
    statistics = summaries.finalize()
    if not statistics.num_rows:
        raise UserError(f"no rows in {', '.join(patterns)}; drift needs some")
    features = uncounted_features(config, encoder.layout)
    return TableProfile(statistics, named_counts(counts, features, FeatureNames(config, encoder)))


def parse_thresholds(texts: Sequence[str]) -> tuple[float, dict[str, float]]:
    """The threshold of all columns, and those of single ones, from `0.3` and `COLUMN=0.1`.

    Raises:
        UserError: one is no number from 0 to 1.

    >>> parse_thresholds(["0.2", "age=0.05"])
    (0.2, {'age': 0.05})
    """
    default, of_columns = 0.3, {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise UserError(
                f"--threshold must be a number from 0 to 1, or COLUMN=NUMBER; received {text!r}"
            )
        if name:
            of_columns[name] = value
        else:
            default = value
    return default, of_columns


def format_drift(found: Sequence[Drift]) -> str:
    """A table for people, a line for each column."""
    width = max([6, *(len(drift.column) for drift in found)])
    lines = [f"{'column':{width}}  measure  distance  by chance  threshold"]
    for drift in found:
        lines.append(
            f"{drift.column:{width}}  {drift.measure:7}  {drift.distance:8.4f}  "
            f"{drift.by_chance:9.4f}  {drift.threshold:9.3g}{'  DRIFT' if drift.is_drift else ''}"
        )
    return "\n".join(lines)
