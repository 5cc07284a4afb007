"""The schema of a table: columns, crosses and label as the user's YAML states them, and its rules.

Imports neither TensorFlow nor Arrow. The terms are those of `columns.py`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from trainer.column_ranges import expand_ranges
from trainer.columns import (
    MOST_IDS,
    STRICT,
    BagColumn,
    Bucketized,
    Categorical,
    Column,
    ColumnBase,
    Datetime,
    EmbeddedColumn,
    Geo,
    IdColumn,
    Identity,
    Ignore,
    Key,
    Numeric,
    NumericOptions,
    RawColumn,
    RawType,
    Tower,
    Vector,
    VocabularyColumn,
    Weight,
)
from trainer.errors import nearest
from trainer.fields import Auto, Int, TextList
from trainer.label import Label


class Cross(BaseModel):
    """The combination of several ids, hashed into bins (exact where their product fits)."""

    model_config = STRICT

    columns: TextList = Field(
        description="Two or more features with ids: categories, buckets, numeric columns with "
        "buckets, date parts as `column.part`."
    )
    bins: Annotated[Int, Field(ge=2, le=MOST_IDS)] = Field(
        10_000, description="Size of its id space."
    )
    towers: tuple[Tower, ...] = Field(("wide",), description="Parts of the model that see it.")
    embedding_dim: Auto | Annotated[Int, Field(ge=1, le=4096)] = Field(
        "auto", description="Width in the deep part; auto: the fourth root of the number of ids."
    )

    @property
    def name(self) -> str:
        """`a_x_b_x_c`."""
        return "_x_".join(self.columns)

    @model_validator(mode="after")
    def _check_columns(self) -> Cross:
        if len(self.columns) < 2 or len(set(self.columns)) != len(self.columns):
            raise ValueError(
                f"a cross needs two or more different columns; got {list(self.columns)}"
            )
        return self


class Schema(BaseModel):
    """Columns, crosses and label of a table."""

    model_config = STRICT

    columns: dict[str, Column] = Field(description="name: {kind: ..., options}.")
    crosses: tuple[Cross, ...] = Field((), description="Combinations of ids.")
    label: Label = Field(description="What is learned.")

    @model_validator(mode="before")
    @classmethod
    def _expand_short_columns(cls, data: Any) -> Any:
        """`age: numeric` stands for `age: {kind: numeric}`, `s_{1..9}` for nine columns."""
        if isinstance(data, dict) and isinstance(data.get("columns"), dict):
            columns = {
                name: {"kind": value} if isinstance(value, str) else value
                for name, value in expand_ranges(data["columns"]).items()
            }
            return {**data, "columns": columns}
        return data

    @model_validator(mode="after")
    def _check_references(self) -> Schema:
        _check_schema(self)
        return self

    def raw_name(self, name: str) -> str:
        """The raw column that column `name` reads."""
        return self.columns[name].source or name

    def of_kind(self, *kinds: type[ColumnBase]) -> dict[str, Any]:
        """Columns of the given kinds, by name, in the schema's order."""
        return {name: column for name, column in self.columns.items() if isinstance(column, kinds)}

    @property
    def weight(self) -> str | None:
        """Raw column of the row weight, None where rows weigh the same."""
        return next((self.raw_name(name) for name in self.of_kind(Weight)), None)

    @property
    def key(self) -> str | None:
        """Raw column of the key, None where there is none."""
        return next((self.raw_name(name) for name in self.of_kind(Key)), None)

    @property
    def counted_columns(self) -> tuple[str, ...]:
        """Raw columns whose tokens are counted for a vocabulary, each once."""
        counted = self.of_kind(Categorical).items()
        return tuple(dict.fromkeys(self.raw_name(n) for n, c in counted if c.needs_counts))

    def sharing(self, name: str) -> dict[str, Any]:
        """The columns that share an embedding with column `name`, which is one of them."""
        shared = getattr(self.columns[name], "shared_embedding", None)
        if shared is None:
            return {name: self.columns[name]}
        columns = self.of_kind(EmbeddedColumn).items()
        return {n: c for n, c in columns if c.shared_embedding == shared}

    @property
    def numeric_features(self) -> dict[str, NumericOptions]:
        """Numbers of the model by feature name: numeric columns and the outputs of geo columns."""
        features: dict[str, NumericOptions] = {}
        for name, column in self.columns.items():
            if isinstance(column, Numeric):
                features[name] = column
            elif isinstance(column, Geo):
                features |= {f"{name}.{output}": column.numeric for output in column.outputs}
        return features

    @property
    def feature_inputs(self) -> tuple[RawColumn, ...]:
        """Raw columns that features are made from, in the schema's order: the inputs of serving."""
        inputs: dict[str, RawColumn] = {}
        for name, column in self.columns.items():
            for raw in _raw_inputs(name, column):
                known = inputs.setdefault(raw.name, raw)
                if known == raw:
                    continue
                if {known.dtype, raw.dtype} != {"float", "int"}:
                    raise ValueError(
                        f"columns.{name} reads raw column {raw.name!r} as {raw.describe()}, "
                        f"another column as {known.describe()}; let both read it as text or both "
                        "as numbers"
                    )
                inputs[raw.name] = RawColumn(raw.name, "float")
        return tuple(inputs.values())


