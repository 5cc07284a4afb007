"""trainer.init.point_pairs: places among the columns."""

import numpy as np
import pyarrow as pa
import pytest

from trainer.init.point_pairs import find_points, find_way
from trainer.insight.column_profile import profile_column


def profiles(*names, low=-60.0, high=60.0):
    values = [f"{v:.4f}" for v in np.linspace(low, high, 50)]
    return {name: profile_column(name, pa.array(values)) for name in names}


@pytest.mark.parametrize(
    "names",
    [
        ("pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude"),
        ("startLat", "startLng", "endLat", "endLng"),
        ("lat", "long", "merch_lat", "merch_long"),
        ("lat1", "lon1", "lat2", "lon2"),
    ],
)
def test_way_leads_from_the_start_to_the_end(names):
    way = find_way(find_points(profiles(*names)), frozenset(names))
    assert way.options == {
        "kind": "geo",
        "from_point": [names[0], names[1]],
        "to_point": [names[2], names[3]],
    }
    assert way.name == "trip"


def test_end_is_known_by_its_word_wherever_it_stands():
    names = ("to_lat", "to_lon", "home_lat", "home_lon", "from_lat", "from_lon")
    way = find_way(find_points(profiles(*names)), frozenset(["trip"]))
    assert (way.start.role, way.end.role, way.name) == ("from", "to", "way")


def test_one_point_or_three_without_a_word_make_no_way():
    assert find_way(find_points(profiles("lat", "lon")), frozenset()) is None
    names = ("a_lat", "a_lon", "b_lat", "b_lon", "c_lat", "c_lon")
    points = find_points(profiles(*names))
    assert [p.role for p in points] == ["a", "b", "c"]
    assert find_way(points, frozenset()) is None


def test_values_beyond_the_globe_and_other_words_are_no_place():
    assert find_points(profiles("lat", "lon", low=0, high=5000)) == []
    assert find_points(profiles("flat", "long_term")) == []
