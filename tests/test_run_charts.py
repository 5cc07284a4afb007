"""trainer.insight.run_charts: charts of training and of what was learned."""

import re

import numpy as np
from planted_reports import EVIL, planted_report

from trainer.insight import run_charts

REPORT = planted_report()


def test_curves_mark_the_kept_step():
    charts = run_charts.curve_charts(REPORT["curves"], "rmse")
    assert [c.name for c in charts] == ["curve-loss", "curve-monitored", "curve-rates"]
    line = r'd="M ([\d.]+) [\d.]+ \nL \1 [\d.]+ \n" clip-path[^>]*stroke-dasharray[^>]*--muted'
    place = float(re.search(line, charts[0].svg)[1])
    # Steps 40 to 1160 with margins of 5% on an axis from 0.75 to 4.05 inches of 72 points.
    share = (840 - 40 + 0.05 * 1120) / (1.1 * 1120)
    np.testing.assert_allclose(place, 72 * (0.75 + 3.3 * share), atol=0.01)
    assert ">0.001<" in charts[2].svg  # and not the text of a formula


def test_curves_without_validation():
    curves = {"step": [1, 2], "loss": [2.0, None], "kept_step": 2}
    assert [c.name for c in run_charts.curve_charts(curves, "auc")] == ["curve-loss"]


def test_bars_name_columns_phases_and_crosses():
    assert "evaluate_and_export" in run_charts.seconds_chart(REPORT["seconds"]).svg
    assert "total" not in run_charts.seconds_chart(REPORT["seconds"]).svg
    assert "a_very_long_name_of_a_colum..." in run_charts.importance_chart(REPORT["importance"]).svg
    svg = run_charts.wide_weights_chart(REPORT["wide_weights"]).svg
    assert "zone = z0" in svg and "zone_x_hour" in svg and "<script" not in svg


def test_dependence_on_numbers_and_on_tokens():
    number, token = run_charts.dependence_charts(REPORT["partial_dependence"])
    assert (number.name, token.name) == ("dependence-0", "dependence-1")
    assert ">green<" in token.svg and ">green<" not in number.svg
    assert token.caption.startswith("Mean prediction where color")


def test_most_frequent_values_of_an_embedding_are_named():
    names = [f"n{i}" for i in range(60)]
    found = {"names": names, "x": [0.0] * 60, "y": list(range(60)), "rows": list(range(60))}
    (chart,) = run_charts.embedding_charts({EVIL: found})
    assert ">n59<" in chart.svg and ">n36<" in chart.svg and ">n35<" not in chart.svg
    assert "<script" not in chart.svg


def test_health_has_a_chart_for_what_was_measured():
    charts = run_charts.health_charts(REPORT["health"])
    assert [c.name for c in charts] == [
        "health-dead",
        "health-gradient-norm",
        "health-weight-norm",
    ]
    assert run_charts.health_charts({"layers": [], "steps": []}) == []
