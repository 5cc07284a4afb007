"""trainer.insight.row_groups: the values of raw columns, in the order of the rows."""

import numpy as np
import pandas as pd
import pytest

from trainer.blocks import open_parts
from trainer.cluster import Cluster
from trainer.config import parse_config
from trainer.data_files import find_files, with_tables
from trainer.insight import row_groups
from trainer.insight.row_groups import MISSING, Grouping


def table(num_rows=1000, seed=0, **columns):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(size=num_rows),
            "few": rng.integers(0, 3, num_rows).astype(float),
            "city": rng.choice(["rome", "oslo", None], num_rows),
            "tags": "a b",
            "region": rng.choice(["north", "south"], num_rows),
            "w": 1.0,
            "y": rng.normal(size=num_rows),
            **columns,
        }
    )


def opened(tables, only=None, **evaluation):
    config = parse_config(
        {
            "columns": {
                "x": "numeric",
                "few": "numeric",
                "city": "categorical",
                "tags": {"kind": "text"},
                "w": "weight",
            },
            "label": {"column": "y", "task": "regression"},
            "evaluation": evaluation,
        },
        "test",
    )
    config = with_tables(config, tables, Cluster())
    return Grouping(config, only), open_parts(config, find_files(config.data, "", tables))


def of(grouping, part, num_rows):
    return {groups.column: groups for groups in grouping.groups(part, num_rows)}


def test_rows_are_told_apart_by_values_and_tenths():
    rows = table()
    rows.loc[::10, "x"] = np.nan
    grouping, parts = opened({"train": rows})
    assert grouping.names == ("x", "few", "city")
    found = of(grouping, parts["train"], 1000)
    values = np.array(found["city"].values)[found["city"].place_R]
    assert values.tolist() == rows.city.fillna(MISSING).tolist()
    values = np.array(found["few"].values)[found["few"].place_R]
    assert values.tolist() == [f"{x:g}" for x in rows.few]
    x = found["x"]
    assert len(x.values) == 11 and x.values[-1] == MISSING
    assert (x.place_R[::10] == 10).all()
    counts = np.bincount(x.place_R)
    assert counts[:10].sum() == 900 and abs(counts[:10] - 90).max() <= 1
    edges = np.quantile(rows.x.dropna(), np.arange(1, 10) / 10, method="inverted_cdf")
    expected = np.searchsorted(edges.astype(np.float32), rows.x.astype(np.float32), side="right")
    kept = rows.x.notna()
    np.testing.assert_array_equal(x.place_R[kept], expected[kept])
    assert x.values[0] == f"below {edges[0]:g}" and x.values[9] == f"{edges[8]:g} and above"


def test_parts_are_cut_alike():
    tables = {"train": table(), "validation": table(500, 1), "test": table(300, 2)}
    tables["test"]["x"] += 2
    tables["test"]["few"] = 7.0
    grouping, parts = opened(tables)
    first = of(grouping, parts["validation"], 500)
    second = of(grouping, parts["test"], 300)
    assert second["x"].values == first["x"].values
    assert np.bincount(second["x"].place_R)[9] > 200
    # A number that no row of the first part has joins the next smaller one.
    assert {second["few"].values[i] for i in second["few"].place_R} == {"2"}


def test_a_column_that_is_no_feature_is_read_where_it_is_asked_for(monkeypatch):
    rows = table()
    grouping, parts = opened({"train": rows}, slice_columns=["region"])
    assert grouping.names == ("x", "few", "city", "region")
    found = of(grouping, parts["train"], 400)["region"]
    assert np.array(found.values)[found.place_R].tolist() == rows.region[:400].tolist()
    monkeypatch.setattr(row_groups, "MOST_CELLS", 1600)
    assert (grouping.num_rows(1000), grouping.num_rows(300)) == (400, 300)


@pytest.mark.parametrize("value", [np.nan, 5.0])
def test_a_constant_column_is_one_group(value):
    grouping, parts = opened({"train": table(x=value, city=None)})
    found = of(grouping, parts["train"], 1000)
    assert len(set(found["x"].place_R)) == 1
    assert found["x"].values[found["x"].place_R[0]] == (MISSING if np.isnan(value) else "5")
    assert list(found["city"].values) == [MISSING]


def test_only_the_columns_that_are_asked_for_are_grouped():
    rows = table()
    whole, parts = opened({"train": rows}, slice_columns=["region"])
    some, _ = opened({"train": rows}, only=["region", "x"], slice_columns=["region"])
    expected, found = of(whole, parts["train"], 1000), of(some, parts["train"], 1000)
    assert list(found) == ["x", "region"]
    for name, groups in found.items():
        np.testing.assert_array_equal(groups.place_R, expected[name].place_R)
        assert list(groups.values) == list(expected[name].values)
