"""trainer.model_config: what auto stands for."""

import re

import pytest

from trainer.config import parse_config
from trainer.errors import UserError

COLUMNS = {"a": "numeric", "c": "categorical"}
BASE = {"columns": COLUMNS, "label": {"column": "y", "task": "binary"}}


@pytest.mark.parametrize(
    ("task", "given", "dropouts"),
    [
        ("binary", {}, (0.2, 0.1)),
        ("regression", {}, (0.1, 0.0)),
        ("regression", {"dropout": 0.4}, (0.4, 0.0)),
        ("binary", {"input_dropout": 0}, (0.2, 0.0)),
    ],
)
def test_dropout_that_is_auto_depends_on_the_task(task, given, dropouts):
    model = parse_config(BASE | {"model": given}, "run.yaml").model.for_task(task)
    assert (model.dropout, model.input_dropout) == dropouts


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"batch_norm_momentum": 0.9},
            "batch_norm_momentum has an effect with normalization batch",
        ),
        ({"cross_rank": 4}, "cross_rank has no effect without cross_layers"),
        ({"hidden_units": []}, "hidden_units is empty; use model.towers: wide"),
        ({"hidden_units": [8, 70_000]}, "hidden_units must be within 1 and 65536"),
        ({"activation": "swich"}, "did you mean 'swish'"),
        ({"input_noise": -1}, "input_noise must be at least 0"),
    ],
)
def test_options_without_meaning_or_effect_are_refused(model, message):
    with pytest.raises(UserError, match=re.escape(message)):
        parse_config(BASE | {"model": model}, "run.yaml")


def test_options_that_belong_together_are_allowed():
    model = {
        "normalization": "batch",
        "batch_norm_momentum": 0.9,
        "cross_layers": 2,
        "cross_rank": 4,
        "residual": True,
        "activation": "prelu",
        "input_noise": 0.1,
    }
    parsed = parse_config(BASE | {"model": model}, "run.yaml").model
    assert {name: getattr(parsed, name) for name in model} == model
