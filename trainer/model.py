"""The composition root: a run from its config to a served model, in the order it happens.

    config -> files -> statistics -> encoded rows -> tf.data -> wide-and-deep Keras model
           -> training loop -> evaluation -> SavedModel -> report

Read `train_and_evaluate` first; every step is a call into the module that owns it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

import keras

from trainer import data_files, rendezvous, report, storage
from trainer.baselines import evaluate_baselines
from trainer.checkpoint import CheckpointFolder
from trainer.cli import config_yaml
from trainer.config import Config
from trainer.data_files import Tables
from trainer.datasets import build_datasets
from trainer.errors import UserError
from trainer.evaluation import decide_on, evaluate_parts, watched_metrics
from trainer.export import export_run
from trainer.input import rows_of_calls
from trainer.insight import experiments
from trainer.insight.evidence import Evidence
from trainer.insight.insights import collect, log_trial, present
from trainer.insight.layer_probe import LayerProbe, fixed_rows
from trainer.insight.model_files import model_files
from trainer.insight.profiler import Profiler
from trainer.loop import RunState, StopSignal, TrainingLoop
from trainer.metrics import Metrics
from trainer.observers import Console, JsonLines, Scalars, Tuning
from trainer.plan import Plan, make_plan
from trainer.program import build_program
from trainer.run_folder import RunFolder
from trainer.run_lock import RunLock, owner_name
from trainer.sidecar import assist, is_sidecar
from trainer.strategy import join_cluster
from trainer.trained_model import TrainedModel
from trainer.tuning import MetricReporter
from trainer.vertex import VertexEnvironment

logger = logging.getLogger(__name__)


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
    if not isinstance(config, Config):
        raise UserError(
            "config must be what trainer.config.parse_config(values, origin) gives; received a "
            f"{type(config).__name__}"
        )
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
    if is_sidecar(config.training, cluster):
        assist(config, folder, cluster, patience)
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
        # 0. The folder: whose it is, and whether there is anything left to do.
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
        makes_report = distribution.is_chief and config.evaluation.report != "none"

        # 1. Data: statistics of the training rows, encoded rows.
        keras.utils.set_random_seed(config.training.seed)
        datasets = build_datasets(config, files)
        train, validation = datasets.stores["train"], datasets.stores.get("validation")
        if distribution.is_chief:
            folder.claim(identity)
            storage.write_text(folder.path("config.yaml"), config_yaml(config))
            storage.write_text(folder.path("statistics.json"), datasets.statistics.to_json())

        # 2. Model: objective, network, optimizer, compiled steps.
        plan = make_plan(
            config.training,
            train.num_rows,
            validation.num_rows if validation is not None else 0,
            distribution.num_replicas,
            is_tpu=distribution.kind == "tpu",
        )
        program = build_program(config, datasets, plan, distribution)

        # 3. Training, from the newest checkpoint if there is one.
        state = RunState(**(checkpoints.restore_latest(program.checkpoint) or {}))
        distribution.check_equal("the step of the newest checkpoint", state.step)
        prepared = time.monotonic()
        monitor = program.objective.monitor
        reporter = MetricReporter(config.tuning.metric_tag, monitor, environment)
        probe: LayerProbe | None = None
        if makes_report:
            rows = fixed_rows(train, config.training.seed, plan.batch_size)
            probe = LayerProbe(program, rows, plan.batch_size)
        own: list[keras.callbacks.Callback] = []
        if distribution.is_chief:
            report.log_start(datasets.encoder, program, plan, state, folder)
            own = _observers(config, folder, plan, state, reporter, probe)
        TrainingLoop(
            program,
            plan,
            config.training,
            state=state,
            evaluate=watched_metrics(program, validation, config.evaluation.eval_rows),
            checkpoints=checkpoints,
            callbacks=keras.callbacks.CallbackList([*own, *callbacks], model=program.model),
            stop=stop,
            probe=probe.measure if probe else None,
        ).run(
            rows_of_calls(
                train,
                datasets.layout,
                config=config,
                plan=plan,
                distribution=distribution,
                first_step=state.step,
            )
        )
        if distribution.num_replicas > 1:
            report.log_replicas(distribution.gather(program.checksums()))
        program.best.restore()
        trained = time.monotonic()

        # 4. Evaluation: validation, and the test rows for the first and only time.
        watched: Metrics | None = None
        if validation is not None and config.evaluation.decides:
            watched = decide_on(program, config.evaluation, validation)
        measured = evaluate_parts(program, datasets, keeps_rows=makes_report)
        baselines = evaluate_baselines(config, datasets, plan, program, state.kept_step)
        # A study compares what training has watched: nothing was chosen on the rows for it.
        final = measured["validation"].metrics if "validation" in measured else {}
        reporter.report_final(state.step, watched or final)
        if not distribution.is_chief:
            distribution.wait_for_peers()
            return {}

        # 5. The served model, replayed in a fresh process before anyone can see it.
        lock.check()
        files_beside = model_files(config, datasets)
        exported = export_run(config, datasets, program, folder.model_dir, files_beside)

        # 6. The report, then the marker that says that all of the above is there.
        summary = report.build_report(
            config,
            stores=datasets.stores,
            program=program,
            state=state,
            batch_size=plan.batch_size,
            measured=measured,
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
        log_trial(config, summary, folder)
        if makes_report:
            kept = {part: found.kept for part, found in measured.items()}
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


def _observers(
    config: Config,
    folder: RunFolder,
    plan: Plan,
    state: RunState,
    reporter: MetricReporter,
    probe: LayerProbe | None,
) -> list[keras.callbacks.Callback]:
    """What the chief tells of a run while it trains."""
    observers: list[keras.callbacks.Callback] = [
        Console(plan, state.step, state.history),
        JsonLines(folder.path("metrics.jsonl"), state.history),
        Scalars(folder.log_dir, state.history, probe.weights if probe else None),
        Tuning(reporter, state.history),
    ]
    if config.training.profile_steps is not None:
        observers.append(Profiler(config.training.profile_steps, plan, folder.log_dir))
    return observers
