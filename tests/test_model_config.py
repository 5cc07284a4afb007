"""trainer.model_config: what auto stands for."""

import pytest

from trainer.config import parse_config

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
