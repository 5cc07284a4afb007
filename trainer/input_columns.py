"""How the raw columns of a table are read: types and rules, by what the schema makes of them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from trainer.columns import (
    Boolean,
    Categorical,
    Geo,
    Identity,
    MultiHot,
    Numeric,
    RawColumn,
    Vector,
)
from trainer.config import Config
from trainer.errors import UserError
from trainer.labels import read_label
from trainer.reader import ReadColumn
from trainer.schema import Schema


def read_columns(config: Config) -> tuple[ReadColumn, ...]:
    """What the reader reads of a file: features, label, weight, key and split column, each once.

    Raises:
        UserError: the split column is read as a number by a feature.
    """
    columns = input_columns(config)
    label = read_label(config.label, is_count=config.model.loss == "poisson")
    columns |= {column.name: column for column in label}
    if config.weight is not None:
        columns[config.weight] = ReadColumn(
            config.weight, "float", required=True, minimum=0.0, role="weight"
        )
    name = config.data.split_column
    if name is not None:
        known = columns.get(name, ReadColumn(name, "string"))
        if known.dtype in ("float", "int", "vector"):
            raise UserError(
                f"data.split_column {name!r} is read as a number by a {known.role}; the "
                "fingerprint needs its text. Split by another column, or add a copy of it"
            )
        columns[name] = known._replace(dtype="string")
    for name in (*config.evaluation.slice_columns, *config.evaluation.fairness_columns):
        columns.setdefault(name, ReadColumn(name, "dictionary", role="slice"))
    return tuple(columns.values())


def input_columns(schema: Schema) -> dict[str, ReadColumn]:
    """How the raw columns are read that a model takes, by name: those of features, and the key."""
    users: dict[str, list[Any]] = {}
    for name, column in schema.columns.items():
        users.setdefault(column.source or name, []).append(column)
    points = {
        n
        for geo in schema.of_kind(Geo).values()
        if geo.numeric.missing == "error"
        for n in (*geo.from_point, *geo.to_point)
    }
    columns = {
        raw.name: _feature_column(raw, users.get(raw.name, []), points)
        for raw in schema.feature_inputs
    }
    if schema.key is not None:
        columns[schema.key] = ReadColumn(schema.key, "string")
    return columns


def _feature_column(raw: RawColumn, users: Sequence[Any], points: Set[str]) -> ReadColumn:
    """How one is read.

    Args:
        raw: the raw column.
        users: columns that read it.
        points: raw columns whose missing value makes a bad row for a geo column's sake.
    """
    required = raw.name in points or any(
        isinstance(user, Numeric | Vector) and user.missing == "error" for user in users
    )
    sizes = [user.size for user in users if isinstance(user, Identity)]
    has_tokens = any(isinstance(user, Categorical | Boolean) for user in users)
    return ReadColumn(
        raw.name,
        "dictionary" if raw.dtype == "string" and has_tokens else raw.dtype,
        required=required,
        minimum=0.0 if sizes else None,
        maximum=min(sizes) - 1.0 if sizes else None,
        delimiter=_list_delimiter(raw.name, users),
        size=raw.size,
    )


def _list_delimiter(raw: str, users: Sequence[Any]) -> str | None:
    """What joins the values of a list, None where no column reads several values of one text.

    Raises:
        UserError: columns have different ones.
    """
    found = sorted({user.delimiter for user in users if isinstance(user, MultiHot)})
    if len(found) > 1:
        raise UserError(
            f"columns of kind multi_hot split {raw!r} at {found[0]!r} and at {found[1]!r}; give "
            "them one delimiter"
        )
    return found[0] if found else None
