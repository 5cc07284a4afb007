"""The evaluator of a cluster: metrics of each checkpoint that the chief leaves behind."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from trainer import storage
from trainer.checkpoint import CheckpointFolder
from trainer.evaluation import averaged_weights
from trainer.metrics import format_metrics
from trainer.observers import Scalars
from trainer.program import Program

logger = logging.getLogger(__name__)


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
