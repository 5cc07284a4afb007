"""How `evaluation.threshold` says which probability counts as a yes; no numpy, no TensorFlow."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from trainer.errors import nearest, quoted

NEUTRAL = 0.5
_NAMES = ("f1", "cost", "precision@0.9", "recall@0.9")


class ThresholdRule(NamedTuple):
    """A number, or what the validation rows choose one by.

    level: the threshold of `number`; the least precision or recall of these; else 0.
    """

    name: Literal["number", "f1", "cost", "precision", "recall"]
    level: float = 0.0

    @property
    def is_chosen(self) -> bool:
        """Whether validation rows choose the threshold."""
        return self.name != "number"

    @property
    def while_training(self) -> float:
        """The threshold of the metrics that training watches."""
        return NEUTRAL if self.is_chosen else self.level


def read_rule(value: Any) -> ThresholdRule:
    """The rule of a number, f1, cost, precision@P or recall@R.

    Raises:
        ValueError: it is something else, or a number is not within 0 and 1.

    >>> read_rule("recall@0.8"), read_rule("0.3")
    (ThresholdRule(name='recall', level=0.8), ThresholdRule(name='number', level=0.3))
    """
    text = str(value).strip()
    if text in ("f1", "cost"):
        return ThresholdRule(text)  # type: ignore[arg-type]
    name, at, level = text.rpartition("@")
    is_number = re.fullmatch(r"\+?(\d+\.?\d*|\.\d+)(e-?\d+)?", level.strip(), re.IGNORECASE)
    if name.strip() in ("precision", "recall", "") and bool(name.strip()) == bool(at) and is_number:
        number = float(level)
        if 0 < number < 1 or (at and number == 1):
            return ThresholdRule(name.strip() or "number", number)  # type: ignore[arg-type]
    raise ValueError(
        "must be a number between 0 and 1, f1, cost, or precision@P or recall@R such as "
        f"precision@0.9; received {quoted(text)}{nearest(text, _NAMES)}"
    )


def valid_threshold(value: Any) -> float | str:
    """The number, or the text of the rule, for the config.

    Raises:
        ValueError: see `read_rule`.

    >>> valid_threshold(" f1"), valid_threshold("5e-1")
    ('f1', 0.5)
    """
    rule = read_rule(value)
    if rule.name == "number":
        return rule.level
    return f"{rule.name}@{rule.level:g}" if rule.level else rule.name
