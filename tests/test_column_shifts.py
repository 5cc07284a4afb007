"""trainer.insight.column_shifts: an unshifted column is not flagged at 95%, a shifted one is."""

import numpy as np
import pyarrow as pa
import pytest

from trainer.insight.column_shifts import MISSING, TableProfile, category_counts, column_shifts
from trainer.insight.divergence import shift_between
from trainer.statistics import StatisticsBuilder


def _profile(numbers, texts=None, ids=None, label=None):
    builder = StatisticsBuilder(
        numbers=["x"], categories=["c"] if texts is not None else [], label=label
    )
    columns = {"x": np.asarray(numbers, float)}
    if texts is not None:
        columns["c"] = pa.array(texts)
    if label:
        columns[label] = columns["x"] * 2
    # Ids are unique over all tables, and choose the rows of the sample.
    builder.add(columns, np.arange(len(columns["x"]), dtype=np.uint64))
    return TableProfile(builder.finalize(), ids or {})


def test_bins_are_tenths_of_the_base_with_the_missing_apart():
    random = np.random.default_rng(1)
    base, other = random.normal(size=4000), random.normal(0.4, 1.5, 3000)
    base[:400] = np.nan
    edges = np.quantile(base[400:], np.arange(1, 10) / 10)
    counts = [
        np.append(np.histogram(values, [-np.inf, *edges, np.inf])[0], np.isnan(values).sum())
        for values in (base, other)
    ]
    found = column_shifts(_profile(base), _profile(other))["x"]
    expected = shift_between(*counts)
    assert found.shift.js == pytest.approx(expected.js, rel=0.01)
    assert found.distance == found.shift.js


def test_whole_numbers_and_one_value_have_their_bins():
    base = np.repeat([1.0, 2.0, 6.0], [700, 200, 100])
    assert column_shifts(_profile(base), _profile(base))["x"].shift.js < 1e-6
    moved = column_shifts(_profile(base), _profile(np.repeat([1.0, 6.0], [700, 300])))["x"]
    assert moved.shift.linf == pytest.approx(0.2, abs=0.01)
    constant = column_shifts(_profile(np.ones(50)), _profile(np.repeat([1.0, 3.0], [30, 20])))["x"]
    assert constant.shift.linf == pytest.approx(0.4, abs=0.03)


def test_categories_are_compared_by_name_with_the_missing_ones():
    base = _profile(np.zeros(4), ["a", "a", "b", None], {"hour": {"1": 3, "2": 1}})
    other = _profile(np.zeros(2), ["a", "new"], {"hour": {"2": 2}})
    assert category_counts(base)["c"] == {"a": 2, "b": 1, MISSING: 1}
    found = column_shifts(base, other)
    assert (found["c"].kind, found["hour"].kind) == ("category", "category")
    large = column_shifts(
        _profile(np.zeros(400), ["a"] * 200 + ["b"] * 100 + [None] * 100),
        _profile(np.zeros(200), ["a"] * 100 + ["new"] * 100),
    )["c"]
    assert large.distance == large.shift.linf == pytest.approx(0.5)


def test_the_label_is_compared_where_both_have_one():
    base, other = _profile([1.0, 2.0], label="y"), _profile([1.0, 2.0])
    assert "(label)" not in column_shifts(base, other)
    assert column_shifts(base, base)["(label)"].shift.js == 0.0


@pytest.mark.parametrize("num_rows", [100, 1000, 10_000])
@pytest.mark.parametrize("kind", ["number", "category"])
def test_a_shift_beyond_chance_is_seen_and_chance_is_not(num_rows, kind):
    """Unshifted: 60 tables of n rows, at most 5% and its error above; shifted: nearly all.

    The shift is 0.4 sd, or 12 points of a share, at 1,000 rows, and by the root of n else.
    """
    random = np.random.default_rng(num_rows)
    step = np.sqrt(1000 / num_rows)

    def draw(size, shift):
        if kind == "number":
            return _profile(random.normal(0.4 * step * shift, 1, size))
        shares = np.array([0.5, 0.3, 0.15, 0.05]) + 0.12 * step * shift * np.array([-1, 1, 0, 0])
        return _profile(np.zeros(size), random.choice(list("abcd"), size, p=shares.clip(0)))

    name = "x" if kind == "number" else "c"
    base = draw(20_000, 0)
    flagged = {0: 0, 1: 0}
    for shift in flagged:
        for _ in range(60):
            found = column_shifts(base, draw(num_rows, shift))[name]
            flagged[shift] += found.distance > found.by_chance
    assert flagged[0] <= 60 * 0.05 + 3 * np.sqrt(60 * 0.05 * 0.95)
    assert flagged[1] >= 57
