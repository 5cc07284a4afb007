"""trainer.report: the outcome as data, and the lines for people."""

import json
import logging
from types import SimpleNamespace

import numpy as np
from tiny_table import make_config, make_program, make_store

from trainer import report
from trainer.calibration import Calibration
from trainer.decision import Decision
from trainer.evaluation import Measured
from trainer.export import ExportReport
from trainer.loop import RunState

RESULTS = {"test": {"rmse": 1.25, "mae": 1.0, "r2": 0.5, "num_rows": 8}, "validation": {}}
BY_CLASS = {"test": {f"c{k}": {"auc": 0.5} for k in range(1001)}, "validation": {}}
BASELINES = {"constant": {part: {"rmse": 2.0, "mae": 1.5, "r2": 0.0} for part in RESULTS}}


def make_report(program=None):
    config = make_config()
    return report.build_report(
        config,
        stores={"train": make_store(52), "test": make_store(8)},
        program=program or make_program(config),
        state=RunState(step=30, seconds=2.0, finished="patience", kept_step=20),
        batch_size=10,
        measured={
            part: Measured(metrics, SimpleNamespace(by_class=lambda p=part: BY_CLASS[p]), None)
            for part, metrics in RESULTS.items()
        },
        baselines=BASELINES,
        watched=None,
        exported=ExportReport(1e-7, 8, 3.0, "runs/x/model"),
        seconds={"total": 9.8765},
    )


def test_report_is_json_and_says_which_weights_were_kept():
    found = json.loads(json.dumps(make_report()))
    assert (found["kept_step"], found["last_step"], found["stopped_by"]) == (20, 30, "patience")
    assert found["rows"] == {"train": 52, "test": 8}
    assert found["metrics"] == RESULTS
    assert list(found["by_class"]) == ["test"] and len(found["by_class"]["test"]) == 1000
    assert found["seconds"] == {"total": 9.877}
    assert found["examples_per_second"] == 150  # 30 steps of 10 rows in 2 seconds


def test_summary_puts_the_model_beside_its_baselines(caplog):
    with caplog.at_level(logging.INFO, "trainer.report"):
        report.log_summary(make_report())
    lines = caplog.messages
    assert lines[0] == "stopped by patience at step 30; weights of step 20"
    model, constant = (line for line in lines if line.startswith("test"))
    assert "model" in model and "rmse 1.25" in model
    assert "constant" in constant and "rmse 2.00" in constant
    assert lines[-1] == "done in 9.9 s"


def test_exact_zeros_of_the_wide_part_are_counted(caplog):
    program = make_program(make_config())
    assert make_report(program)["wide_zero_weights"] == 1.0  # The wide part starts at 0.
    # 5 + 7 + 11 ids and two numbers; the bias does not count.
    values = {"table": np.r_[np.zeros(20), [1.0, -1.0, 0.5]], "numbers": [2.0, 0.0], "bias": [0.0]}
    for weight in program.model.wide.weights:
        weight.assign(np.reshape(values[weight.name], weight.shape))
    found = make_report(program)
    assert found["wide_zero_weights"] == 0.84
    with caplog.at_level(logging.INFO, "trainer.report"):
        report.log_summary(found)
    assert "weights of the wide part that are exactly 0: 84.0 %" in caplog.messages


def test_what_validation_has_chosen_stands_beside_what_training_watched():
    before = {"log_loss": 0.5, "macro_f1": 0.25}
    found = report._decided(
        Decision((0.25, 0.5), "f1", Calibration("temperature", (0.5,)), num_rows=8),
        before,
        {"validation": {"a": {}, "b": {}}},
    )
    assert found["operating_point"]["thresholds"] == {"a": 0.25, "b": 0.5}
    assert found["calibration"]["fitted_on"] == "validation"
    assert found["validation_before_decision"] == before
    assert report._decided(Decision(()), None, {}) == {}
