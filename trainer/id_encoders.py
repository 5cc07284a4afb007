"""Encoders of ids: categorical, boolean and identity columns, and crosses.

Axes: B batch, V vocabulary, X crosses.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from trainer.columns import Boolean, Categorical, Identity
from trainer.encoders import (
    Encoder,
    Features,
    IdFeature,
    describe_ids,
    id_feature,
    integer_tensor,
    remembered,
    take_decoded,
    to_integers,
)
from trainer.errors import UserError
from trainer.schema import Cross
from trainer.statistics import TableStatistics
from trainer.transforms import combine_ids, mix_ids

logger = logging.getLogger(__name__)

FALSE_TEXTS = ("false", "no", "f", "n", "0")
TRUE_TEXTS = ("true", "yes", "t", "y", "1")
# A token enters a vocabulary with that many rows, or that share of all rows, but no table is so
# small that more than a hundredth of it is asked for. Source: recipe R*, November 2026.
MIN_ROWS, MIN_ROWS_SHARE, MAX_ROWS_SHARE = 10, 1 / 5000, 1 / 100


def choose_vocabulary(name: str, column: Categorical, statistics: TableStatistics) -> list[str]:
    """Tokens of a vocabulary made from the training rows, most frequent first.

    Raises:
        UserError: the statistics lack the column, or every value of it is missing.
    """
    raw = column.source or name
    if raw not in statistics.tokens:
        raise UserError(
            f"the statistics have no tokens of {raw!r}; data.statistics_path was written for "
            "another schema. Leave it out to compute them"
        )
    pairs = statistics.tokens[raw]
    if not pairs:
        raise UserError(
            f"every training value of {raw!r} is missing; a feature needs some. Check "
            "data.column_names and data.null_values, or drop the column"
        )
    least: float = column.min_frequency if column.min_frequency != "auto" else 0
    if column.min_frequency == "auto":
        num_rows = statistics.num_rows
        least = min(max(MIN_ROWS, num_rows * MIN_ROWS_SHARE), num_rows * MAX_ROWS_SHARE)
    tokens = [token for token, count in pairs if count >= least][: column.top_k]
    if not tokens:
        logger.warning("%s: no token has %g rows, so all are out of vocabulary", name, least)
    return tokens


class TextEncoder(Encoder):
    """A column of texts whose decoding gives the id."""

    def __init__(self, name: str, raw: str):
        """Name the column and the raw column that it reads."""
        super().__init__()
        self._column, self._raw = name, raw
        self._memory = remembered(self.ids_of, np.int32)

    @abstractmethod
    def ids_of(self, text_V: tf.Tensor) -> tf.Tensor:
        """(V,) int32 ids of (V,) strings; '' is missing."""

    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The (B,) int32 ids."""
        return {self._column: self.ids_of(raw[self._raw])}

    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """The (B,) int32 ids, computed once for each distinct text."""
        return {self._column: take_decoded(columns[self._raw], self._memory, missing=0)}

    def encode(self, decoded: Mapping[str, tf.Tensor]) -> Features:
        """The id."""
        return Features(ids={self._column: decoded[self._column]})


class CategoricalEncoder(TextEncoder):
    """Ids: 0 missing, then the out-of-vocabulary buckets, then the vocabulary; or hash buckets."""

    def __init__(
        self,
        name: str,
        column: Categorical,
        *,
        vocabulary: Sequence[str],
        default_dim: int | str,
    ):
        """Take the tokens in the order of their ids; unused with hash_buckets."""
        super().__init__(name, column.source or name)
        self._hash_buckets = column.hash_buckets or column.oov_buckets
        self._vocabulary_size = len(vocabulary)
        self._table = None
        if vocabulary:
            first = 1 + self._hash_buckets
            self._table = _string_table(vocabulary, range(first, first + len(vocabulary)))
        self.id_features = [
            id_feature(
                name,
                1 + self._hash_buckets + len(vocabulary),
                towers=column.towers,
                embedding_dim=column.embedding_dim,
                default=default_dim,
            )
        ]

    def ids_of(self, text_V: tf.Tensor) -> tf.Tensor:
        """(V,) int32 ids of (V,) strings; '' is missing."""
        hashed = tf.strings.to_hash_bucket_fast(text_V, self._hash_buckets)
        ids = 1 + tf.cast(hashed, tf.int32)
        if self._table is not None:
            found = self._table.lookup(text_V)
            ids = tf.where(found >= 0, found, ids)
        return tf.where(tf.equal(text_V, ""), tf.zeros_like(ids), ids)

    def describe(self) -> list[str]:
        """Sizes of the parts of the id space."""
        origin = f"missing, {self._hash_buckets} hash buckets, {self._vocabulary_size} tokens"
        return [describe_ids(self.id_features[0], origin)]


