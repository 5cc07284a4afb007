"""trainer.data_config: files that no row could come from."""

import pytest

from trainer.config import parse_config
from trainer.errors import UserError

COLUMNS = {"a": "numeric", "c": "categorical"}
BASE = {"columns": COLUMNS, "label": {"column": "y", "task": "binary"}}


def _message(values):
    with pytest.raises(UserError) as caught:
        parse_config(BASE | values, "run.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"delimiter": '"'}, "data.delimiter must be one ASCII character, no quote"),
        ({"delimiter": "\n"}, "data.delimiter must be one ASCII character"),
        ({"delimiter": "\u00a7"}, "data.delimiter must be one ASCII character"),
        ({"decimal_point": ","}, "data.delimiter and data.decimal_point are both ','; a file with"),
        ({"decimal_point": "'"}, "data.decimal_point must be '.' or ','; received"),
        (
            {"test_fraction": 0.004},
            "data.test_fraction 0.004 of 100 buckets is none; raise data.split_modulus",
        ),
    ],
)
def test_data_that_no_row_could_come_from(data, message):
    values = {"columns": {"x": "numeric"}, "label": {"column": "y", "task": "binary"}}
    with pytest.raises(UserError, match=message):
        parse_config(values | {"data": data}, "c.yaml")


def test_a_tab_may_be_written_as_a_shell_leaves_it():
    values = {"columns": {"x": "numeric"}, "label": {"column": "y", "task": "binary"}}
    config = parse_config(values | {"data": {"delimiter": r"\t", "decimal_point": ","}}, "c.yaml")
    assert (config.data.delimiter, config.data.decimal_point) == ("\t", ",")
