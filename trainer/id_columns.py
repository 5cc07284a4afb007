"""The kinds of column that become ids, with their options.

Imports neither TensorFlow nor Arrow. The terms are those of `column_base.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from trainer.column_base import MOST_IDS, STRICT, IdColumn
from trainer.fields import Auto, Int, TextList
from trainer.number_columns import NumericOptions

DateNumber = Literal["time", "time_of_day", "day_of_year"]
DatePart = Literal["year", "month", "day_of_week", "hour", "minute_of_day"]
CyclicPart = Literal["month", "day_of_week", "hour", "minute_of_day"]

# Ids that a date part can take; the missing id comes on top. Years are counted from FIRST_YEAR.
FIRST_YEAR = 1970
DATE_PART_SIZES: dict[str, int] = {
    "year": 131,
    "month": 12,
    "day_of_week": 7,
    "hour": 24,
    "minute_of_day": 1440,
}


class InitFrom(BaseModel):
    """Where the first rows of an embedding come from: a column of another run's exported model."""

    model_config = STRICT

    model: str = Field(
        description="Folder of the run or of its exported model, local, gs:// or /gcs/."
    )
    column: str = Field(description="Column of that model, of the same kind of ids.")
    trainable: bool = Field(True, description="false: the rows stay as they are, bit for bit.")


class EmbeddedColumn(IdColumn):
    """What the columns have whose embedding may be another's."""

    shared_embedding: str | None = Field(
        None,
        description="Columns of one name have one vocabulary, made from the values of all of them, "
        "and one embedding; the weights of the wide part stay each column's own.",
    )
    init_from: InitFrom | None = Field(
        None,
        description="Embedding of another model to begin with, value by value; values that it does "
        "not know begin with its row of those out of vocabulary.",
    )

    @model_validator(mode="after")
    def _check_embedding(self) -> EmbeddedColumn:
        for name in ("shared_embedding", "init_from"):
            if getattr(self, name) is not None and "deep" not in self.towers:
                raise ValueError(f"{name} has an effect only with deep among the towers")
        return self


class VocabularyColumn(EmbeddedColumn):
    """How texts become ids: by their place in a vocabulary, or by their hash bucket.

    Ids: 0 is missing (null or ''), then the out-of-vocabulary buckets, then the vocabulary.
    """

    vocabulary: TextList | None = Field(None, description="The tokens, in the order of their ids.")
    vocabulary_file: str | None = Field(
        None, description="File (or gs:// object), one token a line."
    )
    hash_buckets: Annotated[Int, Field(ge=1, le=MOST_IDS)] | None = Field(
        None, description="Hash the token into that many buckets instead of keeping a vocabulary."
    )
    min_frequency: Auto | Annotated[Int, Field(ge=1)] = Field(
        "auto",
        description="Rows that a token needs to enter a vocabulary made from the training data. "
        "auto: max(10, rows / 5000), at most 1% of the rows.",
    )
    top_k: Annotated[Int, Field(ge=1)] | None = Field(
        None, description="Keep only the most frequent tokens, at most that many."
    )
    oov_buckets: Annotated[Int, Field(ge=1, le=MOST_IDS)] = Field(
        1, description="Buckets that tokens outside the vocabulary are hashed into."
    )

    @model_validator(mode="after")
    def _check_source_of_ids(self) -> VocabularyColumn:
        given = [
            n
            for n in ("vocabulary", "vocabulary_file", "hash_buckets")
            if getattr(self, n) is not None
        ]
        if len(given) > 1:
            raise ValueError(
                f"at most one of vocabulary, vocabulary_file, hash_buckets; got {given}"
            )
        if self.vocabulary is not None and len(set(self.vocabulary)) != len(self.vocabulary):
            raise ValueError("vocabulary names a token twice")
        return self

    @property
    def needs_counts(self) -> bool:
        """Whether the vocabulary comes from the training data."""
        return (
            self.vocabulary is None and self.vocabulary_file is None and self.hash_buckets is None
        )


class Categorical(VocabularyColumn):
    """A string: the id of its token in a vocabulary, or of its hash bucket."""

    kind: Literal["categorical"] = "categorical"


class Identity(EmbeddedColumn):
    """An integer in [0, size) that is itself the id. Ids: 0 is missing, value v has id v + 1."""

    kind: Literal["identity"] = "identity"
    size: Annotated[Int, Field(ge=1, le=MOST_IDS)] = Field(
        description="One more than the largest value."
    )


class Boolean(IdColumn):
    """true/false, yes/no, t/f, y/n, 1/0 in any case. Ids: 0 missing or other, 1 false, 2 true."""

    kind: Literal["boolean"] = "boolean"


class Datetime(IdColumn):
    """A point in time, as parts. Part p of column c is the feature `c.p`."""

    kind: Literal["datetime"] = "datetime"
    format: str = Field(
        "%Y-%m-%d %H:%M:%S",
        description="Fixed-width directives %Y %m %d %H %M %S and literal text; what follows the "
        "format in a value is ignored. Or epoch_seconds, epoch_milliseconds.",
    )
    parts: tuple[DatePart, ...] = Field(
        ("year", "month", "day_of_week", "hour"), description="Parts that become ids."
    )
    cyclic: tuple[CyclicPart, ...] = Field(
        (), description="Parts that also enter the deep part as sine and cosine."
    )
    numbers: tuple[DateNumber, ...] = Field(
        (),
        description="Numbers of the time, besides: time, in days around the training rows' mean; "
        "time_of_day, in hours; day_of_year, in days from 1.",
    )
    numeric: NumericOptions = Field(
        default_factory=lambda: NumericOptions(buckets=0),
        description="How each of the numbers enters the model.",
    )

    @property
    def is_epoch(self) -> bool:
        """Whether the raw column is an integer count since 1970-01-01 UTC."""
        return self.format in ("epoch_seconds", "epoch_milliseconds")

    @model_validator(mode="after")
    def _check_format(self) -> Datetime:
        if not self.is_epoch:
            parse_datetime_format(self.format)
        if len(set(self.numbers)) < len(self.numbers):
            raise ValueError(f"numbers names one twice: {', '.join(self.numbers)}")
        if (
            not self.numbers
            and "numeric" in self.model_fields_set
            and self.numeric != (NumericOptions(buckets=0))
        ):
            raise ValueError("numeric has an effect only with numbers")
        return self


def parse_datetime_format(pattern: str) -> tuple[dict[str, tuple[int, int]], int]:
    """Positions of the directives in a fixed-width datetime text.

    Returns:
        `{directive letter: (offset, width)}` and the total width.

    Raises:
        ValueError: a directive is unknown or stands twice, or the year is missing.

    >>> parse_datetime_format("%Y-%m-%d")
    ({'Y': (0, 4), 'm': (5, 2), 'd': (8, 2)}, 10)
    """
    widths = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
    positions: dict[str, tuple[int, int]] = {}
    offset = i = 0
    while i < len(pattern):
        if pattern[i] != "%":
            offset, i = offset + len(pattern[i].encode()), i + 1
            continue
        letter = pattern[i + 1 : i + 2]
        if letter not in widths or letter in positions:
            raise ValueError(
                f"datetime format {pattern!r}: directive %{letter} is not one of "
                f"{', '.join('%' + w for w in widths)}, or stands twice"
            )
        positions[letter] = (offset, widths[letter])
        offset, i = offset + widths[letter], i + 2
    if "Y" not in positions:
        raise ValueError(f"datetime format {pattern!r} has no %Y")
    return positions, offset
