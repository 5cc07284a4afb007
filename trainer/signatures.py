"""The entry points of a SavedModel as TensorFlow functions: raw rows in, scores out.

Signatures (rank 1, so that a JSON row is flat):
    serving_default   one input for each raw column, and the key column with `export.serve_key`
    serving_examples  `examples`: serialized tf.Example protos; an absent feature is missing
Outputs of both: those of `answers.py`, and `key`.

Axes: B rows, K classes, T top classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from trainer.answers import NUM_TOP, Served
from trainer.serving import MISSING

# Encoded rows to scores, or to a pair of them.
Predict = Callable[[Any], Any]


class Encoder(Protocol):
    """What export needs of `features.FeatureEncoder`, which is also a tf.Module."""

    @property
    def serving_inputs(self) -> dict[str, tf.TensorSpec]:
        """(B,) float32, int64 or string specs by raw column; (B, n) float32 of a vector."""
        ...

    def __call__(self, raw: dict[str, tf.Tensor]) -> Any:
        """The encoded rows that `predict` takes."""
        ...


def make_signatures(encoder: Encoder, predict: Predict, served: Served) -> dict[str, Any]:
    """Both entry points; what they share, `answer`, is traced once."""
    inputs = served.inputs
    # Of a row: () or (n,).
    shapes = {raw: [inputs.sizes[raw]] if raw in inputs.sizes else [] for raw in inputs.dtypes}
    specs = {
        raw: tf.TensorSpec([None, *shapes[raw]], dtype, name=inputs.names[raw])
        for raw, dtype in inputs.dtypes.items()
    }
    parsed = {
        raw: tf.io.FixedLenFeature(shapes[raw], dtype, np.full(shapes[raw], MISSING[dtype]))
        for raw, dtype in inputs.dtypes.items()
    }

    def answer(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        predicted = predict(encoder(raw))
        if not served.is_calibrated:
            return _outputs(predicted, served)
        score, raw_score = predicted
        return _outputs(score, served) | {served.raw_score: _raw(raw_score, score, served)}

    feature_specs = {raw: specs[raw] for raw in encoder.serving_inputs}
    shared = tf.function(answer, input_signature=[feature_specs], autograph=False)

    def answer_with_key(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = shared({name: raw[name] for name in feature_specs})
        return outputs if inputs.key is None else {**outputs, "key": raw[inputs.key]}

    def serving_default(columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return answer_with_key({raw: columns[name] for raw, name in inputs.names.items()})

    def serving_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer_with_key(tf.io.parse_example(examples, parsed))

    column_specs = {inputs.names[raw]: spec for raw, spec in specs.items()}
    example_spec = tf.TensorSpec([None], tf.string, name="examples")
    return {
        "serving_default": tf.function(
            serving_default, input_signature=[column_specs], autograph=False
        ),
        "serving_examples": tf.function(
            serving_examples, input_signature=[example_spec], autograph=False
        ),
    }


def _outputs(predicted: tf.Tensor, served: Served) -> dict[str, tf.Tensor]:
    """Outputs by name from (B, 1) logits or values, or from (B,) or (B, K) scores."""
    if served.label.has_classes:
        return _outputs_of_classes(tf.cast(predicted, tf.float32), served)
    if predicted.shape.rank not in (1, 2) or predicted.shape[1:] not in ([], [1]):
        raise ValueError(f"predict must give (B,) or (B, 1); it gives {predicted.shape}")
    is_score = predicted.shape.rank == 1
    score_B = tf.cast(predicted if is_score else predicted[:, 0], tf.float32)
    if served.label.task == "regression":
        return {served.score: score_B}
    if not is_score:
        score_B = tf.sigmoid(score_B)
    negative, positive = served.label.class_values
    dtype = tf.int64 if served.label.positive is None else tf.string
    class_B = tf.where(
        score_B >= served.thresholds[0], tf.constant(positive, dtype), tf.constant(negative, dtype)
    )
    return {served.score: score_B, "class": class_B}


def _raw(raw_score: tf.Tensor, score: tf.Tensor, served: Served) -> tf.Tensor:
    """The output `raw_score`, in the places of those of `score`."""
    raw_score = tf.cast(raw_score, tf.float32)
    if not served.has_top:
        return raw_score
    _, places_BT = tf.math.top_k(tf.cast(score, tf.float32), NUM_TOP)
    return tf.gather(raw_score, places_BT, batch_dims=1)


def _outputs_of_classes(score_BK: tf.Tensor, served: Served) -> dict[str, tf.Tensor]:
    if served.label.task == "multilabel":
        return {served.score: score_BK, "is_positive": score_BK >= tf.constant(served.thresholds)}
    classes_K = tf.constant(served.classes)
    if not served.has_top:
        return {
            served.score: score_BK,
            "probability": tf.reduce_max(score_BK, axis=1),
            "class": tf.gather(classes_K, tf.argmax(score_BK, axis=1)),
        }
    top_BT, places_BT = tf.math.top_k(score_BK, NUM_TOP)
    names_BT = tf.gather(classes_K, places_BT)
    return {
        served.score: top_BT,
        "top_classes": names_BT,
        "probability": top_BT[:, 0],
        "class": names_BT[:, 0],
    }
