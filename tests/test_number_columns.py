"""trainer.number_columns: what the options allow."""

import pytest
from pydantic import ValidationError

from trainer.columns import (
    Bucketized,
    Geo,
    Numeric,
)

POINTS = {"from_point": ("a", "b"), "to_point": ("c", "d")}


@pytest.mark.parametrize("clip", [(1, 1), (2, 1)])
def test_clip_needs_an_interval(clip):
    with pytest.raises(ValidationError, match="with low < high; received"):
        Numeric(clip=clip)


@pytest.mark.parametrize("rule", [{}, {"edges": [1], "quantiles": 4}])
def test_buckets_have_one_rule(rule):
    with pytest.raises(
        ValidationError, match="exactly one of edges, quantiles, distinct_quantiles; received"
    ):
        Bucketized(**rule)


@pytest.mark.parametrize("edges", [[], [1, 1], [2, 1]])
def test_edges_increase(edges):
    with pytest.raises(ValidationError, match="edges must be increasing and not empty; received"):
        Bucketized(edges=edges)


def test_edges_may_be_a_text():
    assert Bucketized(edges="1, 2.5").edges == (1.0, 2.5)


def test_outputs_of_a_geo_column_in_order():
    geo = Geo(**POINTS, distances=("bearing", "haversine"), landmarks={"JFK": (40.6, -73.8)})

    assert geo.outputs == ("haversine", "bearing_sin", "bearing_cos", "from_JFK", "to_JFK")
