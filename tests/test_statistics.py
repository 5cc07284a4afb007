"""trainer.statistics against numpy on the whole column, and against itself in other blocks."""

import dataclasses
import itertools
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splitmix import scalar_splitmix64

from trainer import tallies
from trainer.errors import UserError
from trainer.statistics import NumberStatistics, StatisticsBuilder, TableStatistics

WORDS = ["red", "green", "blue", "", None, "caf\u00e9", "Zebra"]


def make_table(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.lognormal(size=num_rows).astype(np.float32)
    x[rng.random(num_rows) < 0.1] = np.nan
    return {
        "x": x,
        "counts": rng.poisson(0.7, num_rows).astype(np.float32),
        "y": rng.normal(5, 2, num_rows),
        "color": pa.array([WORDS[i] for i in rng.integers(0, len(WORDS), num_rows)], pa.string()),
    }


def collect(table, bounds=(), weight=None, **options):
    """Statistics of a table that is added in blocks cut at `bounds`."""
    builder = StatisticsBuilder(["x", "counts"], ["color"], "y", **options)
    num_rows = len(table["y"])
    edges = [0, *sorted(min(b, num_rows) for b in bounds), num_rows]
    ids = np.arange(num_rows, dtype=np.uint64)
    for start, stop in itertools.pairwise(edges):
        builder.add(
            {name: column[start:stop] for name, column in table.items()},
            ids[start:stop],
            None if weight is None else weight[start:stop],
        )
    return builder


def test_numbers_agree_with_numpy():
    table = make_table(2000)
    statistics = collect(table, [700, 701, 1500]).finalize()
    x = table["x"][~np.isnan(table["x"])].astype(np.float64)
    got = statistics.numbers["x"]
    assert (got.count, got.missing) == (len(x), 2000 - len(x))
    assert got.mean == pytest.approx(x.mean(), rel=1e-12)
    assert got.sd == pytest.approx(x.std(), rel=1e-12)
    fourth = np.mean((x - x.mean()) ** 4)
    assert got.kurtosis == pytest.approx(fourth / x.var() ** 2, rel=1e-10)
    assert (got.minimum, got.maximum) == (x.min(), x.max())
    assert got.distinct == len(set(x.tolist()))
    grid = np.linspace(0, 1, 1001)
    np.testing.assert_array_equal(got.quantiles, np.quantile(x, grid))
    values = sorted(set(x.tolist()))
    expected = values if len(values) <= 1001 else np.quantile(values, grid)
    np.testing.assert_array_equal(got.distinct_quantiles, expected)


def test_mode_zeros_and_distinct_values_of_a_count():
    values = make_table(2000)["counts"]
    got = collect(make_table(2000)).finalize().numbers["counts"]
    mode, frequency = Counter(values.tolist()).most_common(1)[0]
    assert (got.mode, got.mode_share) == (mode, frequency / 2000)
    assert got.zeros == (values == 0).sum()
    assert got.distinct == len(set(values.tolist()))


def test_label_and_weight():
    table = make_table(100)
    weight = np.linspace(0, 3, 100, dtype=np.float32)
    statistics = collect(table, [13], weight).finalize()
    assert statistics.num_rows == 100
    assert statistics.mean_weight == pytest.approx(1.5, rel=1e-6)
    assert statistics.label.mean == pytest.approx(table["y"].mean(), rel=1e-12)
    assert collect(table).finalize().mean_weight == 1.0


def test_tokens_are_counted_and_sorted():
    table = make_table(500)
    words = table["color"].to_pylist()
    counted = Counter(word for word in words if word)
    expected = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    for column in (table["color"], table["color"].dictionary_encode()):
        statistics = collect({**table, "color": column}, [100, 333]).finalize()
        assert statistics.tokens["color"] == tuple(expected)
        assert statistics.missing_tokens["color"] == sum(not word for word in words)


def test_tokens_of_equal_count_are_in_code_point_order():
    column = pa.array(["b", "\u00e9", "B", "a", "\U0001f600", "\uffee"])
    builder = StatisticsBuilder([], ["c"], "y")
    builder.add({"c": column, "y": np.zeros(6)}, np.arange(6, dtype=np.uint64))
    tokens = [token for token, _ in builder.finalize().tokens["c"]]
    assert tokens == ["B", "a", "b", "\u00e9", "\uffee", "\U0001f600"]


def test_many_tokens_are_summed_up_on_the_way(monkeypatch):
    monkeypatch.setattr(tallies, "MAX_PENDING_TOKENS", 3)
    table = make_table(500)
    in_blocks = collect(table, range(0, 500, 7)).finalize()
    monkeypatch.undo()
    assert in_blocks.tokens == collect(table).finalize().tokens


def assert_same(got, expected):
    """Equal but for sums of floats, which agree within 1e-9."""
    sums = ("mean", "sd", "kurtosis")
    got_numbers, expected_numbers = ({"label": s.label, **s.numbers} for s in (got, expected))
    for name, number in expected_numbers.items():
        for field in sums:
            assert getattr(got_numbers[name], field) == pytest.approx(
                getattr(number, field), rel=1e-9, abs=1e-12
            )
        same = {field: getattr(number, field) for field in sums}
        assert dataclasses.replace(got_numbers[name], **same) == number
    assert got.num_rows == expected.num_rows
    assert (got.tokens, got.missing_tokens) == (expected.tokens, expected.missing_tokens)


@settings(max_examples=30, deadline=None)
@given(
    bounds=st.lists(st.integers(0, 900), max_size=12),
    cut=st.integers(0, 900),
    sample_rows=st.sampled_from([1, 7, 64, 4096]),
    swap=st.booleans(),
)
def test_result_does_not_depend_on_the_blocks(bounds, cut, sample_rows, swap):
    table = make_table(900)
    whole = collect(table, sample_rows=sample_rows).finalize()
    assert_same(collect(table, bounds, sample_rows=sample_rows).finalize(), whole)
    parts = []
    for rows in (slice(0, cut), slice(cut, 900)):
        part = StatisticsBuilder(["x", "counts"], ["color"], "y", sample_rows)
        ids = np.arange(900, dtype=np.uint64)[rows]
        part.add({name: column[rows] for name, column in table.items()}, ids)
        parts.append(part)
    first, second = reversed(parts) if swap else parts
    first.merge(second)
    assert_same(first.finalize(), whole)


def test_sample_is_the_rows_of_lowest_hash():
    table = make_table(600)
    got = collect(table, [50, 400], sample_rows=100).finalize().label
    chosen = sorted(range(600), key=scalar_splitmix64)[:100]
    expected = np.quantile(table["y"][chosen], np.linspace(0, 1, 1001))
    np.testing.assert_array_equal(got.quantiles, expected)


def test_distinct_values_beyond_the_sample_are_estimated():
    values = np.tile(np.arange(50_000, dtype=np.float64), 2)
    builder = StatisticsBuilder([], [], "y", sample_rows=1024)
    builder.add({"y": values}, np.arange(100_000, dtype=np.uint64))
    # Standard error 1 / sqrt(1022) = 3.1%: four of them.
    assert builder.finalize().label.distinct == pytest.approx(50_000, rel=0.125)


def test_zero_has_no_sign():
    builder = StatisticsBuilder([], [], "y")
    builder.add({"y": np.array([0.0, -0.0, 1.0])}, np.arange(3, dtype=np.uint64))
    label = builder.finalize().label
    assert (label.distinct, label.zeros, label.mode_share) == (2, 2, 2 / 3)


def test_column_without_values_and_constant_column():
    builder = StatisticsBuilder(["none", "same"], [], "y")
    columns = {
        "none": pa.array([None, float("nan"), float("inf")], pa.float32()),
        "same": pa.array([7, None, 7], pa.float32()),
        "y": np.zeros(3),
    }
    builder.add(columns, np.arange(3, dtype=np.uint64))
    numbers = builder.finalize().numbers
    empty = NumberStatistics(0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, (), ())
    assert numbers["none"] == empty
    assert numbers["none"].bucket_edges(8) == ()
    same = numbers["same"]
    assert (same.mean, same.sd, same.kurtosis, same.missing, same.distinct) == (7, 0, 0, 1, 1)
    assert same.bucket_edges(8) == ()


def test_no_rows():
    statistics = StatisticsBuilder(["x"], ["c"], "y").finalize()
    assert (statistics.num_rows, statistics.mean_weight, statistics.tokens["c"]) == (0, 0, ())


def test_json_gives_an_equal_object_back():
    statistics = collect(make_table(300)).finalize()
    text = statistics.to_json()
    assert TableStatistics.from_json(text) == statistics
    assert TableStatistics.from_json(text).to_json() == text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda v: v.pop("label"),
        lambda v: v["label"].pop("mean"),
        lambda v: v["label"].update(other=1),
        lambda v: v.update(tokens=3),
        lambda v: v.update(other=3),
    ],
)
def test_malformed_json_is_refused(spoil):
    values = json.loads(collect(make_table(10)).finalize().to_json())
    spoil(values)
    with pytest.raises(UserError, match=r"not a statistics.json of this trainer .*statistics_path"):
        TableStatistics.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"num_rows": 10', '"num_rows": Infinity', "num_rows: .*integer"),
        ('"num_rows": 10', '"num_rows": -1', "num_rows: .*greater than or equal to 0"),
        ('"num_rows": 10', '"num_rows": 10.5', "num_rows: .*integer"),
        ('"num_rows": 10', f'"num_rows": {"[" * 10_000}', "recursion"),
        ('"sd": ', '"sd": -', "label.sd: .*greater than or equal to 0"),
        ('"mean": ', '"mean": NaN, "x": ', "label.mean: .*finite"),
        ('"mean": ', '"mean": null, "x": ', "label.mean: .*valid number"),
        ('"mean": ', '"mean": 1e39, "x": ', "label.mean: .*less than or equal to 3"),
        ('"quantiles": [', '"quantiles": ["1", ', "label.quantiles.0: .*valid number"),
        ("{", "[{", "JSON"),
    ],
)
def test_damaged_json_is_one_line_that_says_where(old, new, message):
    text = collect(make_table(10)).finalize().to_json()
    assert old in text
    with pytest.raises(
        UserError, match=rf"not a statistics.json of this trainer \(.*{message}"
    ) as e:
        TableStatistics.from_json(text.replace(old, new, 1))
    assert len(str(e.value)) < 400


def test_text_that_is_no_json_is_refused():
    with pytest.raises(UserError, match=r"not a statistics\.json of this trainer"):
        TableStatistics.from_json("[1, 2")


def test_builders_of_other_columns_do_not_merge():
    with pytest.raises(ValueError, match="cannot merge statistics"):
        StatisticsBuilder(["x"], [], "y").merge(StatisticsBuilder(["z"], [], "y"))
    with pytest.raises(ValueError, match="'y' is also among the numbers"):
        StatisticsBuilder(["y"], [], "y")
