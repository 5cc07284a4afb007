"""The features of a schema: raw columns to ids and numbers, the same in training and in serving.

The upper half of the data's way: `encoders.py` and its neighbours know the single kinds of column,
here they are put together.

Axes: B batch, C columns of ids, F id features, N numbers.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import tensorflow as tf

from trainer.column_encoders import build_encoder
from trainer.columns import (
    Geo,
    VocabularyColumn,
)
from trainer.encoders import IdFeature, NumberFeature
from trainer.errors import UserError
from trainer.geo_encoders import geo_outputs
from trainer.id_encoders import CrossEncoder, encode_crosses
from trainer.initial_rows import TrainedColumn, initial_rows
from trainer.number_bank import NumberBank
from trainer.schema import Schema
from trainer.statistics import TableStatistics
from trainer.vocabularies import choose_vocabulary

_TENSOR_TYPES = {"vector": tf.float32, "float": tf.float32, "int": tf.int64, "string": tf.string}


@dataclass(frozen=True)
class FeatureLayout:
    """The features in the order of the encoded columns.

    initial: (V, E) float32 rows that embeddings begin with, by feature; the others are drawn.
    """

    ids: tuple[IdFeature, ...]
    numbers: tuple[NumberFeature, ...]
    initial: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)

    @property
    def num_ids(self) -> int:
        """Columns of ids in a row."""
        return sum(feature.slots for feature in self.ids)

    @property
    def placed_ids(self) -> list[tuple[int, IdFeature]]:
        """Each id feature behind the first column of its ids."""
        ends = itertools.accumulate((feature.slots for feature in self.ids), initial=0)
        return list(zip(ends, self.ids, strict=False))


class Encoded(NamedTuple):
    """(B, C) int32 ids and (B, N) float32 numbers, never NaN; tensors, or arrays of a block."""

    ids: Any
    numbers: Any


def geo_numbers(schema: Schema, raw: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Numbers that geo columns make, (B,) float32 by feature name; NaN where one is missing.

    Args:
        schema: says which.
        raw: the raw columns in degrees, (B,) float32.
    """
    numbers: dict[str, tf.Tensor] = {}
    for name, column in schema.of_kind(Geo).items():
        points = [tf.convert_to_tensor(raw[n]) for n in (*column.from_point, *column.to_point)]
        outputs = geo_outputs(column, *points)
        numbers |= {f"{name}.{o}": v for o, v in zip(column.outputs, outputs, strict=True)}
    return numbers


