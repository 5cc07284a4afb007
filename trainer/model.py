"""The composition root: a run from its config to a served model, in the order it happens.

    config -> files -> statistics -> encoded rows -> tf.data -> wide-and-deep Keras model
           -> training loop -> evaluation -> SavedModel -> report

Read `train_and_evaluate` first; every step is a call into the module that owns it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer import data_files, rendezvous, report, storage
from trainer.checkpoint import CheckpointFolder
from trainer.cli import config_yaml
from trainer.cluster import Cluster
from trainer.config import Config
from trainer.data_files import Part, Tables
from trainer.datasets import Datasets, build_datasets
from trainer.distribution import Distribution
from trainer.errors import UserError
from trainer.evaluation import (
    Measured,
    averaged_weights,
    decide_on,
    evaluate,
    evaluate_constant,
    take_in,
)
from trainer.export import ExportReport, export_model
from trainer.input import TrainingRows, training_chunks
from trainer.insight import experiments
from trainer.insight.evidence import Evidence
from trainer.insight.insights import collect, present
from trainer.insight.layer_probe import LayerProbe, fixed_rows
from trainer.insight.model_files import model_files
from trainer.insight.profiler import Profiler
from trainer.loop import RunState, StopSignal, TrainingLoop
from trainer.metrics import Metrics
from trainer.network import WideAndDeep
from trainer.objective import Objective
from trainer.observers import Console, JsonLines, Scalars, Tuning
from trainer.parity import Expected
from trainer.plan import Plan, make_plan
from trainer.program import Program
from trainer.rendezvous import ChiefWatch
from trainer.run_folder import RunFolder
from trainer.run_lock import RunLock, owner_name
from trainer.sidecar import follow_checkpoints
from trainer.strategy import is_server, join_cluster, make_one_device, serve
from trainer.trained_embeddings import with_widths
from trainer.trained_model import TrainedModel
from trainer.tuning import MetricReporter
from trainer.vertex import VertexEnvironment

logger = logging.getLogger(__name__)

# Of a part, for the report: 256 MB of float32. All rows, where they have few outputs.
MOST_KEPT_LOGITS = 1 << 26


def train_and_evaluate(
    config: Config,
    environment: VertexEnvironment | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    tables: Tables | None = None,
) -> dict[str, Any]:
    """Run a config to its end, from where an earlier start of it stood.

    Args:
        config: the resolved config; its output.job_dir says where the run goes.
        environment: of the Vertex replica; None for a local run.
        callbacks: Keras callbacks besides the run's own.
        tables: {"train": ..., "validation": ..., "test": ...}, each a pandas DataFrame or an Arrow
            table, in the place of the files that the config names for that part.

    Returns:
        The report: metrics of the model and its baselines, the chosen step, paths, timings.

    Raises:
        UserError: the config, the data and the folder do not fit together.
        TrainingFailed: a loss is not finite, or the exported model differs from the trained one.
        Interrupted: SIGTERM or SIGINT; start again to go on.
    """
    environment = environment or VertexEnvironment()
    started = time.monotonic()
    cluster = environment.cluster
    if config.output.experiment is not None:
        experiments.check_sdk()
    config = data_files.with_tables(config, tables, cluster)
    config.evaluation.check_rows(config.data)
    folder = RunFolder(config)
    patience = rendezvous.patience(
        config.training.peer_timeout_seconds, is_cloud=environment.is_cloud
    )
    if is_server(config.training, cluster):
        with StopSignal() as stop:
            rendezvous.meet(cluster, patience)
            stop.deferred = True
            serve(cluster, folder.is_complete, lambda: bool(stop.requested), patience)
        return {}
    if cluster.task_type == "evaluator":
        with StopSignal():
            evaluate_checkpoints(config, folder, cluster, ChiefWatch(cluster, patience))
        return {}
    lock = RunLock(folder.path("LOCK"), owner_name(environment.job_id))
    checkpoints = CheckpointFolder(
        folder.checkpoint_dir,
        config.training.keep_checkpoints,
        before_save=lock.check,
        scratch_dir=config.data.scratch_dir,
    )
    with (
        StopSignal() as stop,
        join_cluster(config.training, cluster, patience) as distribution,
        lock if distribution.is_chief else contextlib.nullcontext(),
    ):
        with distribution.chief_first():
            if distribution.is_chief and config.training.resume == "restart":
                folder.discard()
            files = data_files.find_files(config.data, folder.path("sample"), tables)
            identity = folder.identify(config, data_files.fingerprints(config.data, files))
            if distribution.is_chief and (checkpoints.steps() or folder.is_complete()):
                folder.check(identity)
        if folder.is_complete():
            logger.info("%s is complete; --resume=restart runs it again", folder.job_dir)
            return folder.read_report()

        distribution.check_equal("the config or a data file", folder.checksum(identity))

        # 1. Data: statistics of the training rows, encoded rows.
        keras.utils.set_random_seed(config.training.seed)
        datasets = build_datasets(config, files)
        if distribution.is_chief:
            folder.claim(identity)
            storage.write_text(folder.path("config.yaml"), config_yaml(config))
            storage.write_text(folder.path("statistics.json"), datasets.statistics.to_json())

        # 2. Model: objective, network, optimizer, compiled steps.
        num_rows = {name: store.num_rows for name, store in datasets.stores.items()}
        plan = make_plan(
            config.training,
            num_rows["train"],
            num_rows.get("validation", 0),
            distribution.num_replicas,
            is_tpu=distribution.kind == "tpu",
        )
        objective = Objective(config, datasets.statistics)
        program = build_program(config, datasets, objective, plan, distribution)

        # 3. Training, from the newest checkpoint if there is one.
        state = RunState(**(checkpoints.restore_latest(program.checkpoint) or {}))
        distribution.check_equal("the step of the newest checkpoint", state.step)
        prepared = time.monotonic()
        reporter = MetricReporter(config.tuning.metric_tag, objective.monitor, environment)
        probe = make_probe(config, program, datasets, plan)
        own: list[keras.callbacks.Callback] = []
        if distribution.is_chief:
            report.log_start(datasets.encoder, program, plan, state, folder)
            own = [
                Console(plan, state.step, state.history),
                JsonLines(folder.path("metrics.jsonl"), state.history),
                Scalars(folder.log_dir, state.history, probe.weights if probe else None),
                Tuning(reporter, state.history),
            ]
            if config.training.profile_steps is not None:
                own.append(Profiler(config.training.profile_steps, plan, folder.log_dir))
        TrainingLoop(
            program,
            plan,
            config.training,
            state=state,
            evaluate=_validation(config, program, datasets),
            checkpoints=checkpoints,
            callbacks=keras.callbacks.CallbackList([*own, *callbacks], model=program.model),
            stop=stop,
            probe=probe.measure if probe else None,
        ).run(training_rows(config, datasets, plan, distribution, state.step))
        if distribution.num_replicas > 1:
            report.log_replicas(distribution.gather(program.checksums()))
        program.best.restore()
        trained = time.monotonic()

        # 4. Evaluation: validation, and the test rows for the first and only time.
        reports = distribution.is_chief and config.evaluation.report != "none"
        most_kept = MOST_KEPT_LOGITS // objective.num_outputs if reports else 0
        watched: Metrics | None = None
        if config.evaluation.decides:
            watched = decide_on(program, config.evaluation, datasets.stores["validation"])
        measured = evaluate_parts(program, datasets, most_kept)
        results: dict[str, Metrics] = {
            name: found.evaluator.result() for name, found in measured.items()
        }
        baselines = evaluate_baselines(config, datasets, objective, plan, state, distribution)
        # A study compares what training has watched: nothing was chosen on the rows for it.
        reporter.report_final(state.step, watched or results.get("validation", {}))
        if not distribution.is_chief:
            distribution.wait_for_peers()
            return {}

        # 5. The served model, replayed in a fresh process before anyone can see it.
        lock.check()
        exported = export(config, datasets, program, folder)

        # 6. The report, then the marker that says that all of the above is there.
        summary = report.build_report(
            config,
            stores=datasets.stores,
            program=program,
            state=state,
            batch_size=plan.batch_size,
            results=results,
            by_class={name: found.evaluator.by_class() for name, found in measured.items()},
            baselines=baselines,
            watched=watched,
            exported=exported,
            seconds={
                "prepare": prepared - started,
                "train": state.seconds,
                "evaluate_and_export": time.monotonic() - trained,
                "total": time.monotonic() - started,
            },
        )
        if reports:
            kept = {name: found.kept for name, found in measured.items()}
            evidence = Evidence(config, datasets, program, state, kept, folder, summary)
            asked = time.monotonic()
            summary |= collect(evidence)
            summary["seconds"]["report"] = round(time.monotonic() - asked, 3)
            summary["seconds"]["total"] = round(time.monotonic() - started, 3)
            present(summary, folder)
        folder.complete(summary)
        if config.output.experiment is not None:
            experiments.log_run(config.output.experiment, config, summary, folder.job_dir)
        report.log_summary(summary)
        distribution.wait_for_peers()
        return summary


def load(path: str) -> TrainedModel:
    """The model that a run has left, for predictions in Python.

    Args:
        path: folder of a complete run, or of its exported model; local, gs:// or /gcs/.

    Raises:
        UserError: there is no model of this trainer.
    """
    return TrainedModel(path)


def evaluate_checkpoints(
    config: Config, folder: RunFolder, cluster: Cluster, chief: ChiefWatch
) -> None:
    """The evaluator of a cluster: validation metrics of each checkpoint, until the run ends.

    It computes on one device of its own, beside the chief and never in its way.

    Raises:
        Interrupted: the chief stays away.
    """
    # Its variables must be those of the checkpoints.
    distribution = make_one_device(has_average=not cluster.addresses.get("ps"))
    files = data_files.find_files(config.data, folder.path("sample"))
    datasets = build_datasets(config, files)
    if "validation" not in datasets.stores:
        raise UserError("an evaluator needs validation rows; give data.validation")
    num_rows = datasets.stores["train"].num_rows
    plan = make_plan(config.training, num_rows, datasets.stores["validation"].num_rows)
    objective = Objective(config, datasets.statistics)
    program = build_program(config, datasets, objective, plan, distribution)
    follow_checkpoints(
        program,
        evaluate=lambda: evaluate(program, datasets.stores["validation"]),
        checkpoints=CheckpointFolder(folder.checkpoint_dir, scratch_dir=config.data.scratch_dir),
        records_path=folder.path("evaluator.jsonl"),
        log_dir=storage.join(folder.log_dir, "evaluator"),
        is_over=folder.is_complete,
        check_chief=chief.check,
    )


def build_program(
    config: Config, datasets: Datasets, objective: Objective, plan: Plan, distribution: Distribution
) -> Program:
    """The Keras model under its strategy, and its compiled steps."""
    try:
        with distribution.strategy.scope():
            network = WideAndDeep(
                datasets.encoder.layout,
                config.model.for_task(config.label.task),
                # TPUs have no updates by rows: as if all tables were small against the batch.
                batch_size=sys.maxsize if distribution.kind == "tpu" else plan.batch_size,
                num_outputs=objective.num_outputs,
                offset=objective.offset,
                seed=config.training.seed,
                precision=config.training.precision,
            )
        return Program(
            distribution,
            network,
            objective,
            config,
            layout=datasets.layout,
            batch_size=plan.batch_size,
            total_steps=plan.total_steps,
            mean_weight=datasets.statistics.mean_weight,
            longest_call=plan.call_length(0),
        )
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            "the model does not fit into memory; lower model.hidden_units, the bins of crosses, "
            "hash_buckets or embedding_dim"
        ) from error


def evaluate_parts(
    program: Program, datasets: Datasets, most_kept: int = 0
) -> dict[Part, Measured]:
    """The validation and the test rows by the kept weights, see `evaluation.take_in`."""
    parts: tuple[Part, ...] = ("validation", "test")
    return {
        name: take_in(program, datasets.stores[name], most_kept=most_kept)
        for name in parts
        if name in datasets.stores
    }


def evaluate_baselines(
    config: Config,
    datasets: Datasets,
    objective: Objective,
    plan: Plan,
    state: RunState,
    distribution: Distribution,
) -> dict[str, dict[str, dict[str, float]]]:
    """Metrics of the references by name and part: the training mean, and the wide part alone.

    The wide-only model has the same columns, optimizer and batches, and as many steps as the kept
    weights have seen.
    """
    if config.evaluation.baseline == "none":
        return {}
    baselines: dict[str, dict[str, dict[str, float]]] = {"constant": {}}
    for name in ("validation", "test"):
        if name in datasets.stores:
            baselines["constant"][name] = evaluate_constant(
                objective, datasets.stores[name], datasets.layout.num_labels
            )
    if config.evaluation.baseline == "wide" and config.model.towers == "both":
        network = config.model.model_copy(update={"towers": "wide"})
        wide_config = config.model_copy(update={"model": network})
        # Without evaluations in between, calls may be longer than those of the model.
        plan = dataclasses.replace(plan, num_evals=0)
        program = build_program(wide_config, datasets, objective, plan, distribution)
        shorter = dataclasses.replace(plan, total_steps=state.kept_step)
        step = 0
        for rows in training_rows(config, datasets, shorter, distribution, first_step=0):
            program.train(rows, step)
            step += len(rows)
        with averaged_weights(program):
            measured = evaluate_parts(program, datasets)
        baselines["wide_only"] = {
            name: found.evaluator.result() for name, found in measured.items()
        }
    return baselines


def export(config: Config, datasets: Datasets, program: Program, folder: RunFolder) -> ExportReport:
    """Write the SavedModel, checked against the training path on rows that were held out."""
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
            **model_files(config, datasets),
        },
        model_dir=folder.model_dir,
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


def _validation(
    config: Config, program: Program, datasets: Datasets
) -> Callable[[], dict[str, float]] | None:
    """The metrics that training watches; None without validation rows."""
    store = datasets.stores.get("validation")
    if store is None:
        logger.warning(
            "no validation rows: no early stopping, and the last weights are kept; give "
            "data.validation or data.validation_fraction"
        )
        return None
    return lambda: evaluate(program, store, config.evaluation.eval_rows)


def make_probe(
    config: Config, program: Program, datasets: Datasets, plan: Plan
) -> LayerProbe | None:
    """What looks at the layers while training; None where nobody asks for it."""
    if config.evaluation.report == "none" or not program.distribution.is_chief:
        return None
    rows = fixed_rows(datasets.stores["train"], config.training.seed, plan.batch_size)
    return LayerProbe(program, rows, plan.batch_size)


def training_rows(
    config: Config, datasets: Datasets, plan: Plan, distribution: Distribution, first_step: int
) -> TrainingRows:
    """The tf.data pipeline of this process's training rows, from the call after a step on."""
    part = distribution.local_slice(plan.batch_size)
    chunks = functools.partial(
        training_chunks,
        datasets.stores["train"],
        batch_size=plan.batch_size,
        seed=config.training.seed,
        first_step=first_step,
        call_length=plan.call_length,
        window_rows=config.data.shuffle_rows,
        part=part if distribution.num_peers > 1 else None,
    )
    return TrainingRows(chunks, datasets.layout, part.stop - part.start)
