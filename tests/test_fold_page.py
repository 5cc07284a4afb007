"""trainer.insight.fold_page: what the folds say together."""

import csv
import statistics

import pytest
from page_reader import Reader

from trainer.folds import summarize
from trainer.insight.fold_page import write_fold_page

RMSE, CONSTANT = (1.5, 1.25, 1.75), (4.0, 5.0, 6.0)
REPORT = {
    "folds": 3,
    "task": "regression",
    "label": "fare & <b>",
    "monitor": "rmse",
    "metrics": summarize([{"validation": {"rmse": v, "num_rows": 50}} for v in RMSE]),
    "baselines": {"constant": summarize([{"validation": {"rmse": v}} for v in CONSTANT])},
    "runs": ["runs/x/fold_1", "runs/x/fold_2", "runs/x/fold_3"],
}


@pytest.fixture
def folder(tmp_path):
    write_fold_page(REPORT, str(tmp_path))
    return tmp_path


def test_page_has_means_errors_and_each_fold(folder):
    found = Reader((folder / "report.html").read_text())
    error = statistics.stdev(RMSE) / 3**0.5
    assert {("table-folds", 1.5), ("table-folds", error), ("table-folds", 5.0)} <= set(found.data)
    assert {("table-each_fold", value) for value in RMSE} <= set(found.data)
    text = "".join(found.text)
    assert "fare & <b>: what was learned" in text and "runs/x/fold_3/report.html" in text
    assert "3 models, regression" in text


def test_tables_are_files(folder):
    with open(folder / "tables" / "folds.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["metric"] == "rmse" and row["better"] == "lower"
    assert float(row["mean"]) == 1.5 and float(row["constant"]) == 5.0
