"""Vocabularies: which tokens have an id of their own, and the id of any token.

Imports statistics, columns, storage and TensorFlow; knows no encoder. Axes: V tokens.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer import storage
from trainer.columns import MultiHot, VocabularyColumn
from trainer.errors import UserError
from trainer.schema import Schema
from trainer.statistics import TableStatistics

logger = logging.getLogger(__name__)

# A token enters a vocabulary with that many rows, or that share of all rows, but no table is so
# small that more than a hundredth of it is asked for. Source: recipe R*, November 2026.
MIN_ROWS, MIN_ROWS_SHARE, MAX_ROWS_SHARE = 10, 1 / 5000, 1 / 100


class Vocabulary(tf.Module):
    """Ids of tokens: 0 missing, then the out-of-vocabulary buckets, then the tokens.

    With hash_buckets there are only these, in the place of the out-of-vocabulary buckets.
    """

    def __init__(self, column: VocabularyColumn, tokens: Sequence[str]):
        """Take the tokens in the order of their ids; unused if the column has or hashes them."""
        super().__init__()
        chosen = () if column.hash_buckets else column.vocabulary or tokens
        # Not a tuple, which TensorFlow would go through in search of variables.
        self.tokens = np.array(chosen, object)
        self.num_buckets = column.hash_buckets or column.oov_buckets
        self.size = 1 + self.num_buckets + len(self.tokens)
        self._table = None
        if len(self.tokens):
            self._table = string_table(list(self.tokens), range(1 + self.num_buckets, self.size))

    def ids_of(self, token_V: tf.Tensor) -> tf.Tensor:
        """(V,) int32 ids of (V,) strings; '' is missing."""
        hashed = tf.strings.to_hash_bucket_fast(token_V, self.num_buckets)
        ids = 1 + tf.cast(hashed, tf.int32)
        if self._table is not None:
            found = self._table.lookup(token_V)
            ids = tf.where(found >= 0, found, ids)
        return tf.where(tf.equal(token_V, ""), tf.zeros_like(ids), ids)

    def describe(self) -> str:
        """Sizes of the parts of the id space."""
        return f"missing, {self.num_buckets} hash buckets, {len(self.tokens)} tokens"


def string_table(keys: Sequence[str], ids: Sequence[int]) -> tf.lookup.StaticHashTable:
    """Ids of texts; -1 for any other. The keys are saved inside the SavedModel's graph."""
    initializer = tf.lookup.KeyValueTensorInitializer(
        tf.constant(list(keys), tf.string), tf.constant(list(ids), tf.int32)
    )
    return tf.lookup.StaticHashTable(initializer, default_value=-1)


def choose_vocabulary(
    columns: Mapping[str, VocabularyColumn], statistics: TableStatistics
) -> list[str]:
    """Tokens of a vocabulary made from the training rows, most frequent first.

    Args:
        columns: one by its name, or those of a shared embedding, whose values count together.
        statistics: of the training rows.

    Raises:
        UserError: the statistics lack a column, or every value of all of them is missing.
    """
    counted = [_counts_of(name, column, statistics) for name, column in columns.items()]
    pairs = counted[0] if len(counted) == 1 else _added_up(counted)
    names = " and ".join(repr(column.source or name) for name, column in columns.items())
    if not pairs:
        raise UserError(
            f"every training value of {names} is missing; a feature needs some. Check "
            "data.column_names and data.null_values, or drop the column"
        )
    column = next(iter(columns.values()))
    least: float = column.min_frequency if column.min_frequency != "auto" else 0
    if column.min_frequency == "auto":
        num_rows = statistics.num_rows
        least = min(max(MIN_ROWS, num_rows * MIN_ROWS_SHARE), num_rows * MAX_ROWS_SHARE)
    tokens = [token for token, count in pairs if count >= least][: column.top_k]
    if not tokens:
        name = ", ".join(columns)
        logger.warning(
            "%s: no value stands in %d rows or more, so all are out of vocabulary: if it names the "
            "rows, its kind is key; else set min_frequency or hash_buckets",
            *(name, math.ceil(least)),
        )
    return tokens


def _counts_of(
    name: str, column: VocabularyColumn, statistics: TableStatistics
) -> Sequence[tuple[str, int]]:
    """Tokens with their counts, by count, falling, then by token."""
    raw = column.source or name
    if isinstance(column, MultiHot) and name in statistics.bags:
        return statistics.bags[name].tokens
    if isinstance(column, MultiHot) or raw not in statistics.tokens:
        raise UserError(
            f"the statistics have no tokens of {raw!r}; data.statistics_path was written for "
            "another schema. Leave it out to compute them"
        )
    return statistics.tokens[raw]


def _added_up(counted: Sequence[Sequence[tuple[str, int]]]) -> list[tuple[str, int]]:
    sums: Counter[str] = Counter()
    for pairs in counted:
        for token, count in pairs:
            sums[token] += count
    return sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))


def read_vocabularies(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Tokens of the columns with a vocabulary_file, one a line, blank lines left out.

    Raises:
        UserError: a file is absent, has no token, or has one twice.
    """
    vocabularies: dict[str, tuple[str, ...]] = {}
    for name, column in schema.of_kind(VocabularyColumn).items():
        if column.vocabulary_file is None:
            continue
        lines = storage.read_text(column.vocabulary_file).splitlines()
        tokens = [line for line in lines if line]
        where = f"columns.{name}.vocabulary_file: {column.vocabulary_file}"
        if not tokens:
            raise UserError(f"{where} has no token; expected one a line")
        twice = next((token for token, count in Counter(tokens).items() if count > 1), None)
        if twice is not None:
            raise UserError(f"{where} has {twice!r} twice; a token has one id. Drop one line")
        vocabularies[name] = tuple(tokens)
    return vocabularies
