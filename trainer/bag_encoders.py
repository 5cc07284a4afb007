"""Encoders of columns with several ids in a row: tags and texts.

Ids are (B, S): those of the row, then 0. A row without any value has 0 in all slots, missing.
Axes: B batch, V distinct texts, S slots.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import tensorflow as tf

from trainer.bag_columns import MOST_AUTO_TOKENS, MOST_AUTO_VALUES
from trainer.bags import BagReader, split_ngrams, split_values, to_slots
from trainer.columns import BagColumn, MultiHot, Text
from trainer.encoders import (
    Encoder,
    Features,
    describe_ids,
    embedding_options,
    id_feature,
)
from trainer.errors import UserError
from trainer.statistics import BagStatistics, TableStatistics
from trainer.tallies import Bag
from trainer.vocabularies import Vocabulary

logger = logging.getLogger(__name__)


class BagEncoder(Encoder):
    """A column of texts that are split; decoding gives the ids."""

    def __init__(self, name: str, raw: str):
        """Name the column and the raw column that it reads."""
        super().__init__()
        self._column, self._raw = name, raw
        self._reader = BagReader(self.ids_of)

    @abstractmethod
    def ids_of(self, text_V: tf.Tensor) -> tf.Tensor:
        """(V, S) int32 ids of (V,) strings."""

    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The (B, S) int32 ids."""
        return {self._column: self.ids_of(raw[self._raw])}

    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """The (B, S) int32 ids, computed once for each distinct text."""
        return {self._column: self._reader.slots(columns[self._raw])}

    def encode(self, decoded: Mapping[str, tf.Tensor]) -> Features:
        """The ids."""
        return Features(ids={self._column: decoded[self._column]})


class MultiHotEncoder(BagEncoder):
    """Ids of the values as of a category."""

    def __init__(
        self,
        name: str,
        column: MultiHot,
        *,
        vocabulary: Sequence[str],
        statistics: TableStatistics,
        default_dim: int | str,
    ):
        """Take the tokens in the order of their ids; unused if the column has or hashes them.

        Raises:
            UserError: the statistics lack the column, or every value of it is missing.
        """
        super().__init__(name, column.source or name)
        self.vocabulary = Vocabulary(column, vocabulary)
        self._delimiter = column.delimiter
        self._num_slots = _num_slots(
            name, column.max_values, MOST_AUTO_VALUES, "max_values", statistics
        )
        self.id_features = [
            id_feature(
                name,
                self.vocabulary.size,
                default=default_dim,
                slots=self._num_slots,
                combiner=column.combiner,
                **embedding_options(column),
            )
        ]

    def ids_of(self, text_V: tf.Tensor) -> tf.Tensor:
        """(V, S) int32 ids of (V,) strings."""
        values = split_values(text_V, self._delimiter)
        ids = self.vocabulary.ids_of(values.flat_values)
        return to_slots(values.with_flat_values(ids), self._num_slots)

    def tokens(self) -> Sequence[str]:
        """The vocabulary."""
        return self.vocabulary.tokens.tolist()

    def describe(self) -> list[str]:
        """Sizes of the parts of the id space, and the slots."""
        return [describe_ids(self.id_features[0], self.vocabulary.describe())]


class TextEncoder(BagEncoder):
    """Hashed n-grams: ids 1 to the number of buckets."""

    def __init__(
        self, name: str, column: Text, statistics: TableStatistics, default_dim: int | str
    ):
        """Take the number of slots from the training rows.

        Raises:
            UserError: the statistics lack the column, or no row has a word.
        """
        super().__init__(name, column.source or name)
        self._ngrams, self._num_buckets = column.ngrams, column.hash_buckets
        self._num_slots = _num_slots(
            name, column.max_tokens, MOST_AUTO_TOKENS, "max_tokens", statistics
        )
        self.id_features = [
            id_feature(
                name,
                1 + self._num_buckets,
                towers=column.towers,
                embedding_dim=column.embedding_dim,
                default=default_dim,
                slots=self._num_slots,
                combiner=column.combiner,
            )
        ]

    def ids_of(self, text_V: tf.Tensor) -> tf.Tensor:
        """(V, S) int32 ids of (V,) strings."""
        tokens = split_ngrams(text_V, self._ngrams)
        hashed = tf.strings.to_hash_bucket_fast(tokens.flat_values, self._num_buckets)
        return to_slots(tokens.with_flat_values(1 + hashed), self._num_slots)

    def describe(self) -> list[str]:
        """The hash buckets and the slots."""
        origin = f"missing, {self._num_buckets} hash buckets of 1- to {self._ngrams}-grams"
        return [describe_ids(self.id_features[0], origin)]


class BagSplitter:
    """The bag of a column as statistics count it; any number of threads may ask."""

    def __init__(self, name: str, column: BagColumn):
        """Take the column's way of splitting."""
        self._raw = column.source or name
        self._has_values = isinstance(column, MultiHot) and column.needs_counts
        if isinstance(column, MultiHot):
            self._reader = BagReader(lambda text_V: split_values(text_V, column.delimiter))
        else:
            self._reader = BagReader(lambda text_V: split_ngrams(text_V, column.ngrams))

    def __call__(self, columns: Mapping[str, pa.Array]) -> Bag:
        """Of the raw columns of a block."""
        return self._reader.bag(columns[self._raw], self._has_values)


def _num_slots(
    name: str, wanted: int | str, most_auto: int, option: str, statistics: TableStatistics
) -> int:
    """Slots of a column; warns of the rows that have more values."""
    found: BagStatistics | None = statistics.bags.get(name)
    if found is None:
        raise UserError(
            f"the statistics have no values of {name!r}; data.statistics_path was written for "
            "another schema. Leave it out to compute them"
        )
    longest = len(found.lengths) - 1
    if longest < 1:
        raise UserError(
            f"every training value of {name!r} is missing; a feature needs some. Check "
            "data.column_names and data.null_values, or drop the column"
        )
    num_slots = min(longest, most_auto) if wanted == "auto" else int(wanted)
    num_cut = sum(found.lengths[num_slots + 1 :])
    if num_cut:
        logger.warning(
            "%s: %d of %d training rows have more than %d values, of which only the first are "
            "read; raise %s to read them all",
            name,
            num_cut,
            sum(found.lengths),
            num_slots,
            option,
        )
    return num_slots
