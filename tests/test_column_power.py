"""trainer.insight.column_power: what a column alone tells, leaks and twins."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from trainer.insight.column_power import LEAK_POWER, column_power, find_twins, gini, ranks
from trainer.insight.column_profile import profile_column
from trainer.insight.held_out import Halves


def power(values, target, task):
    profile = profile_column("c", pa.array([str(v) for v in values]))
    return column_power(profile, np.asarray(target, float), Halves.of(len(target)), task)


def test_copies_and_functions_of_the_target_have_full_power():
    rng = np.random.default_rng(1)
    target = np.exp(rng.normal(0, 2, 4000))
    for leak in (target, -3 * target + 7, np.log(target), np.round(target, 2)):
        assert power(leak, target, "regression") > LEAK_POWER
    label = (target > 3).astype(float)
    assert power(np.where(label, "sold", "kept"), label, "binary") == 1
    assert power(target, label, "binary") > LEAK_POWER
    assert power(1 - label, label, "binary") == 1


def test_a_strong_but_honest_column_is_no_leak():
    rng = np.random.default_rng(2)
    carat = rng.gamma(2, 1, 8000)
    price = np.exp(np.log(carat) * 1.7 + rng.normal(0, 0.25, 8000))
    found = power(np.round(carat, 2), price, "regression")
    # Its R^2 on ranks at the best, from the true curve.
    best = np.corrcoef(ranks(carat), ranks(price))[0, 1] ** 2
    assert best - 0.02 < found < best + 0.005 < LEAK_POWER


def test_noise_and_names_have_no_power():
    rng = np.random.default_rng(3)
    target = rng.normal(0, 1, 3000)
    assert power(rng.normal(0, 1, 3000), target, "regression") < 0.01
    assert power(rng.integers(0, 500, 3000), target, "regression") < 0.01
    assert power([f"name {i}" for i in range(3000)], target, "regression") == 0


def test_missing_values_are_a_cell_of_their_own():
    """A leak by absence: the date of death is known of the dead only."""
    label = (np.arange(2000) % 3 == 0).astype(float)
    values = ["" if not dead else str(1900 + i % 100) for i, dead in enumerate(label)]
    assert power(values, label, "binary") == 1


def test_gini_is_that_of_the_auc():
    rng = np.random.default_rng(4)
    label = rng.integers(0, 2, 500).astype(float)
    scores = np.round(label + rng.normal(0, 1, 500), 1)
    assert gini(label, scores) == pytest.approx(2 * roc_auc_score(label, scores) - 1)
    assert gini(np.ones(3), np.arange(3.0)) == 0


def test_twins_are_one_to_one():
    codes = np.random.default_rng(5).integers(0, 4, 100)
    columns = {
        "code": codes,
        "name": np.array(["UA", "AA", "DL", "B6"])[codes],
        "coarse": codes // 2,
        "row": np.arange(100),
        "line": np.arange(100) + 7,
    }
    profiles = {n: profile_column(n, pa.array(list(map(str, v)))) for n, v in columns.items()}
    assert find_twins(profiles) == {"name": "code"}
