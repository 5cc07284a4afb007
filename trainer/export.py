"""The SavedModel: raw rows in, scores out, and proof that it answers as training does.

The model is written to a scratch folder, loaded in a fresh process by TensorFlow alone, asked for
the sample rows through both signatures, and copied to `model_dir` only when the answers agree.
May import everything up to the loop. Must not know how the model was trained.

Signatures (rank 1, so that a JSON row is flat):
    serving_default   one input for each raw column, and the key column with `export.serve_key`
    serving_examples  `examples`: serialized tf.Example protos; an absent feature is missing
Outputs of both: those of `answers.py`, and `key`.

Axes: B rows, O outputs of the model, K classes.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from trainer import storage
from trainer.answers import NUM_TOP, Outputs, Served, response_json
from trainer.config import Config
from trainer.decision import Decision, undecided
from trainer.distribution import local_cpu, os_errors
from trainer.errors import UserError
from trainer.parity import Expected, FreshProcess, check_answers
from trainer.schema import Schema
from trainer.serving import (
    MISSING,
    Row,
    ServingInputs,
    filled,
    is_complete,
    plain_row,
    request_json,
    signature_names,
)

logger = logging.getLogger(__name__)

# Encoded rows to scores, or to a pair of them.
Predict = Callable[[Any], Any]
# What a SavedModel consists of; an older export's are deleted before a new one is copied.
_PARTS = (
    "saved_model.pb",
    "saved_model.pbtxt",
    "keras_metadata.pb",
    "fingerprint.pb",
    "variables",
    "assets",
    "assets.extra",
)


class Encoder(Protocol):
    """What export needs of `features.FeatureEncoder`, which is also a tf.Module."""

    @property
    def serving_inputs(self) -> dict[str, tf.TensorSpec]:
        """(B,) float32, int64 or string specs by raw column; (B, n) float32 of a vector."""
        ...

    def __call__(self, raw: dict[str, tf.Tensor]) -> Any:
        """The encoded rows that `predict` takes."""
        ...


class ExportReport(NamedTuple):
    """What was exported and how well it agrees with training.

    max_difference is the largest |exported - trained| / max(1, |trained|) over the sample rows and
    both signatures; seconds are wall time of the whole export.
    """

    max_difference: float
    num_rows: int
    seconds: float
    model_dir: str


def export_model(
    *,
    encoder: Encoder,
    predict: Predict,
    trackables: Sequence[Any],
    schema: Schema,
    config: Config,
    instances: Sequence[Mapping[str, object]],
    expected: np.ndarray | Expected,
    files: Mapping[str, str],
    model_dir: str,
    classes: Sequence[str] = (),
    decision: Decision | None = None,
    scratch_dir: str | None = None,
) -> ExportReport:
    """Write the model to `model_dir`, in the place of an older export, once it is proved right.

    Args:
        encoder: raw rows to encoded rows; its vocabularies go into the SavedModel.
        predict: encoded rows to (B, 1) logits or values of a regression, or to scores that are
            served as they are: (B,) values or probabilities, (B, K) probabilities of classes; of a
            calibrated model a pair of such, calibrated and raw.
        trackables: the Keras models, tf.Modules and variables that `predict` reads.
        schema: names the key column, the task and the positive class.
        config: its sections export and evaluation.
        instances: one or more raw rows; None, NaN and absent are missing.
        expected: (len(instances),) score of each by the training path: the value, or the
            probability of the positive class; (len(instances), K) of several classes; of a
            calibrated model with its raw scores.
        files: further texts for assets.extra/, by file name.
        model_dir: local or gs:// folder that becomes the SavedModel itself.
        classes: their K names, which also go to assets.extra/classes.txt.
        decision: thresholds and calibration; None: those of the config, before any row is asked.
        scratch_dir: local folder to work in; None: the system's.

    Raises:
        TrainingFailed: the reloaded model does not load, or answers differently; `model_dir` is
            as it was.
        ValueError: `instances` is empty, or does not fit `expected`.
    """
    started = time.monotonic()
    if not isinstance(expected, Expected):
        expected = Expected(np.asarray(expected, np.float64))
    if len(instances) == 0 or expected.scores.shape != (
        len(instances),
        *([len(classes)] if classes else []),
    ):
        raise ValueError(
            "expected must be (rows,) or (rows, classes) of one or more rows; received "
            f"{expected.scores.shape} for {len(instances)} rows"
        )
    decision = decision or undecided(config.evaluation, schema.label.task)
    served = Served(
        inputs=serving_inputs(encoder, schema.key if config.export.serve_key else None),
        label=schema.label,
        thresholds=decision.thresholds,
        classes=tuple(classes),
        is_calibrated=decision.calibration.kind != "none",
    )
    rows = [plain_row(instance, served.inputs) for instance in instances]
    if scratch_dir is not None:
        # The fresh process runs in another folder, where a relative path means another place.
        scratch_dir = os.path.abspath(scratch_dir)
        os.makedirs(scratch_dir, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="export-", dir=scratch_dir) as work_dir:
        export_dir = os.path.join(work_dir, "model")
        module = tf.Module()
        module.tracked = [encoder, *trackables]
        with FreshProcess(work_dir) as process:
            _save(module, export_dir, _signatures(encoder, predict, served))
            # One row more, for a request that has to do without missing numbers.
            answers = process.replay_rows(export_dir, [*rows, filled(rows[0])], served.inputs)
        difference = check_answers(
            answers, rows, expected, served=served, tolerance=config.parity_tolerance
        )
        filled_answer = {name: values[-1] for name, values in answers["serving_default"].items()}
        texts = {**files, **_sample_texts(rows, expected, filled_answer, served)}
        if classes:
            texts["classes.txt"] = "\n".join(classes) + "\n"
        for name, text in texts.items():
            storage.write_text(os.path.join(export_dir, "assets.extra", name), text)
        _publish(export_dir, model_dir)
    seconds = time.monotonic() - started
    logger.info(
        "exported to %s in %.1f s; %d sample rows agree within %.1e",
        model_dir,
        seconds,
        len(rows),
        difference,
    )
    return ExportReport(difference, len(rows), seconds, model_dir)


def serving_inputs(encoder: Encoder, key: str | None) -> ServingInputs:
    """The inputs of serving_default: the encoder's raw columns, and the key column unless None."""
    dtypes = {raw: spec.dtype.name for raw, spec in encoder.serving_inputs.items()}
    if key is not None:
        dtypes[key] = "string"
    names = signature_names(dtypes)
    for raw, name in names.items():
        if raw != name:
            logger.warning(
                "column %r is the input %r of serving_default: TensorFlow allows no such name; "
                "assets.extra/sample_request.json shows all inputs",
                raw,
                name,
            )
    sizes = {
        raw: spec.shape[1] for raw, spec in encoder.serving_inputs.items() if spec.shape.rank == 2
    }
    return ServingInputs(dtypes, names, key, sizes)


