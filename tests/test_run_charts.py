"""trainer.insight.run_charts: charts of training and of what was learned."""

import re

import numpy as np
from planted_reports import planted_report

from trainer.insight import run_charts

REPORT = planted_report()


def test_curves_mark_the_kept_step():
    charts = run_charts.curve_charts(REPORT["curves"], "rmse")
    assert [c.name for c in charts] == ["curve-loss", "curve-monitored", "curve-rates"]
    assert "overfitting" in charts[1].reading
    line = r'd="M ([\d.]+) [\d.]+ \nL \1 [\d.]+ \n" clip-path[^>]*stroke-dasharray[^>]*--muted'
    place = float(re.search(line, charts[0].svg)[1])
    # Steps 40 to 1160 with margins of 5% on an axis from 0.75 to 4.05 inches of 72 points.
    share = (840 - 40 + 0.05 * 1120) / (1.1 * 1120)
    np.testing.assert_allclose(place, 72 * (0.75 + 3.3 * share), atol=0.01)
    assert ">0.001<" in charts[2].svg  # and not the text of a formula


def test_references_are_drawn_where_they_do_not_squeeze_the_curve():
    # The curve goes from 5.9 down to 1.2; a reference at 40 would leave it a twelfth of the chart.
    near = {"wide_only": 1.63, "constant": 9.0, "absent": None}
    svg = run_charts.curve_charts(REPORT["curves"], "rmse", near)[1].svg
    assert ">wide only<" in svg and ">constant<" in svg and "absent" not in svg
    far = {"wide_only": 1.63, "constant": 40.0}
    assert ">constant<" not in run_charts.curve_charts(REPORT["curves"], "rmse", far)[1].svg


def test_curves_without_validation():
    curves = {"step": [1, 2], "loss": [2.0, None], "kept_step": 2}
    assert [c.name for c in run_charts.curve_charts(curves, "auc")] == ["curve-loss"]


def test_bars_name_columns_phases_and_crosses():
    assert "evaluate and export" in run_charts.seconds_chart(REPORT["seconds"]).svg
    assert "total" not in run_charts.seconds_chart(REPORT["seconds"]).svg
    assert "a_very_long_name_of_a_colum..." in run_charts.importance_chart(REPORT["importance"]).svg
    svg = run_charts.wide_weights_chart(REPORT["wide_weights"]).svg
    assert "zone = z0" in svg and "zone_x_hour" in svg and "<script" not in svg


def test_dependence_on_numbers_and_on_tokens():
    number, token = run_charts.dependence_charts(REPORT["partial_dependence"])
    assert (number.name, token.name) == ("dependence-0", "dependence-1")
    assert ">green<" in token.svg and ">green<" not in number.svg
    assert token.caption.startswith("Mean prediction where color")
    assert ">prediction<" in number.svg and ">prediction<" in token.svg
    found = {"a": {"values": [1, 2], "prediction": [0.1, 0.2], "class": "red"}}
    (chart,) = run_charts.dependence_charts(found, "multiclass")
    assert ">probability of red<" in chart.svg


def test_weights_of_classes_are_told_apart():
    weight = {"feature": "zone", "value": "z" * 60, "weight": 1.0, "class": "red"}
    found = {"positive": [weight, weight | {"class": "green"}], "negative": []}
    svg = run_charts.wide_weights_chart(found).svg
    assert re.search(">zone = z+[.]{3} for red<", svg) and "... for green<" in svg


def test_health_has_a_chart_for_what_was_measured():
    charts = run_charts.health_charts(REPORT["health"])
    assert [c.name for c in charts] == [
        "health-dead",
        "health-gradient-norm",
        "health-weight-norm",
    ]
    assert run_charts.health_charts({"layers": [], "steps": []}) == []


def test_of_many_layers_some_are_drawn_from_first_to_last():
    layers = [{"name": f"h{i}", "dead": [0.5]} for i in range(1, 61)]
    (chart,) = run_charts.health_charts({"layers": layers, "steps": [10]})
    assert chart.caption.endswith("; 12 of 60 layers")
    assert ">h1<" in chart.svg and ">h60<" in chart.svg and chart.svg.count(">h") == 12
