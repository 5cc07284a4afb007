"""trainer.init.cross_proposals: planted interactions are found, and nothing else."""

import numpy as np
import pyarrow as pa
import pytest

from trainer.init.column_kinds import ColumnChoice
from trainer.init.cross_proposals import propose_crosses
from trainer.init.table_facts import TableFacts
from trainer.insight.column_profile import profile_column

N = 12_000


def proposals(columns, target, task):
    profiles = {
        n: profile_column(n, pa.array([str(v) for v in c])) for n, (c, _) in columns.items()
    }
    choices = [ColumnChoice(n, options, "") for n, (_, options) in columns.items()]
    known = TableFacts(np.asarray(target, float), task, N)
    return propose_crosses(profiles, choices, {}, known)


def categories(rng, num):
    return np.array([f"v{i}" for i in range(num)])[rng.integers(0, num, N)], {"kind": "categorical"}


def test_exclusive_or_is_the_one_proposal_with_its_information():
    """Right in 80% of the rows: 1 - H(0.2) bits = 0.278."""
    rng = np.random.default_rng(1)
    columns = {name: categories(rng, 2) for name in "abcde"}
    odd = (columns["a"][0] == "v1") ^ (columns["c"][0] == "v1")
    found = proposals(columns, odd ^ (rng.random(N) < 0.2), "binary")
    assert [cross.columns for cross in found] == [("a", "c")]
    assert found[0].gain == pytest.approx(0.278, abs=0.02)
    assert found[0].bins == 16 and found[0].cells == {} and found[0].share > 0.99


def test_product_of_two_numbers_is_found_in_cells():
    rng = np.random.default_rng(2)
    x, y, z = rng.uniform(-1, 1, (3, N))
    columns = {
        n: (np.round(v, 6), {"kind": "numeric"}) for n, v in zip("xyz", (x, y, z), strict=True)
    }
    (found,) = proposals(columns, x + z + 3 * x * y + rng.normal(0, 1, N), "regression")
    assert found.columns == ("x_cell", "y_cell")
    assert found.bins == 17 * 17
    assert found.cells["x_cell"] == {
        "kind": "bucketized",
        "source": "x",
        "quantiles": 16,
        "towers": [],
    }


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_additive_columns_are_not_crossed(task):
    """Also where their sum bends: an additive logit is no interaction."""
    rng = np.random.default_rng(3)
    columns = {name: categories(rng, 12) for name in "abcd"}
    effects = sum(
        rng.normal(0, 1, 12)[np.array([int(v[1:]) for v in columns[n][0]])] for n in "abcd"
    )
    target = effects + rng.normal(0, 1, N)
    if task == "binary":
        target = rng.random(N) < 1 / (1 + np.exp(-effects))
    assert proposals(columns, target, task) == []


def test_days_do_not_vouch_for_themselves():
    """Rows by day, each with its own level: month x place would tell days apart, of other days."""
    rng = np.random.default_rng(4)
    days = np.repeat(np.arange(120), N // 120)
    dates = (np.datetime64("2013-01-01") + days).astype(str)
    columns = {
        "date": (
            dates,
            {"kind": "datetime", "format": "%Y-%m-%d", "parts": ["month", "day_of_week"]},
        ),
        "place": categories(rng, 3),
    }
    target = rng.normal(0, 1, 120)[days] + rng.normal(0, 1, N)
    assert proposals(columns, target, "regression") == []


def test_hour_and_weekday_are_crossed_as_parts():
    rng = np.random.default_rng(5)
    hours = rng.integers(0, 24 * 700, N)
    times = np.datetime64("2013-01-07T00:00:00") + hours.astype("timedelta64[h]")
    weekend, night = hours // 24 % 7 >= 5, hours % 24 < 12
    options = {
        "kind": "datetime",
        "format": "%Y-%m-%dT%H:%M:%S",
        "parts": ["month", "day_of_week", "hour"],
    }
    columns = {"t": (times, options), "place": categories(rng, 5)}
    # Parts of one column are not proposed: hour x place alone is left.
    late = columns["place"][0] == "v0"
    target = 1.0 * (weekend ^ night) + 2.0 * (night & late) + rng.normal(0, 1, N)
    found = proposals(columns, target, "regression")
    assert [set(cross.columns) for cross in found] == [{"t.hour", "place"}]


def test_a_single_feature_has_no_pair():
    rng = np.random.default_rng(6)
    assert proposals({"a": categories(rng, 3)}, rng.normal(0, 1, N), "regression") == []
