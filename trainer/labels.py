"""Labels of rows as numbers: of one column or several, of texts, classes and lists of labels.

A row has L labels: the number of a regression, 0 or 1 of a binary task, the number of the class of
a multiclass task (L = 1 each); or a probability for each class, or 0 or 1 for each label (L = K).
Imports cells, label, statistics, numpy and Arrow.

Axes: B rows, L labels, K classes, T tokens.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainer.cells import Problem, ReadColumn, shorten
from trainer.label import Label
from trainer.statistics import TableStatistics

_POSITIVE_ADVICE = (
    "A label of other texts than 0 and 1 needs label.positive, the text of its positive class: "
    'positive: "yes"'
)
_NUMBER_ADVICE = (
    "label.task regression needs plain numbers such as 1234.5; classes are of task binary, with "
    "label.positive, or multiclass"
)
# As many classes fit into a message.
_MOST_SHOWN_CLASSES = 30
# How far from 1 the probabilities of a row may add up: those of a file are rounded.
SUM_TOLERANCE = 1e-3
# log1p is finite from the next number above -1 on.
_ABOVE_MINUS_1 = float(np.nextafter(np.float32(-1), np.float32(0)))


class ClassTokens(NamedTuple):
    """Different labels of rows: (T,) rows, and (T,) texts as an Arrow array."""

    rows: np.ndarray
    texts: pa.Array


class LabelEncoder:
    """Columns of a block to (B, L) labels."""

    def __init__(self, label: Label, classes: Sequence[str] = ()):
        """Take a label.

        Args:
            label: says the columns and the task.
            classes: those of the training rows, where the label states none; not known while the
                training rows are counted.
        """
        self.label = label
        self.classes: tuple[str, ...] = label.columns or label.classes or tuple(classes)
        self._class_texts = pa.array(self.classes, pa.string())

    @property
    def num_labels(self) -> int:
        """L."""
        is_class_number = self.label.task == "multiclass" and not self.label.columns
        return len(self.classes) if self.label.has_classes and not is_class_number else 1

    @property
    def number_columns(self) -> tuple[str, ...]:
        """Raw columns of which there are numbers for each class."""
        return self.label.columns

    @property
    def counted_columns(self) -> tuple[str, ...]:
        """The raw column whose texts are classes or lists of labels."""
        is_counted = self.label.has_classes and self.label.column is not None
        return self.label.raw_columns if is_counted else ()

    def encode(self, columns: Mapping[str, pa.Array]) -> np.ndarray:
        """(B, L) float32 labels of rows without `problems`; a regression's are transformed."""
        label = self.label
        if label.columns:
            return np.stack([_to_floats(columns[name]) for name in label.columns], axis=1)
        column = columns[label.raw_columns[0]]
        if label.task == "multilabel":
            tokens = split_labels(column, label.separator)
            labels = np.zeros((len(column), len(self.classes)), np.float32)
            labels[tokens.rows, self._numbers_of(tokens.texts)] = 1
            return labels
        if label.task == "multiclass":
            return self._numbers_of(column).astype(np.float32)[:, np.newaxis]
        if label.positive is not None:
            is_positive = pc.equal(_plain(column), label.positive)
            return is_positive.to_numpy(zero_copy_only=False).astype(np.float32)[:, np.newaxis]
        numbers = _to_floats(column)
        if label.transform == "log1p":
            numbers = np.log1p(numbers.astype(np.float64)).astype(np.float32)
        return numbers[:, np.newaxis]

    def problems(self, columns: Mapping[str, pa.Array]) -> list[Problem]:
        """Rows whose labels no single cell shows to be wrong: unknown classes, sums beside 1."""
        label = self.label
        if not label.has_classes or (label.columns and label.task == "multilabel"):
            return []
        if label.columns:
            sums: np.ndarray = self.encode(columns).sum(axis=1, dtype=np.float64)
            return [
                Problem(int(row), f"label {label.name}: adds up to {sums[row]:.6g}, not to 1")
                for row in np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE)
            ]
        if not self.classes:
            return []
        column = columns[label.raw_columns[0]]
        tokens = ClassTokens(np.arange(len(column)), column)
        if label.task == "multilabel":
            tokens = split_labels(column, label.separator)
        unknown = np.flatnonzero(self._numbers_of(tokens.texts) < 0)
        first = {int(tokens.rows[place]): int(place) for place in unknown[::-1]}
        found = {row: tokens.texts[place].as_py() for row, place in sorted(first.items())}
        advice = _state_classes((*self.classes, *dict.fromkeys(found.values())))
        return [
            Problem(
                row,
                f"label {label.name}: {shorten(text)} is no class of the training rows",
                advice,
            )
            for row, text in found.items()
        ]

    def tokens_of(self, column: pa.Array) -> pa.Array:
        """The classes or labels in a column's cells, those of a cell once, to be counted."""
        if self.label.task == "multilabel":
            return split_labels(column, self.label.separator).texts
        return column

    def _numbers_of(self, texts: pa.Array) -> np.ndarray:
        """(T,) int64 numbers of the classes, -1 for a text that is none."""
        if pa.types.is_dictionary(texts.type):
            numbers = self._numbers_of(texts.dictionary)
            return np.append(numbers, -1)[pc.fill_null(texts.indices, len(numbers)).to_numpy()]
        found = pc.index_in(texts, value_set=self._class_texts)
        return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def read_label(label: Label, *, is_count: bool) -> tuple[ReadColumn, ...]:
    """How the raw columns of a label are read, and which cells make a bad row.

    Args:
        label: of the schema.
        is_count: whether a number below 0 is no label.
    """
    required: dict[str, Any] = {"required": True, "role": "label"}
    if label.columns and label.task == "multiclass":
        return tuple(
            ReadColumn(name, "float", minimum=0.0, maximum=1.0, **required)
            for name in label.columns
        )
    if label.columns or (label.task == "binary" and label.positive is None):
        advice = "" if label.columns else _POSITIVE_ADVICE
        return tuple(
            ReadColumn(name, "float", allowed=("0", "1"), advice=advice, **required)
            for name in label.raw_columns
        )
    (name,) = label.raw_columns
    if label.task == "multilabel":
        # A cell without text is a row without a label.
        return (ReadColumn(name, "string", role="label", delimiter=label.separator),)
    if label.task == "multiclass":
        return (ReadColumn(name, "dictionary", allowed=label.classes or None, **required),)
    if label.positive is not None:
        return (ReadColumn(name, "dictionary", **required),)
    minimum = _ABOVE_MINUS_1 if label.transform == "log1p" else 0.0 if is_count else None
    return (ReadColumn(name, "float", minimum=minimum, advice=_NUMBER_ADVICE, **required),)


