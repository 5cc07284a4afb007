"""The SavedModel, and proof that it answers as training does.

The model is written to a scratch folder, loaded in a fresh process by TensorFlow alone, asked for
the sample rows through both signatures, and copied to `model_dir` only when the answers agree.
Must not know how the model was trained.

Axes: B rows, O outputs of the model, K classes.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from trainer import storage
from trainer.answers import Outputs, Served, response_json
from trainer.cli import config_yaml
from trainer.config import Config
from trainer.datasets import Datasets
from trainer.decision import Decision, undecided
from trainer.distribution import local_cpu, os_errors
from trainer.errors import UserError
from trainer.objective import Objective
from trainer.parity import Expected, FreshProcess, check_answers
from trainer.program import Program
from trainer.schema import Schema
from trainer.serving import (
    Row,
    ServingInputs,
    filled,
    is_complete,
    plain_row,
    request_json,
    signature_names,
)
from trainer.signatures import Encoder, Predict, make_signatures
from trainer.trained_embeddings import with_widths

logger = logging.getLogger(__name__)

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


class ExportReport(NamedTuple):
    """What was exported and how well it agrees with training.

    max_difference is the largest |exported - trained| / max(1, |trained|) over the sample rows and
    both signatures; seconds are wall time of the whole export.
    """

    max_difference: float
    num_rows: int
    seconds: float
    model_dir: str


def export_run(
    config: Config, datasets: Datasets, program: Program, model_dir: str, files: Mapping[str, str]
) -> ExportReport:
    """Write the SavedModel of a run, checked against the training path on rows held out.

    Args:
        config: of the run.
        datasets: of the run.
        program: the trained model, with its decision.
        model_dir: see `export_model`, as for what it raises.
        files: for assets.extra/ besides what a run is made again from.
    """
    part = next(
        datasets.parts[name] for name in ("test", "validation", "train") if name in datasets.parts
    )
    instances, columns = part.sample(config.export.parity_rows)
    encoded = datasets.encoder.encode_block(columns)
    logits = program.model(tf.constant(encoded.ids), tf.constant(encoded.numbers))
    objective = program.objective
    classes = [name for name, _ in datasets.statistics.classes]
    decided = {"decision.json": objective.decision.to_json(classes)}
    return export_model(
        encoder=datasets.encoder,
        predict=lambda encoded: objective.served(program.model(encoded.ids, encoded.numbers)),
        trackables=[*(p.variable for p in program.parameters), *program.model.frozen],
        schema=config,
        config=config,
        instances=instances,
        expected=_expected(objective, logits, config.parity_tolerance),
        files={
            "config.yaml": config_yaml(with_widths(config, datasets.encoder.layout)),
            "statistics.json": datasets.statistics.to_json(),
            "vocabularies.json": json.dumps(datasets.vocabularies),
            "schema.json": config.model_dump_json(
                include={"columns", "crosses", "label"}, indent=1
            ),
            **(decided if objective.decision.is_chosen else {}),
            **files,
        },
        model_dir=model_dir,
        classes=classes,
        decision=objective.decision,
        scratch_dir=config.data.scratch_dir,
    )


def _expected(objective: Objective, logits_BO: tf.Tensor, tolerance: float) -> Expected:
    """What the exported model has to answer to rows of these logits."""
    scores = objective.prediction(logits_BO).numpy().astype(np.float64)
    kind = objective.decision.calibration.kind
    if kind == "none":
        return Expected(scores)
    raw_scores = objective.raw_prediction(logits_BO).numpy().astype(np.float64)
    if kind != "isotonic":
        return Expected(scores, raw_scores)
    margin = tolerance * tf.maximum(1.0, tf.abs(logits_BO))
    ends = [objective.prediction(logits_BO + sign * margin).numpy() for sign in (1, -1)]
    return Expected(scores, raw_scores, np.abs(ends[0] - ends[1]).astype(np.float64))


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
            _save(module, export_dir, make_signatures(encoder, predict, served))
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
