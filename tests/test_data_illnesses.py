"""trainer.insight.data_illnesses: each rule on both sides of its line."""

import pytest
from sick_histories import case, numbers

from trainer.insight import data_illnesses as rules
from trainer.insight.illness import Repeats

VALIDATION = {"rmse": 0.3, "mean_label": 0.5, "num_rows": 100}


def held_out(**metrics):
    return {"validation": VALIDATION | metrics}


def profile(**column):
    return {"columns": [{"column": "other"}, {"column": "age", **column}]}


def test_a_sound_run_has_none():
    assert [rule(case()) for rule in rules.RULES] == [None] * len(rules.RULES)


@pytest.mark.parametrize(("power", "severity"), [(0.9, None), (0.96, "warning"), (0.999, "alarm")])
def test_a_column_that_tells_the_label(power, severity):
    found = rules.leaking_column(case(data_profile=profile(leak=power)))
    assert (found and found.severity) == severity
    if found:
        assert f"age {power:.0%}" in found.evidence


@pytest.mark.parametrize(
    ("repeats", "is_named"),
    [
        (Repeats(0.9, 500, 1.0, 1.04), True),
        (Repeats(0.9, 500, 1.0, 1.06), False),
        (Repeats(0.9, 199, 1.0, 1.0), False),
        (Repeats(0.4, 500, 1.0, 1.0), False),
        (None, False),
    ],
)
def test_an_error_as_large_as_the_noise_among_equal_rows(repeats, is_named):
    found = rules.noise_floor(case(repeats=repeats))
    assert (found is not None) == is_named


@pytest.mark.parametrize(
    ("share", "recall", "is_named"),
    [(0.005, 0.5, True), (0.05, 0.5, False), (0.05, 0.0, True), (0.3, 0.0, False)],
)
def test_a_rare_class(share, recall, is_named):
    label = [1.0] * round(2000 * share) + [0.0] * round(2000 * (1 - share))
    options = {"task": "binary", "statistics": numbers(label), "metrics": held_out(recall=recall)}
    found = rules.class_imbalance(case(**options))
    assert (found is not None) == is_named
    if found:
        assert f"{share:.2%} of the training rows" in found.evidence


def test_a_rare_class_that_is_weighed_is_no_illness():
    rare = {"task": "binary", "statistics": numbers([1.0] + [0.0] * 999)}
    for network in ({"class_weights": "auto"}, {"loss": "focal"}):
        treated = rare | {"sections": {"model": network}}
        assert rules.class_imbalance(case(**treated, metrics=held_out(recall=0.5))) is None
        assert rules.class_imbalance(case(**treated, metrics=held_out(recall=0.0))) is not None


@pytest.mark.parametrize(("counts", "is_named"), [((995, 3, 2), True), ((800, 100, 100), False)])
def test_a_class_that_is_nearly_all(counts, is_named):
    classes = tuple((str(i), float(count)) for i, count in enumerate(counts))
    statistics = numbers([0.0, 1.0]).__class__(
        num_rows=1000, mean_weight=1.0, label=None, numbers={}, tokens={}, missing_tokens={},
        classes=classes,
    )  # fmt: skip
    found = rules.class_imbalance(case(task="multiclass", statistics=statistics))
    assert (found is not None) == is_named


@pytest.mark.parametrize(("rmse", "is_named"), [(0.494, False), (0.496, True), (0.6, True)])
def test_a_model_like_the_constant(rmse, is_named):
    found = rules.constant_prediction(case(metrics=held_out(rmse=rmse)))
    assert (found is not None) == is_named
    assert rules.constant_prediction(case(metrics=held_out(rmse=rmse), baselines={})) is None


@pytest.mark.parametrize(("share", "severity"), [(0.19, None), (0.2, "warning"), (0.5, "alarm")])
def test_values_that_training_did_not_have(share, severity):
    unseen = {"validation": 0.0, "test": share}
    found = rules.out_of_vocabulary(case(data_profile=profile(unseen=unseen)))
    assert (found and found.severity) == severity


def test_a_label_of_another_mean():
    # The standard deviation is 0.5; at 100 against 100 rows four errors are 0.57 of it.
    assert rules.mismatch(case(metrics=held_out(mean_label=0.78))) is None
    found = rules.mismatch(case(metrics=held_out(mean_label=0.8)))
    assert "mean label is 0.5 in training, 0.8 in validation" in found.evidence
    shifted = held_out(mean_label=0.8)
    thinned = {"data": {"negative_keep": 0.5}}
    assert rules.mismatch(case(metrics=shifted, task="binary", sections=thinned)) is None


@pytest.mark.parametrize(
    ("kind", "js", "linf", "by_chance", "is_named"),
    [
        ("number", 0.3, 0.9, 0.0, False),
        ("number", 0.4, 0.1, 0.1, True),
        ("number", 0.4, 0.1, 0.5, False),
        ("category", 0.1, 0.4, 0.1, True),
    ],
)
def test_a_column_that_drifted(kind, js, linf, by_chance, is_named):
    chance = {"js_by_chance": by_chance, "linf_by_chance": by_chance}
    drift = {"validation": {"js": js, "linf": linf, **chance}}
    found = rules.mismatch(case(data_profile=profile(kind=kind, drift=drift)))
    assert (found is not None) == is_named
    if found:
        assert "age (distance 0.40)" in found.evidence