def _state_classes(classes: Sequence[str]) -> str:
    """How a config states classes, some of which no training row has."""
    is_short = len(classes) <= _MOST_SHOWN_CLASSES
    shown = json.dumps(classes, ensure_ascii=False) if is_short else "[...]"
    return f"A right class that no training row has must be stated: label.classes: {shown}"


def split_labels(column: pa.Array, separator: str) -> ClassTokens:
    """The different labels in each cell, without the spaces around them; no label is empty."""
    lists = pc.split_pattern(pc.fill_null(_plain(column), ""), separator)
    texts = pc.utf8_trim_whitespace(pc.list_flatten(lists)).dictionary_encode()
    rows = pc.list_parent_indices(lists).to_numpy()
    # A cell may name a label twice.
    keys = rows.astype(np.int64) * max(1, len(texts.dictionary)) + texts.indices.to_numpy()
    places = np.unique(keys, return_index=True)[1]
    is_text = pc.not_equal(texts.dictionary, "").to_numpy(zero_copy_only=False)
    places = places[is_text[texts.indices.to_numpy()[places]]]
    return ClassTokens(rows[places], texts.take(pa.array(places)))


def with_classes(label: Label, statistics: TableStatistics) -> TableStatistics:
    """The statistics with the classes of the label counted, in the place of its columns."""
    if not label.has_classes:
        return statistics
    numbers, tokens = dict(statistics.numbers), dict(statistics.tokens)
    missing = dict(statistics.missing_tokens)
    counts: dict[str, float] = {}
    if label.columns:
        for name in label.columns:
            column = numbers.pop(name)
            counts[name] = column.mean * column.count
    else:
        (name,) = label.raw_columns
        found = dict(tokens.pop(name))
        counts = {text: found.get(text, 0) for text in label.classes or found}
        missing.pop(name)
    return dataclasses.replace(
        statistics,
        numbers=numbers,
        tokens=tokens,
        missing_tokens=missing,
        classes=tuple((text, float(count)) for text, count in counts.items()),
    )


def _to_floats(column: pa.Array) -> np.ndarray:
    floats: np.ndarray = column.to_numpy(zero_copy_only=False)
    return floats


def _plain(column: pa.Array) -> pa.Array:
    """A dictionary column as the strings that it stands for."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
