"""trainer.evaluation_config: options that would have no effect are refused."""

import pytest

from trainer.config import parse_config
from trainer.data_config import DataConfig
from trainer.errors import UserError

COLUMNS = {"a": "numeric", "c": "categorical", "w": "weight", "t": {"kind": "text"}}


def parse(task="binary", **evaluation):
    return parse_config(
        {
            "columns": COLUMNS,
            "label": {"column": "y", "task": task},
            "evaluation": evaluation,
        },
        "run.yaml",
    ).evaluation


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"task": "multiclass", "threshold": 0.3}, "no effect on multiclass, which takes the most"),
        ({"task": "multiclass", "threshold": "f1"}, "no effect on multiclass, which takes the mos"),
        ({"task": "regression", "threshold": 0.3}, "threshold has no effect on regression; leave"),
        ({"task": "regression", "calibration": "platt"}, "platt is not for label.task regression;"),
        (
            {"task": "multiclass", "calibration": "platt"},
            "evaluation.calibration platt is not for label.task multiclass; use temperature",
        ),
        (
            {"task": "multilabel", "calibration": "isotonic"},
            "isotonic is not for label.task multilabel; use platt or temperature",
        ),
        (
            {"cost_false_negative": 5},
            "cost_false_negative have an effect only with evaluation.threshold cost; it is 0.5",
        ),
        (
            {"cost_false_negative": 0, "threshold": "cost"},
            "cost_false_negative must be greater than 0",
        ),
        ({"calibration": "plat"}, "platt"),
        ({"threshold": "f2"}, "evaluation.threshold must be a number between 0 and 1, f1, cost"),
        ({"threshold": 1.5}, "evaluation.threshold must be a number between 0 and 1, f1, cost"),
        (
            {"fairness_columns": "c", "task": "regression"},
            "decisions of label.task binary; this is",
        ),
        ({"slice_columns": "y"}, "evaluation.slice_columns: 'y' is the label; name another"),
        ({"fairness_columns": ["w"]}, "evaluation.fairness_columns: 'w' is the weight; name anoth"),
        ({"slice_columns": ["t"]}, "'t' has several values in a row, kind text; name a column of"),
        ({"slice_columns": "c,c"}, "evaluation.slice_columns names a column twice: c, c"),
    ],
)
def test_an_option_without_effect_is_refused(evaluation, message):
    with pytest.raises(UserError) as caught:
        parse(**evaluation)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_stands_in_a_config_is_read():
    found = parse(threshold="recall@.90", slice_columns="c, district", fairness_columns=["gender"])
    assert found.threshold == "recall@0.9"
    assert found.slice_columns == ("c", "district")
    assert found.decides
    assert parse(threshold="cost", cost_false_negative="5").cost_false_negative == 5.0
    assert not parse(threshold="0.25").decides
    assert parse("multiclass", calibration="temperature").decides


@pytest.mark.parametrize("option", [{"threshold": "f1"}, {"calibration": "platt"}])
def test_a_decision_needs_rows_to_be_made_on(option):
    ((name, value),) = option.items()
    for data in (
        {"validation": ["v.csv"]},
        {"validation_fraction": 0.1},
        {"folds": 2},
    ):
        parse(**option).check_rows(DataConfig(**data))
    parse(threshold=0.3).check_rows(DataConfig())
    with pytest.raises(UserError, match=f"evaluation.{name} {value} is chosen on validation rows"):
        parse(**option).check_rows(DataConfig())
