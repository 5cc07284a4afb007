"""Scores of an exported model for raw rows: what a user of it gets.

Axes: R rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from trainer.blocks import DataPart
from trainer.config import Config
from trainer.encoders import to_floats, to_integers
from trainer.serving import signature_names

_MOST_CERTAIN = 1e-7  # a float32 probability of exactly 0 or 1 has no finite logit


def served_scores(model_dir: str, part: DataPart, config: Config) -> np.ndarray:
    """(R,) float64 values of a regression, or logits of a binary task, in file order.

    Args:
        model_dir: of the SavedModel.
        part: the rows.
        config: of the run that made the model.
    """
    model = tf.saved_model.load(model_dir)
    serve = model.signatures["serving_default"]
    inputs = [raw.name for raw in config.feature_inputs]
    if config.key is not None and config.export.serve_key:
        inputs.append(config.key)
    names = signature_names(inputs)
    dtypes = {name: spec.dtype for name, spec in serve.structured_input_signature[1].items()}
    output = "prediction" if config.label.task == "regression" else "probability"
    pieces = []
    for block in part.blocks():
        feed = {
            names[raw]: tf.constant(_values(block.columns[raw], dtypes[names[raw]]))
            for raw in inputs
        }
        pieces.append(serve(**feed)[output].numpy().astype(np.float64))
    scores = np.concatenate(pieces)
    if config.label.task == "regression":
        return scores
    probability = np.clip(scores, _MOST_CERTAIN, 1 - _MOST_CERTAIN)
    return np.log(probability) - np.log1p(-probability)


def _values(column: pa.Array, dtype: tf.DType) -> Any:
    if dtype == tf.float32:
        return to_floats(column)
    if dtype == tf.int64:
        return to_integers(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return pc.fill_null(column, "").to_numpy(zero_copy_only=False)
