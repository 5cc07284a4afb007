"""trainer.insight.embedding_charts: points where they are, names where there is room."""

import re

import numpy as np
from planted_reports import EVIL

from trainer.insight import embedding_charts

_NAME = re.compile(
    r'translate\(([\d.]+) ([\d.]+)\)[^>]*>(n\d+)<|x="([\d.]+)" y="([\d.]+)"[^>]*>(n\d+)<'
)


def names_of(svg):
    """{name: (x, y)} in points."""
    found = [[part for part in match if part] for match in _NAME.findall(svg)]
    return {name: (float(x), float(y)) for x, y, name in found}


def test_names_do_not_hide_each_other_and_the_frequent_go_first():
    # 60 values in a column of 2.9 inches: a line of 7 points has room for about 23 of them.
    names = [f"n{i}" for i in range(60)]
    found = {"names": names, "x": [0.0] * 60, "y": list(range(60)), "rows": list(range(60))}
    (chart,) = embedding_charts.charts({EVIL: found})
    named = names_of(chart.svg)
    assert "n59" in named and 15 <= len(named) <= 24
    on_a_side = {}
    for x, y in named.values():
        on_a_side.setdefault(x, []).append(y)
    for heights in on_a_side.values():
        assert np.diff(sorted(heights)).min() >= 7
    assert "<script" not in chart.svg


def test_names_at_the_edge_stand_inside():
    found = {"names": ["n1", "n2", "n3"], "x": [0.0, 1.0, 0.5], "y": [0.0, 1.0, 0.5]}
    (chart,) = embedding_charts.charts({"zone": found})
    assert len(names_of(chart.svg)) == 3
    assert all(0 < x < 302.4 for x, _ in names_of(chart.svg).values())
    assert chart.caption == "Embedding of zone in two dimensions"
