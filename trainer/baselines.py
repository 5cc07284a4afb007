"""What a model is measured against: the training mean, and the wide part alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer.config import Config
from trainer.data_files import Part
from trainer.datasets import Datasets
from trainer.evaluation import MOST_BATCH_LOGITS, averaged_weights, evaluate_parts
from trainer.input import rows_of_calls
from trainer.metrics import Metrics
from trainer.objective import Objective
from trainer.plan import Plan
from trainer.program import Program, build_program
from trainer.row_stores import RowStore
from trainer.rows import labels_of, weights_of

# By name and part.
Baselines = dict[str, dict[Part, Metrics]]


def evaluate_baselines(
    config: Config, datasets: Datasets, plan: Plan, program: Program, num_steps: int
) -> Baselines:
    """Metrics of the baselines that `evaluation.baseline` asks for, on validation and test rows.

    Args:
        config: of the run.
        datasets: of the run.
        plan: of the run.
        program: the trained model.
        num_steps: of the wide-only model, as many as the kept weights have seen.
    """
    if config.evaluation.baseline == "none":
        return {}
    parts: tuple[Part, ...] = ("validation", "test")
    constant = {
        part: evaluate_constant(
            program.objective, datasets.stores[part], datasets.layout.num_labels
        )
        for part in parts
        if part in datasets.stores
    }
    if config.evaluation.baseline == "wide" and config.model.towers == "both":
        wide = _train_wide(config, datasets, plan, program, num_steps)
        with averaged_weights(wide):
            measured = evaluate_parts(wide, datasets)
        return {
            "constant": constant,
            "wide_only": {part: found.metrics for part, found in measured.items()},
        }
    return {"constant": constant}


def evaluate_constant(objective: Objective, store: RowStore, num_labels: int) -> Metrics:
    """Metrics of the best constant of the training rows, for every row of a set."""
    evaluator = objective.head.evaluator()
    most_rows = max(1, MOST_BATCH_LOGITS // objective.num_outputs)
    for block in store.in_order():
        for start in range(0, len(block), most_rows):
            rows = block[start : start + most_rows]
            logits = np.tile(objective.head.constant_logits, (len(rows), 1))
            evaluator.add(labels_of(rows, num_labels).copy(), logits, weights_of(rows).copy())
    return evaluator.result()


def _train_wide(
    config: Config, datasets: Datasets, plan: Plan, program: Program, num_steps: int
) -> Program:
    """The wide part alone, with the columns, optimizer and batches of the model."""
    network = config.model.model_copy(update={"towers": "wide"})
    config = config.model_copy(update={"model": network})
    # Without evaluations in between, calls may be longer than those of the model.
    plan = dataclasses.replace(plan, num_evals=0)
    wide = build_program(config, datasets, plan, program.distribution)
    calls = rows_of_calls(
        datasets.stores["train"],
        datasets.layout,
        config=config,
        plan=dataclasses.replace(plan, total_steps=num_steps),
        distribution=program.distribution,
        first_step=0,
    )
    step = 0
    for rows in calls:
        wide.train(rows, step)
        step += len(rows)
    return wide