class FeatureEncoder(tf.Module):
    """Raw columns to encoded features.

    `encoder(raw)` is `encode(decode(raw))` and part of the exported model; `encode_block` gives
    the same numbers for a block of Arrow columns.
    """

    def __init__(
        self,
        schema: Schema,
        statistics: TableStatistics,
        default_embedding_dim: int | str = "auto",
        vocabularies: Mapping[str, tuple[str, ...]] | None = None,
        sources: Mapping[str, TrainedColumn] = MappingProxyType({}),
    ):
        """Fix every feature.

        Args:
            schema: the columns and crosses.
            statistics: of the training rows; numbers and tokens by raw column, and the numbers of
                geo columns by feature name.
            default_embedding_dim: width where a column says auto; auto: the fourth root of the
                number of ids.
            vocabularies: tokens of the columns with a vocabulary_file
                (`vocabularies.read_vocabularies`).
            sources: what the columns with init_from begin with
                (`trained_embeddings.read_sources`); may be left out where no network is built.

        Raises:
            UserError: a column has only missing values, its scale does not fit, the statistics are
                not of this schema, or two features have one name.
        """
        super().__init__()
        if not statistics.num_rows:
            raise UserError(
                "the training data has no usable row, or all have weight 0; a feature needs some"
            )
        tokens: dict[str, Sequence[str]] = dict(vocabularies or {})
        for name, column in schema.of_kind(VocabularyColumn).items():
            if column.needs_counts:
                tokens[name] = choose_vocabulary(schema.sharing(name), statistics)
        encoders = [
            build_encoder(
                name,
                _of_source_width(name, column, sources[name]) if name in sources else column,
                statistics=statistics,
                default_dim=default_embedding_dim,
                vocabulary=tokens.get(name, ()),
            )
            for name, column in schema.columns.items()
        ]
        self.encoders = [encoder for encoder in encoders if encoder is not None]
        self._numbers = NumberBank([n for encoder in self.encoders for n in encoder.numbers])
        id_features = [f for encoder in self.encoders for f in encoder.id_features]
        by_name = {feature.name: feature for feature in id_features}
        self.crosses = [
            CrossEncoder(cross, [by_name[n] for n in cross.columns], default_embedding_dim)
            for cross in schema.crosses
        ]
        id_features += [cross.feature for cross in self.crosses]
        number_features = [f for encoder in self.encoders for f in encoder.number_features]
        _check_unique([f.name for f in id_features])
        _check_unique([f.name for f in number_features])
        self.layout = FeatureLayout(
            ids=tuple(f for f in id_features if f.wide or f.embedding_dim),
            numbers=tuple(f for f in number_features if f.wide or f.deep),
            initial={
                f.name: initial_rows(f.name, encoder, sources[f.name])
                for encoder in self.encoders
                for f in encoder.id_features
                if f.name in sources
            },
        )
        self.serving_inputs = {
            raw.name: tf.TensorSpec(
                [None, raw.size] if raw.size else [None], _TENSOR_TYPES[raw.dtype], raw.name
            )
            for raw in schema.feature_inputs
        }
        self._compiled = _CompiledEncode(self)

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> Encoded:
        """Encoded raw columns; `raw` as `serving_inputs`.

        Missing is NaN for a number, -2^63 for an integer, '' for a text.
        """
        return self.encode(self.decode(raw))

    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The work on strings: texts to int32 ids, dates to int64 seconds, numbers as they are."""
        decoded: dict[str, tf.Tensor] = {}
        for encoder in self.encoders:
            decoded |= encoder.decode(raw)
        return decoded

    def encode(self, decoded: Mapping[str, tf.Tensor]) -> Encoded:
        """Encoded features of what `decode` gave."""
        ids_CB, numbers_NB = self.encode_as_rows(decoded)
        return Encoded(tf.transpose(ids_CB), tf.transpose(numbers_NB))

    def encode_as_rows(self, decoded: Mapping[str, tf.Tensor]) -> Encoded:
        """As `encode`, but (C, B) and (N, B)."""
        values = [v for encoder in self.encoders for v in encoder.values(decoded)]
        features = self._numbers.encode(values)
        for encoder in self.encoders:
            features.update(encoder.encode(decoded))
        features.ids |= encode_crosses(self.crosses, features.ids)
        ids = [features.ids[f.name] for f in self.layout.ids]
        numbers = [features.numbers[f.name] for f in self.layout.numbers]
        num_rows = tf.shape(next(iter(decoded.values())))[0]
        return Encoded(
            _stack_ids(ids) if ids else tf.zeros((0, num_rows), tf.int32),
            tf.stack(numbers) if numbers else tf.zeros((0, num_rows), tf.float32),
        )

    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """As `decode`, from Arrow columns: texts are decoded once for each distinct one."""
        decoded: dict[str, Any] = {}
        for encoder in self.encoders:
            decoded |= encoder.decode_block(columns)
        return decoded

    def encode_block(self, columns: Mapping[str, pa.Array]) -> Encoded:
        """As `__call__`, from Arrow columns to numpy arrays (transposed in memory)."""
        return self.encode_decoded(self.decode_block(columns))

    def encode_decoded(self, decoded: Mapping[str, Any]) -> Encoded:
        """The second half of `encode_block`: of what `decode_block` gave."""
        return self._compiled(decoded)

    def describe(self) -> list[str]:
        """One line per feature: ids, width, scale, bounds; for the start log."""
        lines = [line for encoder in self.encoders for line in encoder.describe()]
        return lines + [cross.describe() for cross in self.crosses]


def _stack_ids(ids: Sequence[tf.Tensor]) -> tf.Tensor:
    """(C, B) of (B,) ids and, where a row has several of a feature, (B, S)."""
    if all(part.shape.rank == 1 for part in ids):
        return tf.stack(ids)
    rows = [tf.transpose(p) if p.shape.rank == 2 else p[tf.newaxis] for p in ids]
    return tf.concat(rows, axis=0)


def _of_source_width(name: str, column: Any, source: TrainedColumn) -> Any:
    """The column with the width of the embedding that it begins with."""
    width = source.rows.shape[1]
    if column.embedding_dim not in ("auto", width):
        raise UserError(
            f"columns.{name}.embedding_dim is {column.embedding_dim}, {source.origin} has {width}; "
            "with init_from they must be equal. Leave embedding_dim out"
        )
    return column.model_copy(update={"embedding_dim": width})


class _CompiledEncode:
    """`FeatureEncoder.encode` as one graph for any number of rows.

    Not a tf.Module: the graph of training is no part of the exported model. Any number of threads
    may call it.
    """

    def __init__(self, encoder: FeatureEncoder):
        self._encoder = encoder
        self._function: Any = None
        self._lock = threading.Lock()

    def __call__(self, decoded: Mapping[str, Any]) -> Encoded:
        """Encoded features of what `decode_block` gave."""
        tensors = {name: tf.convert_to_tensor(values) for name, values in decoded.items()}
        with self._lock:
            if self._function is None:
                # Rows of features, for a feature is written at once; columns would be scattered.
                function = tf.function(self._encoder.encode_as_rows, autograph=False)
                specs = {
                    name: tf.TensorSpec([None, *t.shape[1:]], t.dtype, name)
                    for name, t in tensors.items()
                }
                self._function = function.get_concrete_function(specs)
        ids, numbers = self._function(tensors)
        return Encoded(ids.numpy().T, numbers.numpy().T)


def _check_unique(names: list[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"two features have the name {name!r}; rename a column")
