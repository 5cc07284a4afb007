"""Processes of a cluster that do not train: servers of the chief, and the evaluator beside it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from trainer import data_files, rendezvous, storage
from trainer.checkpoint import CheckpointFolder
from trainer.cluster import Cluster
from trainer.config import Config, TrainingConfig
from trainer.datasets import build_datasets
from trainer.errors import UserError
from trainer.evaluation import averaged_weights, evaluate
from trainer.loop import StopSignal
from trainer.metrics import format_metrics
from trainer.observers import Scalars
from trainer.plan import make_plan
from trainer.program import Program, build_program
from trainer.run_folder import RunFolder
from trainer.strategy import is_server, make_one_device, serve

logger = logging.getLogger(__name__)


def is_sidecar(config: TrainingConfig, cluster: Cluster) -> bool:
    """Whether this process holds variables, computes for the chief, or evaluates its checkpoints.

    Raises:
        UserError: the cluster does not fit the strategy.
    """
    return is_server(config, cluster) or cluster.task_type == "evaluator"


def assist(config: Config, folder: RunFolder, cluster: Cluster, patience_seconds: float) -> None:
    """The part of such a process in a run, until the run ends.

    Args:
        config: of the run.
        folder: of the run, to which an evaluator adds its records.
        cluster: the processes.
        patience_seconds: for a chief that does not answer.

    Raises:
        UserError: the port is in use, or an evaluator has no validation rows.
        Interrupted: a signal came, or the chief stays away.
    """
    with StopSignal() as stop:
        if is_server(config.training, cluster):
            rendezvous.meet(cluster, patience_seconds)
            stop.deferred = True
            serve(cluster, folder.is_complete, lambda: bool(stop.requested), patience_seconds)
        else:
            evaluate_checkpoints(config, folder, cluster, patience_seconds)


def evaluate_checkpoints(
    config: Config, folder: RunFolder, cluster: Cluster, patience_seconds: float
) -> None:
    """Validation metrics of each checkpoint, until the run ends; as `assist`.

    It computes on one device of its own, beside the chief and never in its way.
    """
    chief = rendezvous.ChiefWatch(cluster, patience_seconds)
    # Its variables must be those of the checkpoints.
    distribution = make_one_device(has_average=not cluster.addresses.get("ps"))
    files = data_files.find_files(config.data, folder.path("sample"))
    datasets = build_datasets(config, files)
    if "validation" not in datasets.stores:
        raise UserError("an evaluator needs validation rows; give data.validation")
    validation = datasets.stores["validation"]
    plan = make_plan(config.training, datasets.stores["train"].num_rows, validation.num_rows)
    program = build_program(config, datasets, plan, distribution)
    follow_checkpoints(
        program,
        evaluate=lambda: evaluate(program, validation),
        checkpoints=CheckpointFolder(folder.checkpoint_dir, scratch_dir=config.data.scratch_dir),
        records_path=folder.path("evaluator.jsonl"),
        log_dir=storage.join(folder.log_dir, "evaluator"),
        is_over=folder.is_complete,
        check_chief=chief.check,
    )


def follow_checkpoints(
    program: Program,
    *,
    evaluate: Callable[[], dict[str, float]],
    checkpoints: CheckpointFolder,
    records_path: str,
    log_dir: str,
    is_over: Callable[[], bool],
    check_chief: Callable[[], None],
    seconds_between_looks: float = 2.0,
) -> None:
    """Evaluate the newest checkpoint whenever there is a new one, until the run is over.

    Args:
        program: what the checkpoints are restored into.
        evaluate: metrics by the program's present weights.
        checkpoints: of the run; only read.
        records_path: JSON lines, one for each checkpoint that was evaluated.
        log_dir: of TensorBoard.
        is_over: asked after each look; one more look follows.
        check_chief: called before each pause; raises when there is nothing to wait for.
        seconds_between_looks: to leave the bucket in peace.
    """
    records: list[dict[str, Any]] = []
    scalars = Scalars(log_dir, records)
    seen, ends = 0, False
    while True:
        state = checkpoints.restore_latest(program.checkpoint) if checkpoints.steps() else None
        if state and state["step"] > seen:
            seen = state["step"]
            with averaged_weights(program):
                values = {f"val_{name}": value for name, value in evaluate().items()}
            records.append({"step": seen, **values})
            lines = [json.dumps(record) for record in records]
            storage.write_text(records_path, "\n".join(lines) + "\n")
            scalars.on_epoch_end(len(records) - 1)
            logger.info("checkpoint of step %d: %s", seen, format_metrics(values))
        if ends:
            break
        ends = is_over()
        if not ends:
            check_chief()
        time.sleep(0.0 if ends else seconds_between_looks)
    scalars.on_train_end()
