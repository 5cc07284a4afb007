"""trainer.insight.report_tables: the report's numbers in rows."""

import csv
import io

from planted_reports import EVIL, planted_report

from trainer.insight import report_tables

REPORT = planted_report("binary")


def test_csv_gives_back_what_the_table_has():
    rows = [(1, 0.1, EVIL), (2, None, 'a,"b"\nc')]
    table = report_tables.Table("t", "T", ("n", "x", "text"), rows)
    found = list(csv.reader(io.StringIO(report_tables.csv_text(table))))
    assert found == [["n", "x", "text"], ["1", "0.1", EVIL], ["2", "", 'a,"b"\nc']]


def test_metrics_stand_beside_their_references():
    table = report_tables.metrics_table(REPORT)
    assert table.columns == ("part", "metric", "model", "constant", "wide_only")
    assert ("test", "auc", 0.873, 1.746, 0.873 * 1.25) in table.rows
    assert ("validation", "auc", 0.873, 1.746, None) in table.rows


def test_headline_has_what_has_a_better_and_a_worse_the_monitored_first():
    report = REPORT | {"monitor": "auc", "operating_point": {"threshold": 0.2}}
    table = report_tables.headline_table(report, "test")
    assert table.columns == ("metric", "better", "model", "constant", "wide_only")
    assert [row[:3] for row in table.rows] == [
        ("auc", "higher", 0.873),
        ("log_loss", "lower", 0.31),
        ("pr_auc", "higher", 0.61),
    ]
    assert "constant: " in table.note and "from 0.2 on is a yes" in table.note
    labels = REPORT | {"operating_point": {"thresholds": {"a": 0.2}}}
    assert "a threshold of its own" in report_tables.headline_table(labels, "test").note
    alone = REPORT | {"baselines": {}, "operating_point": {"threshold": 0.2}}
    assert report_tables.headline_table(alone, "test").note == ""


def test_each_class_is_a_row_wherever_its_figures_stand():
    report = {"by_class": {"test": {"red": {"auc": 0.5}}, "validation": {}}}
    (table,) = report_tables.by_class_tables(report)
    assert (table.columns, table.rows) == (("class", "auc"), [("red", 0.5)])
    evaluated = {"test": {"by_class": [{"class": "red", "auc": 0.5}]}}
    assert report_tables.by_class_tables({**report, "evaluation": evaluated}) == []
    tables = report_tables.evaluation_tables("test", evaluated["test"])
    assert [(t.columns, t.rows) for t in tables] == [(table.columns, table.rows)]


def test_confusion_of_classes_has_their_names_and_the_rest():
    found = {"classes": ["a", "b"], "confusion": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]}
    (table,) = report_tables.evaluation_tables("test", found)
    assert table.columns == ("label", "a", "b", "(rest)") and "row for each label" in table.note
    assert table.rows[2] == ("(rest)", 7, 8, 9)


def test_decision_in_one_number():
    tables = {t.name: t for t in report_tables.evaluation_tables("test", _binary())}
    decision = tables["decision_test"]
    assert decision.rows == [("threshold", 0.375), ("chosen_by", "f1"), ("ece", 0.0213)]
    confusion = tables["confusion_test"]
    assert confusion.columns == ("label", "predicted positive", "predicted negative")
    assert confusion.rows == [("positive", 301, 194), ("negative", 102, 903)]


def _binary():
    return REPORT["evaluation"]["test"]


def test_curves_and_dependence_have_a_row_for_each_point():
    curves = report_tables.curves_table({"step": [1, 2], "loss": [0.5, None], "kept_step": 2})
    assert (curves.columns, curves.rows) == (("step", "loss"), [(1, 0.5), (2, None)])
    dependence = report_tables.dependence_table(REPORT["partial_dependence"])
    assert dependence.rows[1] == ("distance", 1.0, 6.25, 6.0, 7.0)
    assert dependence.rows[4] == ("color", "red", 1.5, None, None)


def test_data_profile_has_a_row_for_each_column_and_part():
    table = report_tables.profile_table(REPORT["data_profile"]["columns"][:1])
    assert table.columns == (
        "column",
        "kind",
        "part",
        "missing",
        "distinct",
        "js",
        "linf",
        "unseen",
    )
    assert table.rows == [
        ("zone", "categorical", "train", 0.0125, 31, None, None, None),
        ("zone", "categorical", "test", 0.0375, 29, 0.0123, 0.045, 0.0021),
    ]


def test_strongest_weights_neighbors_groups_and_layers():
    weights = report_tables.weights_table(REPORT["wide_weights"])
    assert weights.rows[0] == ("zone", "z0", 2.0, 50) and weights.rows[-1][2] == -1.375
    near = report_tables.neighbors_table(REPORT["embedding_map"])
    assert near.rows == [("zone", "z1", "z2 (0.97)")]
    groups = report_tables.fairness_table("test", REPORT["fairness"]["test"])
    assert groups.rows[1] == ("gender", "m", 101, 0.375, 0.75)
    layers = report_tables.health_table(REPORT["health"])
    assert layers.rows == [("h1", 0.25, 8.5, 0.01), ("h2", 0.25, 9.5, 0.01)]


def test_facts_of_the_run_that_are_known():
    rows = dict(report_tables.run_table(REPORT).rows)
    assert rows["train rows"] == 7000 and rows["git revision"] == "0123456789ab"
    assert report_tables.run_table({"task": "binary"}).rows == [("task", "binary")]
