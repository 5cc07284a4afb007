"""A trained model in Python: raw rows in, predictions out, by the exported SavedModel itself.

What it answers is what a server of the model answers; nothing of a run but its exported model is
needed. `model.load` gives one.

Axes: B rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from trainer import storage
from trainer.encoders import to_floats, to_integers
from trainer.input_columns import input_columns
from trainer.memory_tables import memory_table
from trainer.reader import BadRows, Source, read_blocks
from trainer.serving import signature_names
from trainer.trained_embeddings import read_model_config
from trainer.vectors import vector_numbers

# Rows of one call: an answer may have a number for each of thousands of classes.
_ROWS_PER_CALL = 8192


class TrainedModel:
    """An exported model, and the config that it was made by."""

    def __init__(self, path: str):
        """Load it.

        Args:
            path: folder of a complete run, or of an exported model; local, gs:// or /gcs/.

        Raises:
            UserError: there is no model of this trainer.
        """
        self.model_dir, self.config = read_model_config(path)
        with tempfile.TemporaryDirectory() as scratch_dir:
            local_dir = self.model_dir
            if storage.is_remote(local_dir):
                storage.fetch_dir(local_dir, scratch_dir)
                local_dir = scratch_dir
            self._loaded = tf.saved_model.load(local_dir)
        self._serve = self._loaded.signatures["serving_default"]
        columns = input_columns(self.config)
        names = signature_names(columns)
        specs = self._serve.structured_input_signature[1]
        # Raw column -> input of the signature, of those that it has.
        self._inputs = {raw: specs[name] for raw, name in names.items() if name in specs}
        self._columns = tuple(columns[raw] for raw in self._inputs)

    def predict(self, table: Any) -> Any:
        """Predictions for raw rows, in their order.

        Cells are read by the rules of training: a missing or unseen value is fine, a text where a
        number belongs is not. Columns that the model does not read may be there.

        Args:
            table: pandas DataFrame, or Arrow table; it needs no label.

        Returns:
            A table of the same kind with the outputs of `serving_default`: `prediction` of a
            regression, `probability` and `class` of a binary model, and so on; a key column too.

        Raises:
            UserError: a column is missing, or a row cannot be read.
        """
        rows = memory_table("rows", table)
        source = Source(files=(rows,), columns=self._columns)
        answers = [
            self.answer({name: column[start : start + _ROWS_PER_CALL] for name, column in columns})
            for block in read_blocks(source, BadRows(None))
            for columns in [block.columns.items()]
            for start in range(0, block.num_rows, _ROWS_PER_CALL)
        ]
        if not answers:
            no_rows = {s.name: tf.zeros([0, *s.shape[1:]], s.dtype) for s in self._inputs.values()}
            answers = [self._call(no_rows)]
        outputs = pa.concat_tables([pa.table(_arrow_columns(answer)) for answer in answers])
        return outputs.to_pandas() if hasattr(table, "iloc") else outputs

    def answer(self, columns: Mapping[str, pa.Array]) -> dict[str, np.ndarray]:
        """The outputs of `serving_default`, (B, ...) each, by name.

        Args:
            columns: by raw name, as a block of `reader.read_blocks` has them.
        """
        return self._call(
            {
                spec.name: tf.constant(_values(columns[raw], spec.dtype))
                for raw, spec in self._inputs.items()
            }
        )

    def _call(self, feed: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
        return {name: values.numpy() for name, values in self._serve(**feed).items()}


def _values(column: pa.Array, dtype: tf.DType) -> Any:
    """What the signature takes for a column; see `serving.MISSING`."""
    if pa.types.is_fixed_size_list(column.type):
        return vector_numbers(column)
    if dtype == tf.float32:
        return to_floats(column)
    if dtype == tf.int64:
        return to_integers(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return pc.fill_null(column, "").to_numpy(zero_copy_only=False)


def _arrow_columns(answer: Mapping[str, np.ndarray]) -> dict[str, pa.Array]:
    """One column for each output: texts, numbers, or lists of them."""
    found = {}
    for name, values in answer.items():
        flat = pa.array(values.reshape(-1))
        if pa.types.is_binary(flat.type):
            flat = flat.cast(pa.string())
        if values.ndim > 1:
            flat = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        found[name] = flat
    return found
