"""The kinds of column that a schema may declare, with their options.

The only module that knows which kinds of column exist. Imports neither TensorFlow nor Arrow.

Terms: a *raw column* is a field of the user's file; a *column* is what the schema declares over one
or more raw columns; a *feature* is one encoded id or number that the model reads.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainer.fields import Auto, Float, FloatList, Int, TextList

Tower = Literal["wide", "deep"]
RawType = Literal["float", "int", "string"]
DatePart = Literal["year", "month", "day_of_week", "hour", "minute_of_day"]
CyclicPart = Literal["month", "day_of_week", "hour", "minute_of_day"]
Distance = Literal["haversine", "manhattan", "bearing"]

# Ids that a date part can take; the missing id comes on top. Years are counted from FIRST_YEAR.
FIRST_YEAR = 1970
DATE_PART_SIZES: dict[str, int] = {
    "year": 131,
    "month": 12,
    "day_of_week": 7,
    "hour": 24,
    "minute_of_day": 1440,
}

# Ids are int32, and a part of the model stacks the ids of several columns in one table.
MOST_IDS = 2**30
# Of every model of the config: frozen, and an unknown key is an error.
STRICT = ConfigDict(frozen=True, extra="forbid")


class RawColumn(NamedTuple):
    """One field of the user's file and how it is read."""

    name: str
    dtype: RawType


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


class NumericOptions(BaseModel):
    """How one number enters the model; shared by numeric columns and by the distances of a geo."""

    model_config = STRICT

    scale: Literal["auto", "zscore", "minmax", "maxabs", "log", "log1p", "none"] = Field(
        "auto",
        description="Scaling of the number for the deep part. auto: log1p then z-score where the "
        "minimum is at least 0 and the maximum above 20 times the upper quartile, else z-score. "
        "log and log1p are followed by a z-score.",
    )
    clip: tuple[Float, Float] | None = Field(
        None, description="[low, high]: raw values outside are moved to the bound, before scaling."
    )
    missing: Literal["mean", "median", "constant", "indicator", "error"] = Field(
        "indicator",
        description="What replaces a missing value. indicator: the mean, and a 0/1 feature that "
        "says so; error: a missing value is a bad row.",
    )
    missing_value: Float = Field(0.0, description="Replacement under missing: constant.")
    piecewise_linear: Annotated[Int, Field(ge=0, le=256)] = Field(
        16,
        description="Bins of the piecewise-linear encoding in the deep part, on quantiles of the "
        "training data; 0 switches it off.",
    )
    buckets: Auto | Annotated[Int, Field(ge=0, le=4096)] = Field(
        "auto",
        description="Buckets for the wide part, for crosses and for the bucket embedding, on "
        "quantiles and quantiles of the distinct values. auto: 2^floor(log2(rows / 200)) within "
        "16..128; 0 switches them off.",
    )
    distinct_edges: bool = Field(
        True,
        description="Buckets also at quantiles of the distinct values, so that they do not "
        "collapse where one value fills many rows.",
    )
    wide_buckets: bool = Field(True, description="The wide part has a weight for each bucket.")
    embedding_dim: Auto | Annotated[Int, Field(ge=0, le=4096)] = Field(
        "auto",
        description="Width of the bucket embedding in the deep part. auto: 8 where one value fills "
        "20% of the rows or the scale is log1p, else none.",
    )
    indicators: bool = Field(
        True, description="0/1 features for zero, where zeros fill 2% to 98% of the rows."
    )

    @model_validator(mode="after")
    def _check_clip(self) -> NumericOptions:
        if self.clip is not None and self.clip[0] >= self.clip[1]:
            raise ValueError(f"clip must be [low, high] with low < high; received {self.clip}")
        return self


class Numeric(ColumnBase, NumericOptions):
    """A number: scaled, encoded piecewise-linearly, and bucketized."""

    kind: Literal["numeric"] = "numeric"


class Bucketized(IdColumn):
    """A number as the id of its bucket, e.g. for a cross with cells of its own."""

    kind: Literal["bucketized"] = "bucketized"
    edges: FloatList | None = Field(
        None, description="Increasing inner edges: n edges, n+1 buckets."
    )
    quantiles: Annotated[Int, Field(ge=2, le=4096)] | None = Field(
        None, description="Number of buckets of equal row count in the training data."
    )
    distinct_quantiles: Annotated[Int, Field(ge=2, le=4096)] | None = Field(
        None, description="Number of buckets of equal count of distinct training values."
    )

    @model_validator(mode="after")
    def _check_rule(self) -> Bucketized:
        given = [
            n for n in ("edges", "quantiles", "distinct_quantiles") if getattr(self, n) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of edges, quantiles, distinct_quantiles; received {given or 'none'}"
            )
        if self.edges is not None and (
            not self.edges or any(a >= b for a, b in zip(self.edges, self.edges[1:], strict=False))
        ):
            raise ValueError(f"edges must be increasing and not empty; received {list(self.edges)}")
        return self


class Categorical(IdColumn):
    """A string: the id of its token in a vocabulary, or of its hash bucket.

    Ids: 0 is missing (null or ''), then the out-of-vocabulary buckets, then the vocabulary.
    """

    kind: Literal["categorical"] = "categorical"
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
    def _check_source_of_ids(self) -> Categorical:
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


class Identity(IdColumn):
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

    @property
    def is_epoch(self) -> bool:
        """Whether the raw column is an integer count since 1970-01-01 UTC."""
        return self.format in ("epoch_seconds", "epoch_milliseconds")

    @model_validator(mode="after")
    def _check_format(self) -> Datetime:
        if not self.is_epoch:
            parse_datetime_format(self.format)
        return self


class Geo(ColumnBase):
    """Distances in kilometres from point to point and to landmarks; output o of `c` is `c.o`."""

    kind: Literal["geo"] = "geo"
    source: None = None
    from_point: tuple[str, str] = Field(
        description="[latitude, longitude] raw columns of the start."
    )
    to_point: tuple[str, str] = Field(description="[latitude, longitude] raw columns of the end.")
    distances: tuple[Distance, ...] = Field(
        ("haversine", "manhattan", "bearing"),
        description="haversine: great circle; manhattan: along two axes; bearing: sine and cosine "
        "of the initial course.",
    )
    grid_angle: Float = Field(
        0.0,
        description="Degrees clockwise from north of the street grid that manhattan follows "
        "(29 in Manhattan).",
    )
    landmarks: dict[str, tuple[Float, Float]] = Field(
        default_factory=dict,
        description="name: [latitude, longitude]; gives from_<name> and to_<name>, the haversine "
        "distance of the start and of the end to it.",
    )
    numeric: NumericOptions = Field(
        default_factory=lambda: NumericOptions(), description="How each distance enters the model."
    )

    @property
    def outputs(self) -> tuple[str, ...]:
        """Suffixes of the numbers that it makes, in their order."""
        plain = [d for d in self.distances if d != "bearing"]
        course = ["bearing_sin", "bearing_cos"] if "bearing" in self.distances else []
        named = [f"{end}_{name}" for name in self.landmarks for end in ("from", "to")]
        return (*plain, *course, *named)


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
    | Bucketized
    | Categorical
    | Identity
    | Boolean
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
