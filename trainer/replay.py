"""Replays sample rows against an exported model: the program of a fresh process, not of training.

`export.py` runs this file's text with `python -c`, so that the model is loaded as a server loads
it: by TensorFlow alone, with nothing of this package to lean on. So it imports nothing of it.

Usage: python -c SOURCE RESULT_JSON < PAYLOAD_JSON

The payload, which may come later, when TensorFlow is imported, has
    export_dir  the SavedModel
    rows        [{raw column: value}], null where missing
    dtypes      {raw column: "float32", "int64" or "string"}
    names       {raw column: input name in serving_default}
    sizes       {raw column: numbers of a row's vector}, whose rows are lists, NaN where missing
    missing     {dtype: what stands for a missing value in serving_default}
The result is {signature: {output: [value of each row]}}.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any


def replay(export_dir: str, payload: dict[str, Any]) -> dict[str, dict[str, list[Any]]]:
    """Answers of both signatures to the rows, in their order."""
    import tensorflow as tf

    signatures = tf.saved_model.load(export_dir).signatures
    rows, dtypes, sizes = payload["rows"], payload["dtypes"], payload.get("sizes", {})
    inputs = {}
    for raw, dtype in dtypes.items():
        values = [payload["missing"][dtype] if row[raw] is None else row[raw] for row in rows]
        shape = [len(rows), sizes[raw]] if raw in sizes else [len(rows)]
        inputs[payload["names"][raw]] = tf.constant(values, dtype, shape=shape)
    examples = [_example(tf, row, dtypes).SerializeToString() for row in rows]
    answers = {
        "serving_default": signatures["serving_default"](**inputs),
        "serving_examples": signatures["serving_examples"](
            examples=tf.constant(examples, tf.string, shape=[len(rows)])
        ),
    }
    return {
        signature: {name: _plain(values.numpy().tolist()) for name, values in outputs.items()}
        for signature, outputs in answers.items()
    }


def main(arguments: list[str]) -> None:
    """Import TensorFlow, read the payload, replay it, write the result."""
    (result_path,) = arguments
    # Training may hold the accelerator, and a server of such a model has none. CUDA reads the C
    # environment, when TensorFlow is imported; Python's copy of it is not needed.
    os.putenv("CUDA_VISIBLE_DEVICES", "-1")
    # Any import of the training package from here on fails instead of making the test pass. The
    # others are options that TensorFlow finds and no server needs, see `quick_imports.py`.
    for name in ("trainer", "pandas", "scipy", "sklearn"):
        sys.modules[name] = None  # type: ignore[assignment]
    gc.disable()  # for a process of seconds; half the time of the import
    import tensorflow  # noqa: F401  # while the model is still being written

    if text := sys.stdin.read():  # nothing: whoever started this process is gone
        payload = json.loads(text)
        result = replay(payload["export_dir"], payload)
        with open(result_path, "w", encoding="utf-8") as stream:
            json.dump(result, stream)
    gc.freeze()  # the end goes through all objects otherwise


def _example(tf: Any, row: dict[str, Any], dtypes: dict[str, str]) -> Any:
    """The row as a tf.Example; a missing value is a feature that is absent."""
    features = {}
    for raw, dtype in dtypes.items():
        value = row[raw]
        numbers = value if isinstance(value, list) else [value]
        if value is None or all(number != number for number in numbers):
            continue
        if dtype == "string":
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        elif dtype == "int64":
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        else:
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=numbers))
        features[raw] = feature
    return tf.train.Example(features=tf.train.Features(feature=features))


def _plain(values: list[Any]) -> list[Any]:
    return [
        _plain(value)
        if isinstance(value, list)
        else value.decode()
        if isinstance(value, bytes)
        else value
        for value in values
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
