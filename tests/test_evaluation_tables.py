"""trainer.insight.evaluation_tables: each task has its tables, of what the model serves."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import f1_score
from tiny_table import make_config, statistics_of

from trainer.calibration import Calibration
from trainer.decision import Decision
from trainer.evaluation import Predictions
from trainer.insight import evaluation_tables
from trainer.metrics import sigmoid
from trainer.objective import Objective


def rows(num_outputs=1, num_rows=500):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(num_rows, num_outputs)).astype(np.float32)
    labels = (rng.random(logits.shape) < sigmoid(logits)).astype(np.float32)
    return Predictions(labels, logits, rng.uniform(0.5, 2, num_rows).astype(np.float32))


def produce(objective, config, predictions, **report):
    evidence = SimpleNamespace(
        config=config,
        program=SimpleNamespace(objective=objective),
        predictions=predictions,
        report=report,
    )
    return evaluation_tables.produce(evidence)


def test_decisions_are_those_of_the_calibrated_model():
    config = make_config("binary")
    objective = Objective(config, statistics_of([0.0, 1.0]))
    decision = Decision((0.4,), "f1", Calibration("platt", (2.0,), (0.5,)), num_rows=9)
    found = produce(objective.with_decision(decision), config, {"test": rows()})
    at = found["evaluation"]["test"]["operating_point"]
    labels, logits, weight = rows()
    selected = sigmoid(2.0 * logits[:, 0].astype(float) + 0.5) >= 0.4
    assert at["rule"] == "f1"
    assert at["f1"] == pytest.approx(f1_score(labels[:, 0], selected, sample_weight=weight))


def test_numbers_are_in_the_units_of_the_label():
    config = make_config()
    objective = Objective(config, statistics_of([0.0, 1.0]))
    found = produce(objective, config, {"validation": rows(), "test": rows()})["evaluation"]
    assert list(found) == ["validation", "test"]
    labels, logits, weight = rows()
    error = 0.5 + 0.5 * logits.astype(float) - labels
    tenths = found["test"]["residuals_by_decile"]
    assert sum(one["rows"] for one in tenths) == 500
    chosen = 0.5 + 0.5 * logits[:, 0].astype(float) <= tenths[0]["high"]
    bias = np.average(error[chosen, 0], weights=weight[chosen])
    assert tenths[0]["bias"] == pytest.approx(bias)


def test_no_rows_are_no_section():
    config = make_config()
    objective = Objective(config, statistics_of([0.0, 1.0]))
    assert produce(objective, config, {}) == {}
    empty = Predictions(*(x[:0] for x in rows()))
    assert produce(objective, config, {"test": empty}) == {}
