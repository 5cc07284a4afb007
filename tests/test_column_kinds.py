"""trainer.init.column_kinds: each kind from its planted column."""

import numpy as np
import pyarrow as pa
import pytest
from planted_tables import NUM_VALUES as N
from planted_tables import choice, facts

from trainer.id_encoders import FALSE_TEXTS, TRUE_TEXTS
from trainer.init import column_kinds
from trainer.init.column_kinds import choose_kind, find_sentinel
from trainer.insight.column_profile import profile_column

RNG = np.random.default_rng(8)


def test_numbers_stay_numbers():
    amounts = np.round(RNG.gamma(2, 100, N), 2)
    found = choice(amounts)
    assert found.options == {"kind": "numeric"} and "numbers, " in found.reason
    assert choice(RNG.integers(0, 12, N)).kind == "numeric"
    zero_inflated = choice(np.where(RNG.random(N) < 0.9, 0, RNG.integers(1, 9999, N)))
    assert zero_inflated.kind == "numeric" and "% are 0" in zero_inflated.reason


def test_columns_without_information_are_ignored():
    assert choice(["x"] * N).reason == "is 'x' in every row"
    assert choice([""] * N).reason == "no row has a value"
    texts = choice([f"remark {i // 3}" for i in range(N)])
    assert texts.kind == "ignore" and texts.reason.startswith("667 values, none in 10 of the 2000")


def test_hardly_any_values_are_none():
    few = ["7" if i < 9 else "" for i in range(N)]
    assert choice(few).reason == "a value in 9 rows only"


def test_one_value_or_none_is_a_category():
    assert choice(np.where(RNG.random(N) < 0.5, "x", "")).kind == "categorical"


@pytest.mark.parametrize(
    "texts", [("yes", "no"), ("TRUE", "FALSE"), ("t", "f"), ("1", "0"), ("Y", "N")]
)
def test_two_truth_values_are_boolean(texts):
    assert choice(np.array(texts)[RNG.integers(0, 2, N)]).options == {"kind": "boolean"}


@pytest.mark.parametrize("texts", [("1.0", "0.0"), ("yes", "maybe"), ("1", "2"), ("m", "f")])
def test_other_pairs_are_not(texts):
    found = choice(np.array(texts)[RNG.integers(0, 2, N)])
    assert found.kind in ("numeric", "categorical")


def test_truth_values_are_those_of_the_trainer():
    assert set(FALSE_TEXTS) == column_kinds.FALSE_TEXTS
    assert set(TRUE_TEXTS) == column_kinds.TRUE_TEXTS


def test_texts_are_categories_and_their_rest_is_said():
    city = np.array(["Rome", "Oslo", "Bonn"])[RNG.integers(0, 3, N)]
    assert choice(city).options == {"kind": "categorical"}
    assert choice(city).reason == "3 values"
    long_tail = np.where(RNG.random(N) < 0.8, city, [f"v{i}" for i in range(N)])
    found = choice(long_tail)
    assert found.kind == "categorical"
    assert "the 3 frequent ones fill" in found.reason


def test_codes_that_look_like_numbers_are_categories():
    zips = RNG.integers(1, 60, N)
    padded = choice([f"{z:05d}" for z in zips])
    assert padded.options == {"kind": "categorical"}
    assert padded.reason == "59 values; digits with leading zeros are codes"
    assert "by its name codes" in choice(zips * 13, name="store_id").reason
    assert choice(zips * 13, name="paid").kind == "numeric"


def test_dates_are_dates_with_the_parts_that_differ():
    days = np.datetime64("2013-01-01") + RNG.integers(0, 365, N)
    found = choice(days)
    assert found.options == {
        "kind": "datetime",
        "format": "%Y-%m-%d",
        "parts": ["month", "day_of_week"],
    }
    times = np.datetime64("2013-01-01T00:00:00") + RNG.integers(0, 10**8, N)
    assert choice(times).options["cyclic"] == ["hour"]
    compact = choice([str(day).replace("-", "") for day in days])
    assert compact.options["format"] == "%Y%m%d"
    ambiguous = choice(["01/02/2020", "03/04/2020", "05/06/2020"] * 500)
    assert ambiguous.findings == ("day and month cannot be told apart: read as %d/%m/%Y",)
    same = choice([f"2020-01-06 0{i % 3}:00:00"[:10] + " 03:00:0" + str(i % 3) for i in range(N)])
    assert same.kind == "ignore" and "always the same" in same.reason


def test_weights_are_known_by_their_name():
    weights = np.round(RNG.uniform(0.5, 2, N), 3)
    assert choice(weights, name="sample_weight").options == {"kind": "weight"}
    assert choice(-weights, name="sample_weight").kind == "numeric"
    person = choice(weights, name="weight")
    assert person.kind == "numeric" and "make it kind weight" in person.findings[0]


@pytest.mark.parametrize(
    ("values", "sentinel"),
    [
        (np.where(RNG.random(N) < 0.1, -999, RNG.integers(0, 400, N)), "-999"),
        (np.where(RNG.random(N) < 0.1, -1, RNG.integers(0, 400, N)), "-1"),
        (np.where(RNG.random(N) < 0.1, 99999, RNG.integers(0, 4000, N)), "99999"),
        (RNG.integers(-999, 999, N), None),
        (np.where(RNG.random(N) < 0.1, 0, RNG.integers(1, 400, N)), None),
    ],
)
def test_sentinels_are_a_remark(values, sentinel):
    profile = profile_column("c", pa.array([str(v) for v in values]))
    assert find_sentinel(profile) == sentinel
    found = choose_kind(profile, facts())
    assert found.kind == "numeric"
    assert bool(found.findings) == (sentinel is not None)


@pytest.mark.parametrize(
    ("form", "note"),
    [
        ("${}", "numbers written with a sign, such as '$"),
        ("{} %", "numbers written with a sign"),
        ("1,{}", "numbers written with a comma"),
        ("{0[0]}{0[1]}:{0[2]}{0[3]}", "times of day such as '20:00'"),
        ("1/2/{}", "dates of varying width"),
    ],
)
def test_texts_that_want_mending_are_said(form, note):
    values = [form.format(str(2000 + i % 50)) for i in range(N)]
    assert note in choice(values).findings[0]


def test_missing_and_stray_values_are_findings():
    mostly_missing = choice(np.where(RNG.random(N) < 0.8, "", RNG.integers(0, 99, N).astype(str)))
    assert "of its values are missing" in mostly_missing.findings[0]
    stray = choice([*RNG.integers(0, 999, N - 2), "12O", "n.b."])
    assert stray.findings == (
        "numbers, but also '12O', 'n.b.': read as missing (data.null_values)",
    )


def test_very_many_values_are_hashed():
    """4,000 rows of 2 billion, half of them with a value of their own: too many to keep."""
    values = np.where(np.arange(4000) % 2, [f"v{i}" for i in range(4000)], "common")
    found = choice(values, known=facts(np.zeros(4000), 2 * 10**9))
    assert found.options == {"kind": "categorical", "hash_buckets": 1024}
    assert "too many for a vocabulary" in found.reason
