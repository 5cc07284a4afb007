"""The kinds of column that are numbers, with their options.

Imports neither TensorFlow nor Arrow. The terms are those of `column_base.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from trainer.column_base import STRICT, ColumnBase, IdColumn
from trainer.fields import Auto, Float, FloatList, Int

Distance = Literal["haversine", "manhattan", "bearing"]
Scale = Literal["auto", "zscore", "minmax", "maxabs", "log", "log1p", "none"]


class NumericOptions(BaseModel):
    """How one number enters the model; shared by numeric columns and by the distances of a geo."""

    model_config = STRICT

    scale: Scale = Field(
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


class Vector(ColumnBase, NumericOptions):
    """A list of `size` numbers, such as an embedding; number i of `c` is `c.i`, from 0 on."""

    kind: Literal["vector"] = "vector"
    size: Annotated[Int, Field(ge=1, le=65_536)] = Field(
        description="Numbers of each row; a row with more or fewer is a bad row."
    )
    scale: Scale = Field(
        "zscore", description="Scaling of each number by its own statistics, as of a numeric."
    )
    piecewise_linear: Annotated[Int, Field(ge=0, le=256)] = Field(
        0, description="Bins of the piecewise-linear encoding of each number; 0: none."
    )
    buckets: Auto | Annotated[Int, Field(ge=0, le=4096)] = Field(
        0, description="Buckets of each number for the wide part; 0: none."
    )
    indicators: bool = Field(False, description="0/1 features for zeros of each number.")


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
