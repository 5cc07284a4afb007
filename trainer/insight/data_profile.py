"""The data column by column: training against the held-out parts.

Imports column_shifts, column_power and statistics; reads no rows but the sample that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainer.data_files import Part
from trainer.insight.column_power import LEAK_POWER, SUSPECT_POWER, column_power
from trainer.insight.column_profile import ColumnProfile
from trainer.insight.column_shifts import (
    MISSING,
    ColumnShift,
    TableProfile,
    category_counts,
    column_shifts,
)
from trainer.insight.held_out import Halves, Task
from trainer.insight.held_out_rows import RawRows
from trainer.number_statistics import NumberStatistics
from trainer.quantiles import interpolate
from trainer.schema import Schema

MOST_COLUMNS = 300
_TOP_VALUES = 10
# What is worth a warning: Vertex AI's default threshold of a distance, a share of rows.
DRIFT_THRESHOLD = 0.3
_MISSING_STEP, _UNSEEN_SHARE = 0.1, 0.05
# Classes that a leak is looked for in, each against the others.
_LEAK_CLASSES = 5


def data_profile(
    schema: Schema,
    train: TableProfile,
    held_out: Mapping[Part, TableProfile],
    powers: Mapping[str, float],
) -> dict[str, Any]:
    """`data_profile` of the report: {columns, warnings}.

    Args:
        schema: for the kinds of columns.
        train: of the training rows.
        held_out: of the other parts.
        powers: of raw columns, see `label_powers`.
    """
    shifts = {part: column_shifts(train, profile) for part, profile in held_out.items()}
    geo = set(schema.numeric_features) - set(schema.columns)
    parts: dict[Part, TableProfile] = {"train": train, **held_out}
    categories = {part: category_counts(profile) for part, profile in parts.items()}
    columns: list[dict[str, Any]] = []
    for name in train.statistics.numbers:
        if name not in geo:
            found: dict[str, Any] = {
                part: _number(profile.statistics.numbers[name])
                for part, profile in parts.items()
                if name in profile.statistics.numbers
            }
            columns.append({"column": name, "kind": "number", **found})
    for name in categories["train"]:
        if name != "(label)":
            found = {p: _category(c[name]) for p, c in categories.items() if c.get(name)}
            columns.append({"column": name, "kind": "category", **found})
    for column in columns:
        name = column["column"]
        column["drift"] = {p: _drift(s[name]) for p, s in shifts.items() if name in s}
        if name in train.statistics.tokens or name in train.statistics.bags:
            known = categories["train"][name]
            column["unseen"] = {
                part: _unseen(categories[part][name], known)
                for part in held_out
                if categories[part].get(name)
            }
        if name in powers:
            column["leak"] = powers[name]
    label = {p: _drift(s["(label)"]) for p, s in shifts.items() if "(label)" in s}
    if len(columns) > MOST_COLUMNS:
        columns = sorted(columns, key=_largest_drift, reverse=True)[:MOST_COLUMNS]
    return {"columns": columns, "label": label, "warnings": _warnings(columns)}


def label_powers(schema: Schema, rows: RawRows) -> dict[str, float]:
    """What each raw column of one value a row tells of the label alone, 0 to 1.

    The measure is `column_power`; of several classes the largest of the most frequent ones, each
    against the others. Fitted on one half of the rows and judged on the other.
    """
    targets = _targets(schema, rows)
    halves = Halves.shuffled(len(rows.weight))
    found = {}
    for raw in schema.feature_inputs:
        column = rows.columns[raw.name]
        if raw.dtype != "vector" and targets:
            profile = _profile(raw.name, column)
            found[raw.name] = max(
                column_power(profile, target, halves, task) for target, task in targets
            )
    return found


def _targets(schema: Schema, rows: RawRows) -> list[tuple[np.ndarray, Task]]:
    labels = rows.labels.astype(np.float64)
    task = schema.label.task
    if task == "regression":
        return [(labels[:, 0], "regression")]
    if task == "binary":
        return [(labels[:, 0], "binary")]
    if labels.shape[1] > 1:
        frequent = np.argsort(-labels.sum(axis=0), kind="stable")[:_LEAK_CLASSES]
        return [((labels[:, k] >= 0.5).astype(np.float64), "binary") for k in frequent]
    classes, counts = np.unique(labels[:, 0], return_counts=True)
    places = np.argsort(-counts, kind="stable")[:_LEAK_CLASSES]
    return [((labels[:, 0] == classes[i]).astype(np.float64), "binary") for i in places]


def _profile(name: str, column: pa.Array) -> ColumnProfile:
    """As `column_power` takes it; NaN, null and "" are missing."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    is_text = pa.types.is_string(column.type)
    if not is_text:
        column = pc.if_else(pc.is_finite(column.cast(pa.float64())), column, None)
    else:
        column = pc.if_else(pc.equal(column, ""), None, column)
    encoded = column.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    tokens = encoded.dictionary
    return ColumnProfile(
        name=name,
        codes=codes,
        tokens=tuple(map(str, tokens.to_pylist())),
        counts=np.bincount(codes[codes >= 0], minlength=len(tokens)),
        numbers=None if is_text else tokens.cast(pa.float64()).to_numpy(zero_copy_only=False),
    )


