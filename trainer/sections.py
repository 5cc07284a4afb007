"""What every section of a config has, the number types of its fields, their keys; no TensorFlow."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from trainer.fields import Float, Int

Positive = Annotated[Int, Field(ge=1)]
NotNegative = Annotated[Int, Field(ge=0)]
Rate = Annotated[Float, Field(gt=0)]
Penalty = Annotated[Float, Field(ge=0)]
Fraction = Annotated[Float, Field(ge=0, lt=1)]


class Key(NamedTuple):
    """The dotted key of a setting."""

    section: str
    name: str

    def __str__(self) -> str:
        return f"{self.section}.{self.name}"


class Section(BaseModel):
    """A section of a config: read-only, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
