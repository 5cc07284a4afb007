"""trainer.column_ranges: one name for many columns."""

import pytest

from trainer.column_ranges import expand_ranges
from trainer.config import parse_config
from trainer.errors import UserError


def config_of(columns, **sections):
    return parse_config(
        {"columns": columns, "label": {"column": "y", "task": "regression"}} | sections, "c.yaml"
    )


def test_ranges_become_columns_in_place_with_their_options():
    config = config_of(
        {
            "a": "numeric",
            "s_{001..300}": "numeric",
            "t{9..11}_{0..1}": {"kind": "numeric", "scale": "none", "buckets": 0},
        }
    )

    names = list(config.columns)
    assert names[0] == "a"
    assert names[1:301] == [f"s_{i:03d}" for i in range(1, 301)]
    assert names[301:] == ["t9_0", "t9_1", "t10_0", "t10_1", "t11_0", "t11_1"]
    assert config.columns["t10_1"].scale == "none"
    assert config.columns["s_123"].scale == "auto"


def test_sources_count_along():
    config = config_of({"x{1..3}": {"kind": "numeric", "source": "raw-{07..09}"}})

    assert [raw.name for raw in config.feature_inputs] == ["raw-07", "raw-08", "raw-09"]


@pytest.mark.parametrize(
    "columns, reason",
    [
        ({"x{3..1}": "numeric"}, "'x{3..1}' counts from 3 down to 1"),
        ({"x{1..999999}": "numeric"}, "stands for more than 100000 columns"),
        ({"x2": "numeric", "x{1..3}": "numeric"}, "'x2' stands twice, once by 'x{1..3}'"),
        (
            {"x{1..3}": {"kind": "numeric", "source": "r{1..2}"}},
            "'x{1..3}' has 3 names and its source 'r{1..2}' 2",
        ),
    ],
)
def test_ranges_that_make_no_columns_are_refused(columns, reason):
    with pytest.raises(UserError) as caught:
        config_of(columns)

    assert reason in str(caught.value)


def test_names_without_ranges_are_left_alone():
    columns = {"x{1..}": "numeric", 5: "numeric", "{a..b}": "numeric"}

    assert expand_ranges(columns) == columns
