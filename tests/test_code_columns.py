"""trainer.init.code_columns: identifiers and codes among numbers."""

import numpy as np
import pyarrow as pa

from trainer.init.column_kinds import choose_kind
from trainer.init.column_profile import profile_column
from trainer.init.table_facts import TableFacts

N = 2000
RNG = np.random.default_rng(7)
NOISE = RNG.normal(0, 1, N)


def facts(target=NOISE, total_rows=N):
    return TableFacts(np.asarray(target, float), "regression", total_rows)


def choice(values, name="c", known=None):
    profile = profile_column(name, pa.array([str(v) for v in values]))
    return choose_kind(profile, known or facts())


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
    # Each value has its own level beside the trend, but a small one: finer buckets, not a code.
    prices = choice(shops, known=facts(0.01 * shops + 0.4 * levels[shops] + noise, 20_000))
    assert prices.options == {"kind": "numeric", "buckets": 512, "embedding_dim": 8}
    new = TableFacts(levels[shops] + noise, "regression", 20_000, frozenset(["c"]))
    assert choice(shops, known=new).options == {"kind": "numeric"}


def test_identifiers_are_distinct_beyond_chance_or_by_name():
    assert choice(RNG.permutation(N) + 5000).kind == "key"
    assert choice([f"u-{i}" for i in range(N)]).kind == "key"
    wide = RNG.choice(10**12, N, replace=False)
    assert choice(wide, name="turnover").kind == "numeric"
    assert choice(wide, name="order_id").kind == "key"
    assert choice(RNG.normal(0, 1, N)).kind == "numeric"  # all distinct, but no whole numbers
