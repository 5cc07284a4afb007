"""The rows of a config's data as plain numbers and codes: what a model without our encoders reads.

No scaling, no buckets, no vocabulary limits: boosted trees and linear models make their own. A
code is the number of a category in the order of its first training row. Of a column of several
values, each of the most frequent ones is a column of 0 and 1; of a text, each of its words.

Axes: B rows of a block, R rows, C columns, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from trainer.bags import split_ngrams, split_values
from trainer.blocks import DataPart
from trainer.columns import (
    Boolean,
    Bucketized,
    Categorical,
    Datetime,
    Geo,
    Identity,
    MultiHot,
    Numeric,
    Text,
    Vector,
)
from trainer.datetime_encoders import DatetimeSeconds
from trainer.encoders import to_floats
from trainer.features import geo_numbers
from trainer.schema import Schema
from trainer.transforms import MISSING_TIME, date_part
from trainer.vectors import vector_numbers

_DATE_PARTS = ("month", "day_of_week", "hour")
_SECONDS_PER_DAY = 86_400.0
# Tokens of a column of several values that become columns; more would fill the memory.
_MOST_TOKENS = 256


class PlainTable(NamedTuple):
    """One part of the data.

    values: (R, C) float64, NaN where missing; categories as codes, NaN where training has not seen
    them. label, weight: (R,) float32. names: of the columns. is_category: (C,) bools.
    """

    values: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    names: tuple[str, ...]
    is_category: tuple[bool, ...]


@dataclass
class PlainReader:
    """Parts of the data as plain tables; the first one read sets the codes."""

    schema: Schema
    _codes: dict[str, dict[Any, int]] = field(default_factory=dict)
    _tokens: dict[str, list[bytes]] = field(default_factory=dict)
    _is_open: bool = True

    def read(self, part: DataPart) -> PlainTable:
        """The rows of a part, in file order. Read the training rows first."""
        pieces: list[dict[str, np.ndarray]] = []
        bags: list[dict[str, tf.RaggedTensor]] = []
        labels, weights = [], []
        for block in part.blocks():
            if block.num_rows:
                pieces.append(self._columns(block.columns))
                bags.append(_bags(self.schema, block.columns))
                labels.append(part.labels(block)[:, 0])
                weights.append(part.weight(block))
        columns = {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}
        for name in bags[0]:
            columns |= self._flags(name, tf.concat([bag[name] for bag in bags], axis=0))
        self._is_open = False
        names = tuple(columns)
        values = np.column_stack([columns[name] for name in names])
        return PlainTable(
            values,
            np.concatenate(labels),
            np.concatenate(weights),
            names,
            tuple(name in self._codes for name in names),
        )

    def _columns(self, block: Mapping[str, pa.Array]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for name, column in self.schema.columns.items():
            raw = column.source or name
            match column:
                case Numeric() | Bucketized():
                    found[raw] = to_floats(block[raw]).astype(np.float64)
                case Categorical() | Boolean() | Identity():
                    found[raw] = self._coded(raw, block[raw])
                case Datetime():
                    found |= _times(name, column, block)
                case Vector():
                    vectors = vector_numbers(block[raw]).astype(np.float64)
                    found |= {f"{raw}.{i}": vectors[:, i] for i in range(column.size)}
                case Geo():
                    points = (*column.from_point, *column.to_point)
                    found |= {p: to_floats(block[p]).astype(np.float64) for p in points}
        floats = {p: tf.constant(to_floats(block[p])) for p in _points(self.schema)}
        derived = geo_numbers(self.schema, floats)
        return found | {name: values.numpy().astype(np.float64) for name, values in derived.items()}

    def _flags(self, name: str, values: tf.RaggedTensor) -> dict[str, np.ndarray]:
        """(R,) float64 0 or 1 for each token that is frequent in training."""
        tokens = values.flat_values.numpy()
        if self._is_open:
            found, counts = np.unique(tokens, return_counts=True)
            order = np.argsort(-counts, kind="stable")[:_MOST_TOKENS]
            self._tokens[name] = found[order].tolist()
        places = {token: place for place, token in enumerate(self._tokens[name])}
        flags_RT = np.zeros((values.nrows(), len(places)))
        for row, token in zip(values.value_rowids().numpy(), tokens, strict=True):
            if token in places:
                flags_RT[row, places[token]] = 1.0
        return {f"{name}.{token.decode()}": flags_RT[:, i] for token, i in places.items()}

    def _coded(self, raw: str, column: pa.Array) -> np.ndarray:
        """(B,) codes as float64, NaN where missing or not seen in training."""
        codes = self._codes.setdefault(raw, {})
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        tokens = column.dictionary.to_pylist()
        if self._is_open:
            for token in tokens:
                if token not in ("", None):
                    codes.setdefault(token, len(codes))
        of_token = np.array([codes.get(token, np.nan) for token in tokens] + [np.nan])
        places = pc.fill_null(column.indices, len(tokens)).to_numpy(zero_copy_only=False)
        return of_token[places]


def _bags(schema: Schema, block: Mapping[str, pa.Array]) -> dict[str, tf.RaggedTensor]:
    """(B, any) values of the columns that have several, by name."""
    bags = {}
    for name, column in schema.of_kind(MultiHot, Text).items():
        texts = pc.fill_null(block[column.source or name].cast(pa.string()), "")
        text_B = tf.constant(texts.to_numpy(zero_copy_only=False), tf.string)
        is_text = isinstance(column, Text)
        bags[name] = split_ngrams(text_B, 1) if is_text else split_values(text_B, column.delimiter)
    return bags


def _times(name: str, column: Datetime, block: Mapping[str, pa.Array]) -> dict[str, np.ndarray]:
    """Days since 1970 and the usual parts, NaN where the text is no time."""
    seconds = np.asarray(DatetimeSeconds(name, column).decode_block(block))
    is_missing = seconds == MISSING_TIME
    times = {f"{name}.days": seconds / _SECONDS_PER_DAY}
    for part in _DATE_PARTS:
        times[f"{name}.{part}"] = date_part(tf.constant(seconds), part).numpy().astype(np.float64)
    return {key: np.where(is_missing, np.nan, values) for key, values in times.items()}


def _points(schema: Schema) -> list[str]:
    columns = schema.of_kind(Geo).values()
    return list(dict.fromkeys(p for c in columns for p in (*c.from_point, *c.to_point)))
