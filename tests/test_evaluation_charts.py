"""trainer.insight.evaluation_charts: what is drawn is where the figures say."""

import re

import numpy as np
from planted_reports import TASKS, planted_report

from trainer.insight import evaluation_charts


def charts_of(task):
    found = planted_report(task)["evaluation"]["test"]
    return {c.name: c for c in evaluation_charts.charts("test", found)}


def test_each_task_has_its_charts():
    assert {task: list(charts_of(task)) for task in TASKS} == {
        "regression": ["scatter-test", "residuals-test"],
        "binary": ["roc-test", "pr-test", "calibration-test", "scores-test"],
        "multiclass": ["confusion-test", "by-class-test"],
        "multilabel": ["confusion-test", "by-class-test"],
    }


def test_operating_point_is_the_rates_of_the_confusion():
    # tp 301, fn 194, fp 102, tn 903 by hand.
    rates = evaluation_charts._rates({"tp": 301, "fp": 102, "tn": 903, "fn": 194})
    expected = {"tpr": 301 / 495, "fpr": 102 / 1005, "precision": 301 / 403, "positives": 0.33}
    assert rates.keys() == expected.keys()
    np.testing.assert_allclose([rates[key] for key in expected], list(expected.values()))
    assert evaluation_charts._rates({"tp": 0, "fp": 2, "tn": 3, "fn": 0}) == {}
    assert "precision" not in evaluation_charts._rates({"tp": 0, "fp": 0, "tn": 3, "fn": 1})


def test_roc_goes_through_its_points():
    svg = charts_of("binary")["roc-test"].svg
    paths = re.findall(r'd="([^"]+)" clip-path[^>]*stroke: var\(--first\)', svg)
    points = np.array(re.findall(r"([\d.]+) ([\d.]+)", paths[0]), float)
    # 4.2 x 3 inches of 72 points, 0.75 and 0.15 beside the axes, 0.48 below and, for a line of the
    # legend, 0.29 above, and within them margins of 5%.
    fpr = (points[:, 0] / 72 - 0.75) / 3.3 * 1.1 - 0.05
    tpr = (3 - points[:, 1] / 72 - 0.48) / 2.23 * 1.1 - 0.05
    np.testing.assert_allclose(tpr, np.sqrt(np.clip(fpr, 0, 1)), atol=2e-3)
    np.testing.assert_allclose(fpr[[0, -1]], [0, 1], atol=1e-5)


def test_thousands_of_cells_are_one_image():
    svg = charts_of("regression")["scatter-test"].svg
    assert svg.count("<image") == 1 and len(svg) < 60_000


def test_names_of_a_series_of_classes_are_told_apart_and_stay_inside():
    names = [f"product number {i}" for i in (17, 499)]
    found = {"classes": names, "confusion": [[5, 1], [0, 4]]}
    (chart,) = evaluation_charts.charts("test", found)
    assert chart.svg.count(">produc...r 499<") == 2
    # 288 points high, the label of the axis at the very bottom.
    (height,) = re.findall(r'y="([\d.]+)"[^>]*>predicted<', chart.svg)
    assert 230 < float(height) < 288


def test_slices_are_named_worst_on_top():
    chart = evaluation_charts.slices_chart("test", planted_report()["slices"]["test"])
    places = {
        name: float(re.search(rf'y="([\d.]+)"[^>]*>{name}<', chart.svg)[1])
        for name in ("zone = z0", "zone = z11")
    }
    assert places["zone = z0"] < places["zone = z11"] and "zone = z12" not in chart.svg


def test_gaps_and_missing_intervals_are_no_error():
    slices = [{"column": "a", "value": "b", "bias": 1.0, "bias_low": None}, {"column": "c"}]
    assert "a = b" in evaluation_charts.slices_chart("test", slices).svg
    empty = {"edges": [0, 0.5, 1], "negatives": [0, 0], "positives": [0, 0]}
    assert len(evaluation_charts.charts("test", {"score_histogram": empty})) == 1
