"""Which encoder a column of the schema gets."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.bag_encoders import MultiHotEncoder, TextEncoder
from trainer.columns import (
    Boolean,
    Bucketized,
    Categorical,
    Column,
    Datetime,
    Geo,
    Identity,
    MultiHot,
    Numeric,
    Text,
    Vector,
)
from trainer.datetime_encoders import DatetimeEncoder
from trainer.encoders import Encoder
from trainer.geo_encoders import GeoEncoder
from trainer.id_encoders import (
    BooleanEncoder,
    CategoricalEncoder,
    IdentityEncoder,
)
from trainer.number_encoders import BucketizedEncoder, NumericEncoder
from trainer.statistics import TableStatistics
from trainer.vector_encoders import VectorEncoder


def build_encoder(
    name: str,
    column: Column,
    *,
    statistics: TableStatistics,
    default_dim: int | str,
    vocabulary: Sequence[str] = (),
) -> Encoder | None:
    """The encoder of a column, None for one that is no feature.

    Args:
        name: of the column.
        column: its options.
        statistics: of the training rows.
        default_dim: width of embeddings that do not state one, or auto.
        vocabulary: its tokens in the order of their ids (`vocabularies.read_vocabularies` and
            `choose_vocabulary`); unused where the schema names them, or hashes.

    Raises:
        UserError: the column has only missing values, its scale does not fit them, or the
            statistics are those of another schema.
    """
    match column:
        case Numeric():
            return NumericEncoder(name, column, statistics)
        case Vector():
            return VectorEncoder(name, column, statistics)
        case Geo():
            return GeoEncoder(name, column, statistics)
        case Bucketized():
            return BucketizedEncoder(name, column, statistics, default_dim)
        case Categorical():
            return CategoricalEncoder(name, column, vocabulary=vocabulary, default_dim=default_dim)
        case MultiHot():
            return MultiHotEncoder(
                name,
                column,
                vocabulary=vocabulary,
                statistics=statistics,
                default_dim=default_dim,
            )
        case Text():
            return TextEncoder(name, column, statistics, default_dim)
        case Identity():
            return IdentityEncoder(name, column, default_dim)
        case Boolean():
            return BooleanEncoder(name, column, default_dim)
        case Datetime():
            return DatetimeEncoder(name, column, default_dim, statistics)
    return None
