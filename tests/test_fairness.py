"""trainer.insight.fairness: rates by group as scikit-learn has them."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix
from tiny_table import make_config

from trainer.insight import fairness
from trainer.insight.fairness import group_rates
from trainer.insight.row_groups import RowGroups


def rows(num_rows=2000):
    rng = np.random.default_rng(0)
    place = rng.choice(3, num_rows, p=[0.5, 0.3, 0.2])
    is_positive = rng.random(num_rows) < 0.3 + 0.1 * place
    is_selected = rng.random(num_rows) < 0.2 + 0.5 * is_positive - 0.1 * place
    return place, is_positive, is_selected, rng.uniform(0.5, 2, num_rows)


def test_rates_of_groups_are_those_of_scikit_learn():
    place, is_positive, is_selected, weight = rows()
    groups = RowGroups("gender", place, ["f", "m", "x", "never"])
    found = group_rates(groups, is_positive, is_selected, weight)
    assert [one["value"] for one in found] == ["f", "m", "x"]
    for g, one in enumerate(found):
        chosen = place == g
        tn, fp, fn, tp = confusion_matrix(
            is_positive[chosen], is_selected[chosen], sample_weight=weight[chosen]
        ).ravel()
        assert one["rows"] == chosen.sum()
        assert one["tpr"] == pytest.approx(tp / (tp + fn))
        assert one["fpr"] == pytest.approx(fp / (fp + tn))
        assert one["positive_rate"] == pytest.approx((tp + fn) / weight[chosen].sum())
        assert one["selection_rate"] == pytest.approx((tp + fp) / weight[chosen].sum())
        assert one["tpr_low"] < one["tpr"] < one["tpr_high"]
    best = max(one["tpr"] for one in found)
    assert [one["tpr_behind"] for one in found] == pytest.approx(
        [best - one["tpr"] for one in found]
    )


def test_the_largest_gap_is_named(caplog):
    place, is_positive, is_selected, weight = rows()
    found = group_rates(RowGroups("g", place, ["a", "b", "c"]), is_positive, is_selected, weight)
    with caplog.at_level(logging.INFO, "trainer.insight.fairness"):
        fairness._log_gap("test", "g", found)
    worst, best = min(found, key=lambda r: r["tpr"]), max(found, key=lambda r: r["tpr"])
    assert f"rate of g {worst['value']} is {worst['tpr']:.3f}" in caplog.text
    assert f"of {best['value']} {best['tpr']:.3f}" in caplog.text


def test_a_group_without_positive_rows_has_no_rate():
    groups = RowGroups("g", np.array([0, 0, 1]), ["a", "b"])
    is_positive = np.array([False, False, True])
    a, b = group_rates(groups, is_positive, is_positive, np.ones(3))
    assert (a["tpr"], a["tpr_behind"], a["fpr"]) == (None, None, 0.0)
    assert (b["tpr"], b["fpr"]) == (1.0, None)


def test_nobody_asked_is_nothing_said():
    assert fairness.produce(SimpleNamespace(config=make_config())) == {}
