"""trainer.init.code_columns: identifiers and codes among numbers."""

import numpy as np
from planted_tables import NUM_VALUES as N
from planted_tables import choice, facts

from trainer.init.table_facts import TableFacts

RNG = np.random.default_rng(8)


def test_codes_are_known_by_what_their_values_tell():
    """300 shops, each with its own level, in no order; the same numbers with a trend stay."""
    shops = RNG.integers(0, 300, 20_000)
    noise = RNG.normal(0, 1, 20_000)
    levels = RNG.normal(0, 1, 300)
    codes = choice(shops, known=facts(levels[shops] + noise, 20_000))
    assert codes.kind == "categorical" and "codes: single values tell" in codes.reason
    assert codes.instead == "numeric"
    amount = choice(shops, known=facts(0.01 * shops + noise, 20_000))
    assert amount.options == {"kind": "numeric"}
    # Each value has its own level beside the trend, but a small one: a bucket each, not a code.
    prices = choice(shops, known=facts(0.02 * shops + 0.6 * levels[shops] + noise, 20_000))
    assert prices.options == {"kind": "numeric", "buckets": 512, "embedding_dim": 8}
    new = TableFacts(levels[shops] + noise, "regression", 20_000, frozenset(["c"]))
    assert choice(shops, known=new).options == {"kind": "numeric"}


def test_identifiers_are_distinct_beyond_chance_or_by_name():
    assert choice(RNG.permutation(N) + 5000).kind == "key"
    assert choice(np.arange(N) + 17, name="day_number").kind == "numeric"
    assert choice([f"u-{i}" for i in range(N)]).kind == "key"
    wide = RNG.choice(10**12, N, replace=False)
    assert choice(wide, name="turnover").kind == "numeric"
    assert choice(wide, name="order_id").kind == "key"
    assert choice(RNG.normal(0, 1, N)).kind == "numeric"  # all distinct, but no whole numbers


def test_values_of_neighbours_only_are_not_believed_unless_the_table_is_sorted_by_them():
    """Days of the month over five years, each day with its own weather: none of it comes back."""
    dates = np.datetime64("2015-01-01") + np.repeat(np.arange(1800), 10)
    day = (dates - dates.astype("datetime64[M]")).astype(int) + 1
    weather = np.repeat(RNG.normal(0, 1, 1800), 10) + RNG.normal(0, 1, 18_000)
    assert choice(day, known=facts(weather, 18_000)).options == {"kind": "numeric"}
    shops = np.sort(RNG.integers(0, 300, 20_000))
    levels = RNG.normal(0, 1, 300)[shops] + RNG.normal(0, 1, 20_000)
    assert choice(shops, known=facts(levels, 20_000)).kind == "categorical"


def test_buckets_of_a_number_that_jumps_get_an_embedding():
    """Values that hardly come back, with 30 teeth, which no 16 lines follow; a sine needs none."""
    value = np.round(RNG.uniform(0, 1, 40_000), 7)
    noise = RNG.normal(0, 1, 40_000)
    teeth = choice(value, known=facts((value * 30 % 1 > 0.5) + noise, 40_000))
    assert teeth.options == {"kind": "numeric", "embedding_dim": 8}
    wave = choice(value, known=facts(np.sin(6 * value) + noise, 40_000))
    assert wave.options == {"kind": "numeric"}
