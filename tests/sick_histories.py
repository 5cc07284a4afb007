"""Histories as the doctor reads them, by hand."""

import numpy as np
from tiny_table import make_config

from trainer.insight.health import health_of
from trainer.insight.illness import Case
from trainer.statistics import StatisticsBuilder, TableStatistics

SOUND = [1.0, 0.6, 0.45, 0.4, 0.38, 0.375, 0.373, 0.372]


def records(losses, values=None, monitor="rmse", **layers):
    """One record for each loss; `layers` as {"dead/h1": a number or one for each}."""
    history = []
    for number, loss in enumerate(losses, 1):
        record = {
            "step": 10 * number,
            "examples": 80 * number,
            "seconds": 2.0 * number,
            "waiting_seconds": 0.1 * number,
            "loss": loss,
            "wide_learning_rate": 0.05,
            "deep_learning_rate": 0.001,
        }
        for name, found in layers.items():
            record[name] = found[number - 1] if isinstance(found, list) else found
        if values is not None:
            record[f"val_{monitor}"] = values[number - 1]
        history.append(record)
    return history


def numbers(label) -> TableStatistics:
    """Statistics of a label."""
    builder = StatisticsBuilder([], [], "label")
    builder.add({"label": np.asarray(label, float)}, np.arange(len(label), dtype=np.uint64))
    return builder.finalize()


def case(losses=SOUND, values=None, *, layers=None, task="regression", **given):
    """A sound run but for what is given."""
    history = records(losses, values, **(layers or {}))
    sections = given.pop("sections", {})
    fields = {
        "config": make_config(task, **sections),
        "history": history,
        "health": health_of(history),
        "statistics": numbers([0.0, 1.0] * 50),
        "metrics": {"validation": {"rmse": 0.3, "mean_label": 0.5, "num_rows": 100}},
        "baselines": {"constant": {"validation": {"rmse": 0.5}}},
        "monitor": "rmse",
        "maximize": False,
        "kept_step": 10 * len(losses),
        "stopped_by": "patience",
    }
    return Case(**fields | given)
