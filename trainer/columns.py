"""The kinds of column that a schema may declare, all of them.

The only module that knows which kinds exist. Imports neither TensorFlow nor Arrow.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from trainer.bag_columns import BAG_KINDS, BagColumn, Combiner, MultiHot, Text
from trainer.column_base import (
    MOST_IDS,
    STRICT,
    ColumnBase,
    IdColumn,
    RawColumn,
    RawType,
    Tower,
)
from trainer.id_columns import (
    DATE_PART_SIZES,
    FIRST_YEAR,
    Boolean,
    Categorical,
    CyclicPart,
    DatePart,
    Datetime,
    EmbeddedColumn,
    Identity,
    InitFrom,
    VocabularyColumn,
    parse_datetime_format,
)
from trainer.number_columns import (
    Bucketized,
    Distance,
    Geo,
    Numeric,
    NumericOptions,
    Vector,
)

__all__ = [
    "BAG_KINDS",
    "COLUMN_KINDS",
    "DATE_PART_SIZES",
    "FIRST_YEAR",
    "MOST_IDS",
    "STRICT",
    "BagColumn",
    "Boolean",
    "Bucketized",
    "Categorical",
    "Column",
    "ColumnBase",
    "Combiner",
    "CyclicPart",
    "DatePart",
    "Datetime",
    "Distance",
    "EmbeddedColumn",
    "Geo",
    "IdColumn",
    "Identity",
    "Ignore",
    "InitFrom",
    "Key",
    "MultiHot",
    "Numeric",
    "NumericOptions",
    "RawColumn",
    "RawType",
    "Text",
    "Tower",
    "Vector",
    "VocabularyColumn",
    "Weight",
    "parse_datetime_format",
]


class Weight(ColumnBase):
    """The weight of a row in losses and metrics; 0 or more, and 0 leaves the row out."""

    kind: Literal["weight"] = "weight"


class Key(ColumnBase):
    """A string that identifies a row; passed through at serving, never a feature."""

    kind: Literal["key"] = "key"


class Ignore(ColumnBase):
    """A raw column that is not used, but may split the data."""

    kind: Literal["ignore"] = "ignore"


Column = Annotated[
    Numeric
    | Vector
    | Bucketized
    | Categorical
    | Identity
    | Boolean
    | MultiHot
    | Text
    | Datetime
    | Geo
    | Weight
    | Key
    | Ignore,
    Field(discriminator="kind"),
]
COLUMN_KINDS: dict[str, type[ColumnBase]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(get_args(Column)[0])
}