class BooleanEncoder(TextEncoder):
    """Ids: 0 missing or neither, 1 false, 2 true."""

    def __init__(self, name: str, column: Boolean, default_dim: int | str):
        """Nothing is learned from the data."""
        super().__init__(name, column.source or name)
        ids = [1] * len(FALSE_TEXTS) + [2] * len(TRUE_TEXTS)
        self._table = _string_table((*FALSE_TEXTS, *TRUE_TEXTS), ids)
        self.id_features = [
            id_feature(
                name,
                3,
                towers=column.towers,
                embedding_dim=column.embedding_dim,
                default=default_dim,
            )
        ]

    def ids_of(self, text_V: tf.Tensor) -> tf.Tensor:
        """(V,) int32 ids of (V,) strings."""
        return tf.maximum(self._table.lookup(tf.strings.lower(text_V)), 0)

    def describe(self) -> list[str]:
        """Its three ids."""
        return [describe_ids(self.id_features[0], "missing, false, true")]


class IdentityEncoder(Encoder):
    """Ids: 0 missing, negative or too large, else value + 1."""

    def __init__(self, name: str, column: Identity, default_dim: int | str):
        """Nothing is learned from the data."""
        super().__init__()
        self._column, self._raw = name, column.source or name
        self._size = column.size
        self.id_features = [
            id_feature(
                name,
                column.size + 1,
                towers=column.towers,
                embedding_dim=column.embedding_dim,
                default=default_dim,
            )
        ]

    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The (B,) int64 values."""
        return {self._column: integer_tensor(raw[self._raw])}

    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """The (B,) int64 values."""
        return {self._column: to_integers(columns[self._raw])}

    def encode(self, decoded: Mapping[str, tf.Tensor]) -> Features:
        """The id."""
        values = decoded[self._column]
        is_valid = (values >= 0) & (values < self._size)
        ids = tf.cast(tf.where(is_valid, values + 1, tf.zeros_like(values)), tf.int32)
        return Features(ids={self._column: ids})

    def describe(self) -> list[str]:
        """The range of its values."""
        return [describe_ids(self.id_features[0], f"missing, 0 to {self._size - 1}")]


class CrossEncoder:
    """The id of a combination of ids; `encode_crosses` computes it."""

    def __init__(self, cross: Cross, members: Sequence[IdFeature], default_dim: int | str):
        """Take the features of `cross.columns`, in that order."""
        self.columns, self.bins = cross.columns, cross.bins
        self.sizes = [member.size for member in members]
        self._combinations = np.prod(self.sizes, dtype=np.float64)
        # Where every combination has its own id, no more are needed.
        self.is_exact = bool(self._combinations <= cross.bins)
        self.feature = id_feature(
            cross.name,
            int(min(self._combinations, cross.bins)),
            towers=cross.towers,
            embedding_dim=cross.embedding_dim,
            default=default_dim,
        )

    def describe(self) -> str:
        """Whether it is exact, and of how many combinations."""
        how = "exact" if self.is_exact else "hashed"
        return describe_ids(self.feature, f"{how}, {self._combinations:.0f} combinations")


def encode_crosses(
    crosses: Sequence[CrossEncoder], ids: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """(B,) int32 ids of crosses by feature name; those of equally many columns at once.

    Args:
        crosses: exact where the combinations fit into the bins, else hashed.
        ids: (B,) int32 of all columns by feature name.
    """
    groups: dict[tuple[int, bool], list[CrossEncoder]] = {}
    for cross in crosses:
        groups.setdefault((len(cross.columns), cross.is_exact), []).append(cross)
    encoded: dict[str, tf.Tensor] = {}
    for (_, is_exact), group in groups.items():
        columns = zip(*(cross.columns for cross in group), strict=True)
        parts = [tf.stack([ids[name] for name in names]) for names in columns]
        if is_exact:
            sizes = np.array([cross.sizes for cross in group], np.int32).T[:, :, np.newaxis]
            ids_XB = combine_ids(parts, list(sizes))
        else:
            ids_XB = mix_ids(parts, [[cross.bins] for cross in group])
        names = [cross.feature.name for cross in group]
        encoded |= dict(zip(names, tf.unstack(ids_XB, num=len(group)), strict=True))
    return encoded


def _string_table(keys: Sequence[str], ids: Sequence[int]) -> tf.lookup.StaticHashTable:
    """Ids of texts; -1 for any other. The keys are saved inside the SavedModel's graph."""
    initializer = tf.lookup.KeyValueTensorInitializer(
        tf.constant(list(keys), tf.string), tf.constant(list(ids), tf.int32)
    )
    return tf.lookup.StaticHashTable(initializer, default_value=-1)