def _number(found: NumberStatistics) -> dict[str, Any]:
    rows = max(1, found.count + found.missing)
    shares = {"rows": found.count + found.missing, "missing": found.missing / rows}
    if not found.count:
        return shares
    twentieths = interpolate(found.quantiles, 20)
    return {
        **shares,
        "zeros": found.zeros / rows,
        "mean": found.mean,
        "sd": found.sd,
        "minimum": found.minimum,
        "p05": twentieths[0],
        "p50": twentieths[9],
        "p95": twentieths[18],
        "maximum": found.maximum,
        "distinct": found.distinct,
    }


def _category(counts: Mapping[str, int]) -> dict[str, Any]:
    rows = sum(counts.values())
    present = {name: count for name, count in counts.items() if name != MISSING}
    top = sorted(present.items(), key=lambda pair: (-pair[1], pair[0]))[:_TOP_VALUES]
    return {
        "rows": rows,
        "missing": counts.get(MISSING, 0) / rows,
        "distinct": len(present),
        "top": [{"value": name, "share": count / rows} for name, count in top],
    }


def _unseen(counts: Mapping[str, int], known: Mapping[str, int]) -> float:
    """Share of the rows whose value no training row had."""
    unseen = sum(n for name, n in counts.items() if name not in known and name != MISSING)
    return unseen / max(1, sum(counts.values()))


def _drift(found: ColumnShift) -> dict[str, float]:
    return found.shift._asdict()


def _largest_drift(column: Mapping[str, Any]) -> float:
    measure = "js" if column["kind"] == "number" else "linf"
    return max((drift[measure] for drift in column["drift"].values()), default=0.0)


def _warnings(columns: list[dict[str, Any]]) -> list[str]:
    """One line for each thing that a look at the columns should not miss."""
    found = []
    for column in columns:
        name, train = column["column"], column["train"]
        measure, word = (
            ("js", "Jensen-Shannon divergence")
            if column["kind"] == "number"
            else ("linf", "L-infinity distance")
        )
        for part, drift in column["drift"].items():
            if drift[measure] > max(DRIFT_THRESHOLD, drift[f"{measure}_by_chance"]):
                found.append(
                    f"{name}: {word} {drift[measure]:.2f} between train and {part}; "
                    f"{DRIFT_THRESHOLD} is the usual limit"
                )
            step = column[part]["missing"] - train["missing"]
            if abs(step) > _MISSING_STEP:
                found.append(
                    f"{name}: missing in {column[part]['missing']:.0%} of the {part} rows, in "
                    f"{train['missing']:.0%} of the training rows"
                )
        for part, share in column.get("unseen", {}).items():
            if share > _UNSEEN_SHARE:
                found.append(
                    f"{name}: {share:.0%} of the {part} rows have a value that no training row had"
                )
        power = column.get("leak", 0.0)
        if power >= SUSPECT_POWER:
            certainty = "almost surely a leak" if power >= LEAK_POWER else "a suspect"
            found.append(f"{name}: alone explains {power:.1%} of the label; {certainty}")
    return found
