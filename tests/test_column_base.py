"""trainer.column_base: what every kind refuses."""

import pytest
from pydantic import ValidationError

from trainer.columns import (
    Numeric,
)

POINTS = {"from_point": ("a", "b"), "to_point": ("c", "d")}


def test_an_unknown_option_is_refused():
    with pytest.raises(ValidationError, match="scal"):
        Numeric(scal="log")
