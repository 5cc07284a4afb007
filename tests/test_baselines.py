"""trainer.baselines: the constant in closed form, and the wide part trained by hand."""

import types

import numpy as np
import pytest
from tiny_table import (
    LAYOUT,
    ROWS,
    make_config,
    make_program,
    make_rows,
    make_store,
    plan_for,
    statistics_of,
    training_rows,
)

from trainer import baselines
from trainer.baselines import evaluate_baselines, evaluate_constant
from trainer.datasets import Datasets
from trainer.evaluation import averaged_weights, evaluate
from trainer.objective import Objective
from trainer.row_stores import BlockStore
from trainer.rows import pack_rows


@pytest.mark.parametrize("most_logits", [3, 1 << 22])
def test_the_constant_is_the_mean_of_the_training_rows(monkeypatch, most_logits):
    monkeypatch.setattr(baselines, "MOST_BATCH_LOGITS", most_logits)
    label, weight = make_rows(40).view(np.float32)[:, -2:].T.astype(np.float64)
    found = evaluate_constant(make_program(make_config()).objective, make_store(40), num_labels=1)
    # The labels of `make_program` are 0 and 1.
    assert found["rmse"] == pytest.approx(np.sqrt(np.average((label - 0.5) ** 2, weights=weight)))
    assert found["mean_prediction"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("labels", "log_loss"),
    # Half of the rows of an absent class would cost -log 0: it is 15 log(10) instead.
    [([1, 0, 0, 0], -(np.log(0.25) + np.log(0.75)) / 2), ([0, 1e-30], 15 * np.log(10) / 2)],
)
def test_the_constant_of_a_binary_task_has_the_entropy_and_no_order(labels, log_loss):
    objective = Objective(make_config("binary"), statistics_of(labels))
    rows = pack_rows(np.zeros((2, 1), np.int32), np.zeros((2, 0)), np.eye(2)[:, :1], np.ones(2))
    found = evaluate_constant(objective, BlockStore([rows], [2], "memory"), num_labels=1)
    assert found["log_loss"] == pytest.approx(log_loss, rel=1e-3)
    assert (found["auc"], found["pr_auc"]) == (0.5, 0.5)


def measure(stores, **sections):
    """The baselines of a model over such stores, of 5 steps."""
    config = make_config(**sections)
    datasets = Datasets(
        parts={},
        statistics=statistics_of((0.0, 1.0)),
        vocabularies={},
        encoder=types.SimpleNamespace(layout=LAYOUT),
        layout=ROWS,
        stores=stores,
    )
    plan = plan_for(config, stores["train"])
    return evaluate_baselines(config, datasets, plan, make_program(config), num_steps=5)


def test_the_wide_part_alone_has_the_same_batches_and_as_many_steps():
    training = {"xla": False, "num_evals": 6}
    stores = {"train": make_store(80), "test": make_store(30, seed=9)}
    found = measure(stores, training=training)

    config = make_config(model={"towers": "wide"}, training=training)
    wide = make_program(config)
    step = 0
    for rows in training_rows(config, stores["train"], plan_for(config, stores["train"])):
        wide.train(rows[: 5 - step], step)
        step += len(rows)
        if step >= 5:
            break
    with averaged_weights(wide):
        assert found["wide_only"] == {"test": evaluate(wide, stores["test"])}
    constant = evaluate_constant(wide.objective, stores["test"], num_labels=1)
    assert found["constant"] == {"test": constant}
    assert found["wide_only"]["test"]["rmse"] != constant["rmse"]


@pytest.mark.parametrize(
    ("sections", "names"),
    [
        ({"evaluation": {"baseline": "none"}}, []),
        ({"evaluation": {"baseline": "constant"}}, ["constant"]),
        ({"model": {"towers": "wide"}}, ["constant"]),
    ],
)
def test_what_is_not_asked_for_or_the_model_itself_is_left_out(sections, names):
    stores = {"train": make_store(80), "validation": make_store(30, seed=9)}
    assert list(measure(stores, **sections)) == names
