import json
import math

import numpy as np
import pytest

from trainer.serving import (
    ServingInputs,
    filled,
    is_complete,
    plain_row,
    request_json,
    signature_names,
)

INPUTS = ServingInputs(
    dtypes={"distance km": "float32", "hour": "int64", "zone": "string", "id": "string"},
    names={"distance km": "distance_km", "hour": "hour", "zone": "zone", "id": "id"},
    key="id",
)
COMPLETE = {"distance km": 40.7128, "hour": 7, "zone": "", "id": "a"}


def test_names_that_are_allowed_are_kept():
    allowed = ["age", "hours-per-week", "a.b", "1st", "Name", "key", "inputs", "training"]
    assert signature_names(allowed) == {name: name for name in allowed}


def test_names_that_would_collide_are_numbered_and_a_kept_name_wins():
    names = signature_names(
        ["a b", "a_b", "a-b", "A.B", "_x", "\u00e9t\u00e9", "%", "1st", "arg_1st", "self"]
    )
    assert names == {
        "a b": "a_b_4",
        "a_b": "a_b",
        "a-b": "a-b_2",
        "A.B": "A.B_3",
        "_x": "x_x",
        "\u00e9t\u00e9": "x_t_",
        "%": "x_",
        "1st": "1st",
        "arg_1st": "arg_1st_2",
        "self": "self_",
    }


def test_float_is_the_shortest_text_of_its_float32():
    widened = float(np.float32(40.7128))
    assert widened != 40.7128
    row = plain_row({"distance km": widened, "hour": np.int64(7), "zone": None, "id": b"a"}, INPUTS)
    assert row == COMPLETE
    assert np.float32(row["distance km"]) == np.float32(widened)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("distance km", math.nan),
        ("distance km", None),
        ("hour", None),
        ("hour", -(2**63)),
        ("hour", math.nan),
    ],
)
def test_missing_number_makes_a_row_incomplete_and_is_filled_with_zero(raw, value):
    row = plain_row({**COMPLETE, raw: value}, INPUTS)
    assert row[raw] is None
    assert not is_complete(row)
    assert filled(row) == {**COMPLETE, raw: 0}


def test_infinity_is_kept_for_the_check_but_not_for_json():
    row = plain_row({**COMPLETE, "distance km": math.inf}, INPUTS)
    assert row["distance km"] == math.inf
    assert not is_complete(row)


def test_absent_fields_are_missing():
    assert plain_row({}, INPUTS) == {"distance km": None, "hour": None, "zone": "", "id": ""}


def test_request_names_the_inputs_of_the_signature():
    assert json.loads(request_json([COMPLETE], INPUTS)) == {
        "instances": [{"distance_km": 40.7128, "hour": 7, "zone": "", "id": "a"}]
    }


def test_request_of_an_incomplete_row_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        request_json([{**COMPLETE, "distance km": math.inf}], INPUTS)
