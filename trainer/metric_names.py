"""Names of the metrics of each task, which way is better, and the one that training watches."""

from __future__ import annotations

from typing import Literal, NamedTuple

from trainer.errors import UserError, nearest
from trainer.label import Task

Goal = Literal["minimize", "maximize"]

# What training can monitor, and which way is better. Means and counts are no goals.
METRIC_GOALS: dict[str, Goal] = {
    "rmse": "minimize",
    "mae": "minimize",
    "r2": "maximize",
    "log_loss": "minimize",
    "auc": "maximize",
    "pr_auc": "maximize",
    "accuracy": "maximize",
    "precision": "maximize",
    "recall": "maximize",
    "f1": "maximize",
    "rmsle": "minimize",
    "mape": "minimize",
    "poisson_deviance": "minimize",
    "top_5_accuracy": "maximize",
    "macro_auc": "maximize",
    "micro_auc": "maximize",
    "macro_f1": "maximize",
    "micro_f1": "maximize",
    "weighted_f1": "maximize",
    "subset_accuracy": "maximize",
}
# By task; counts have the deviance besides.
TASK_METRICS: dict[Task, tuple[str, ...]] = {
    "regression": ("rmse", "mae", "r2", "rmsle", "mape"),
    "binary": ("log_loss", "auc", "pr_auc", "accuracy", "precision", "recall", "f1"),
    "multiclass": (
        "log_loss",
        "accuracy",
        "top_5_accuracy",
        "macro_auc",
        "macro_f1",
        "weighted_f1",
    ),
    "multilabel": (
        "log_loss",
        "macro_auc",
        "micro_auc",
        "macro_f1",
        "micro_f1",
        "subset_accuracy",
    ),
}


class Monitor(NamedTuple):
    """The metric that chooses the weights and the direction that is better."""

    name: str
    goal: Goal


def names_of(task: Task, loss: str = "auto") -> tuple[str, ...]:
    """The metrics of a task; the first is what `training.monitor: auto` stands for.

    >>> names_of("regression", "poisson")
    ('poisson_deviance', 'rmse', 'mae', 'r2', 'rmsle', 'mape')
    """
    return ("poisson_deviance",) * (loss == "poisson") + TASK_METRICS[task]


def resolve_monitor(monitor: str, task: Task, loss: str = "auto") -> Monitor:
    """The metric that `training.monitor` means for a task and `model.loss`.

    Raises:
        UserError: the task has no such metric.

    >>> resolve_monitor("auto", "binary")
    Monitor(name='log_loss', goal='minimize')
    """
    valid = names_of(task, loss)
    name = valid[0] if monitor == "auto" else monitor
    if name not in valid:
        raise UserError(
            f"training.monitor must be auto or a metric of label.task {task} ({', '.join(valid)}); "
            f"received {monitor!r}{nearest(monitor, valid)}"
        )
    return Monitor(name, METRIC_GOALS[name])
