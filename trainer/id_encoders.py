"""Encoders of ids: categorical, boolean and identity columns, and crosses.

Axes: B batch, V vocabulary, X crosses.
"""

from __future__ import annotations

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
    embedding_options,
    id_feature,
    integer_tensor,
    remembered,
    take_decoded,
    to_integers,
)
from trainer.schema import Cross
from trainer.transforms import combine_ids, mix_ids
from trainer.vocabularies import Vocabulary, string_table

FALSE_TEXTS = ("false", "no", "f", "n", "0")
TRUE_TEXTS = ("true", "yes", "t", "y", "1")


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
    """The ids of a vocabulary."""

    def __init__(
        self,
        name: str,
        column: Categorical,
        *,
        vocabulary: Sequence[str],
        default_dim: int | str,
    ):
        """Take the tokens in the order of their ids; unused if the column has or hashes them."""
        super().__init__(name, column.source or name)
        self.vocabulary = Vocabulary(column, vocabulary)
        self.id_features = [
            id_feature(name, self.vocabulary.size, default=default_dim, **embedding_options(column))
        ]

    def ids_of(self, text_V: tf.Tensor) -> tf.Tensor:
        """(V,) int32 ids of (V,) strings; '' is missing."""
        return self.vocabulary.ids_of(text_V)

    def tokens(self) -> Sequence[str]:
        """The vocabulary."""
        return self.vocabulary.tokens.tolist()

    def describe(self) -> list[str]:
        """Sizes of the parts of the id space."""
        return [describe_ids(self.id_features[0], self.vocabulary.describe())]


class BooleanEncoder(TextEncoder):
    """Ids: 0 missing or neither, 1 false, 2 true."""

    def __init__(self, name: str, column: Boolean, default_dim: int | str):
        """Nothing is learned from the data."""
        super().__init__(name, column.source or name)
        ids = [1] * len(FALSE_TEXTS) + [2] * len(TRUE_TEXTS)
        self._table = string_table((*FALSE_TEXTS, *TRUE_TEXTS), ids)
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

    def tokens(self) -> Sequence[str]:
        """Of the ids 1 and 2."""
        return ("false", "true")

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
            id_feature(name, column.size + 1, default=default_dim, **embedding_options(column))
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

    def tokens(self) -> Sequence[str]:
        """Its values."""
        return [str(value) for value in range(self._size)]

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