def _sample_texts(
    rows: Sequence[Row], expected: Expected, filled_answer: Outputs, served: Served
) -> dict[str, str]:
    """A request of the rows that JSON can carry, and the scores of training for them.

    Where every row misses a number, the first one with its gaps filled stands in; training has no
    score for it, so it has the answer of the exported model.
    """
    complete = [index for index, row in enumerate(rows) if is_complete(row)]
    request = [rows[index] for index in complete] or [filled(rows[0])]
    raw_scores = None if expected.raw_scores is None else expected.raw_scores[complete]
    response = served.answers(expected.scores[complete], raw_scores) or [filled_answer]
    return {
        "sample_request.json": request_json(request, served.inputs),
        "sample_response.json": response_json(request, response, served),
    }


def _signatures(encoder: Encoder, predict: Predict, served: Served) -> dict[str, Any]:
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


def _save(module: tf.Module, export_dir: str, signatures: dict[str, Any]) -> None:
    options = tf.saved_model.SaveOptions(experimental_io_device=local_cpu())
    try:
        with os_errors():
            tf.saved_model.save(module, export_dir, signatures=signatures, options=options)
    except OSError as error:
        raise UserError(
            f"cannot write the model by way of {export_dir}: {error}; make room there, or name "
            "another data.scratch_dir"
        ) from error


def discard_model(model_dir: str) -> None:
    """Delete the SavedModel in a folder, saved_model.pb first, and nothing else that is there."""
    for part in _PARTS:
        storage.remove(storage.join(model_dir, part))
    storage.remove_if_empty(model_dir)


def _publish(export_dir: str, model_dir: str) -> None:
    """Put the export into `model_dir` in the place of an older one; other files there are left.

    The old saved_model.pb goes first and the new one comes last, so that a reader never sees a
    graph beside the variables of another.
    """
    discard_model(model_dir)
    storage.commit_dir(export_dir, model_dir, last=_PARTS[0])
