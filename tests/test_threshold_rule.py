"""trainer.threshold_rule: what `evaluation.threshold` may say."""

import pytest

from trainer.threshold_rule import ThresholdRule, read_rule, valid_threshold


@pytest.mark.parametrize(
    ("value", "rule", "text"),
    [
        (0.25, ThresholdRule("number", 0.25), 0.25),
        ("0.25", ThresholdRule("number", 0.25), 0.25),
        ("1e-3", ThresholdRule("number", 0.001), 0.001),
        (" f1 ", ThresholdRule("f1"), "f1"),
        ("cost", ThresholdRule("cost"), "cost"),
        ("precision@.95", ThresholdRule("precision", 0.95), "precision@0.95"),
        ("recall@1", ThresholdRule("recall", 1.0), "recall@1"),
    ],
)
def test_a_rule_is_read_from_config_and_flags(value, rule, text):
    assert read_rule(value) == rule
    assert valid_threshold(value) == text
    assert read_rule(valid_threshold(value)) == rule


def test_training_watches_the_number_or_one_half():
    assert read_rule("0.3").while_training == 0.3
    assert [read_rule(text).while_training for text in ("f1", "recall@0.9")] == [0.5, 0.5]
    assert [read_rule(text).is_chosen for text in ("0.5", "cost")] == [False, True]


@pytest.mark.parametrize(
    "value",
    [
        *(0, 1, 1.0, -0.5, True, None, "nan", "", "@0.5", "0.5@0.5", "1_0"),
        *("f2", "f1@0.5", "precision", "precision@", "recall@0", "recall@1.5"),
    ],
)
def test_anything_else_is_refused(value):
    with pytest.raises(ValueError, match="must be a number between 0 and 1, f1, cost, or precis"):
        read_rule(value)


def test_a_slip_is_named():
    with pytest.raises(ValueError, match=r"received 'presicion@0.9'; did you mean .precision@0.9"):
        read_rule("presicion@0.9")
