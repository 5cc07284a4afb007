"""What all kinds of column have; imports neither TensorFlow nor Arrow.

Terms: a *raw column* is a field of the user's file; a *column* is what the schema declares over one
or more raw columns; a *feature* is one encoded id or number that the model reads.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from trainer.fields import Auto, Int

Tower = Literal["wide", "deep"]
RawType = Literal["float", "int", "string", "vector"]

# Ids are int32, and a part of the model stacks the ids of several columns in one table.
MOST_IDS = 2**30
# Of every model of the config: frozen, and an unknown key is an error.
STRICT = ConfigDict(frozen=True, extra="forbid")


class RawColumn(NamedTuple):
    """One field of the user's file and how it is read."""

    name: str
    dtype: RawType
    size: int = 0  # numbers of a vector

    def describe(self) -> str:
        """How it is read, for messages.

        >>> RawColumn("v", "vector", 3).describe(), RawColumn("x", "float").describe()
        ('vector of 3', 'float')
        """
        return f"{self.dtype} of {self.size}" if self.size else self.dtype


class ColumnBase(BaseModel):
    """What every kind of column has."""

    model_config = STRICT

    source: str | None = Field(
        None, description="Raw column that it reads; the column's own name when not given."
    )
    towers: tuple[Tower, ...] = Field(
        ("wide", "deep"),
        description="Parts of the model that see it; [] keeps it for crosses and geo columns only.",
    )


class IdColumn(ColumnBase):
    """What the columns have that become ids."""

    embedding_dim: Auto | Annotated[Int, Field(ge=1, le=4096)] = Field(
        "auto", description="Width in the deep part; auto: the fourth root of the number of ids."
    )


def embedding_width(size: int, embedding_dim: int | str, default: int | str) -> int:
    """Width of the embedding of `size` ids; 0 for none.

    Args:
        size: number of ids.
        embedding_dim: the column's own width, or auto for the default.
        default: of columns that do not state one; auto for the fourth root of `size`, sqrt for the
            square root, rounded up.

    >>> embedding_width(1000, "auto", "auto"), embedding_width(1000, "auto", "sqrt")
    (6, 32)
    >>> embedding_width(16, "auto", "auto"), embedding_width(16, 5, "auto")
    (2, 5)
    """
    width = default if embedding_dim == "auto" else embedding_dim
    if isinstance(width, int):
        return width
    # The small amount keeps 16 ids, whose root is 2, from becoming 3 by rounding.
    return math.ceil(size ** {"auto": 0.25, "sqrt": 0.5}[width] - 1e-9)