def _raw_inputs(name: str, column: Any) -> list[RawColumn]:
    """Raw columns that a column needs as model input."""
    if isinstance(column, Geo):
        return [RawColumn(raw, "float") for raw in (*column.from_point, *column.to_point)]
    if isinstance(column, Weight | Key | Ignore):
        return []
    if isinstance(column, Vector):
        return [RawColumn(column.source or name, "vector", column.size)]
    dtype: RawType = "string"
    if isinstance(column, Numeric | Bucketized):
        dtype = "float"
    elif isinstance(column, Identity) or (isinstance(column, Datetime) and column.is_epoch):
        dtype = "int"
    return [RawColumn(column.source or name, dtype)]


def _check_schema(schema: Schema) -> None:
    """Rules between columns, crosses and label; raises ValueError."""
    columns = schema.columns
    for kind in (Weight, Key):
        if len(schema.of_kind(kind)) > 1:
            raise ValueError(f"at most one column of kind {kind.__name__.lower()}")
    raw_names = {raw.name for raw in schema.feature_inputs}
    for name in schema.label.raw_columns:
        if name in raw_names:
            raise ValueError(f"the label {name!r} is also a feature; a leak")
    if not raw_names:
        raise ValueError("columns: no column is a feature")
    roles = dict.fromkeys(schema.label.raw_columns, "label")
    for raw, what in ((schema.weight, "weight"), (schema.key, "key")):
        if raw is None:
            continue
        if raw in raw_names:
            raise ValueError(f"the {what} column {raw!r} is also a feature")
        if raw in roles:
            raise ValueError(f"the {what} column {raw!r} is also the {roles[raw]}")
        roles[raw] = what
    _check_sharing(schema)
    crossable = set(crossable_names(schema))
    for cross in schema.crosses:
        for name in cross.columns:
            if isinstance(columns.get(name), BagColumn):
                raise ValueError(
                    f"cross {cross.name}: {name!r} is of kind {columns[name].kind}, with several "
                    "ids in a row; a cross takes one of each column. Leave it out of the cross"
                )
            if name not in crossable:
                raise ValueError(
                    f"cross {cross.name}: {name!r} has no ids{nearest(name, crossable)}; "
                    f"valid: {', '.join(sorted(crossable)) or 'none'}"
                )
    names = [cross.name for cross in schema.crosses]
    if len(set(names)) != len(names):
        raise ValueError(f"a cross stands twice: {names}")
    if clash := set(names) & set(columns):
        raise ValueError(f"a cross has the name of a column: {sorted(clash)}")


def _check_sharing(schema: Schema) -> None:
    """Columns of one shared_embedding have the same ids and width; raises ValueError."""
    for name, column in schema.of_kind(EmbeddedColumn).items():
        if column.shared_embedding is None:
            continue
        partners = schema.sharing(name)
        first, *others = partners
        if not others:
            raise ValueError(
                f"columns.{name}.shared_embedding {column.shared_embedding!r} is of one column "
                "only; give it to another, or leave it out"
            )
        mine, theirs = _shared_options(column), _shared_options(partners[first])
        if mine.keys() != theirs.keys():
            raise ValueError(
                f"columns.{name} and columns.{first} have one shared_embedding, but their ids are "
                f"of different kinds, {column.kind} and {partners[first].kind}"
            )
        for option, value in mine.items():
            if value != theirs[option]:
                raise ValueError(
                    f"columns.{name}.{option} is {value}, that of columns.{first} is "
                    f"{theirs[option]}; with one shared_embedding they must be equal"
                )


def _shared_options(column: EmbeddedColumn) -> dict[str, object]:
    """The options that decide the ids of a column and its embedding."""
    of_kind = Identity if isinstance(column, Identity) else VocabularyColumn
    names = of_kind.model_fields.keys() - ColumnBase.model_fields.keys() - {"kind"}
    return {name: getattr(column, name) for name in sorted(names)}


def crossable_names(schema: Schema) -> list[str]:
    """Names that a cross may use: features with ids."""
    names: list[str] = []
    for name, column in schema.columns.items():
        if isinstance(column, Datetime):
            names += [f"{name}.{part}" for part in column.parts]
            if column.numeric.buckets:
                names += [f"{name}.{number}" for number in column.numbers]
        elif isinstance(column, Geo):
            names += [f"{name}.{output}" for output in column.outputs if column.numeric.buckets]
        elif isinstance(column, BagColumn):
            continue
        elif isinstance(column, IdColumn) or (isinstance(column, Numeric) and column.buckets):
            names.append(name)
    return names
