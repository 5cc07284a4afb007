"""trainer.metric_names: what can be monitored."""

import pytest

from trainer.errors import UserError
from trainer.metric_names import METRIC_GOALS, TASK_METRICS, Monitor, resolve_monitor


@pytest.mark.parametrize(
    ("task", "monitor", "expected"),
    [
        ("regression", "auto", Monitor("rmse", "minimize")),
        ("binary", "auto", Monitor("log_loss", "minimize")),
        ("regression", "r2", Monitor("r2", "maximize")),
        ("binary", "auc", Monitor("auc", "maximize")),
        ("multiclass", "auto", Monitor("log_loss", "minimize")),
        ("multilabel", "macro_auc", Monitor("macro_auc", "maximize")),
    ],
)
def test_monitor_resolves_to_name_and_goal(task, monitor, expected):
    assert resolve_monitor(monitor, task) == expected


def test_counts_are_chosen_by_their_deviance():
    assert resolve_monitor("auto", "regression", "poisson").name == "poisson_deviance"
    with pytest.raises(UserError, match=r"must be auto or a metric of label\.task regression"):
        resolve_monitor("poisson_deviance", "regression", "mse")


def test_unknown_monitor_names_the_nearest():
    with pytest.raises(
        UserError, match=r"training\.monitor .*received 'acuracy'; did you mean 'acc"
    ):
        resolve_monitor("acuracy", "binary")


def test_metric_of_the_other_task_is_no_monitor():
    with pytest.raises(
        UserError, match=r"label\.task regression \(rmse, mae, r2, .*\); received 'auc'"
    ):
        resolve_monitor("auc", "regression")


def test_every_metric_of_a_task_has_a_goal():
    assert {name for names in TASK_METRICS.values() for name in names} | {
        "poisson_deviance"
    } == set(METRIC_GOALS)
