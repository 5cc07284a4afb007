"""trainer.sections: what every section refuses, and the bounds of its number types."""

import pytest
from pydantic import ValidationError

from trainer.sections import Fraction, NotNegative, Penalty, Positive, Rate, Section


class Everything(Section):
    """A section with a field of each number type."""

    positive: Positive = 1
    not_negative: NotNegative = 0
    rate: Rate = 1.0
    penalty: Penalty = 0.0
    fraction: Fraction = 0.0


@pytest.mark.parametrize(
    "values",
    [
        {"positive": 0},
        {"not_negative": -1},
        {"rate": 0.0},
        {"penalty": -0.1},
        {"fraction": 1.0},
        {"rate": float("inf")},
        {"positive": True},
        {"unknown": 1},
    ],
)
def test_values_outside_the_bounds_are_refused(values):
    with pytest.raises(ValidationError):
        Everything.model_validate(values)


def test_what_a_shell_sends_is_taken():
    section = Everything.model_validate({"positive": "6.4e1", "fraction": "0.25"})

    assert (section.positive, section.fraction) == (64, 0.25)


def test_a_section_is_read_only():
    with pytest.raises(ValidationError, match="frozen"):
        Everything().positive = 2
