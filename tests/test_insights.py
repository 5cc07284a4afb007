"""trainer.insight.insights: sections one after the other, and what a failure costs."""

import logging
from typing import NamedTuple

import numpy as np
import pytest

from trainer.errors import Interrupted
from trainer.insight import insights


class Report(NamedTuple):
    """All of `Evidence` that collecting looks at."""

    report: dict


def first(evidence):
    return {"first": {"share": np.float32(0.25), "rows": np.arange(3), "names": ("a", None)}}


def second(evidence):
    return {"second": evidence.report["first"]["rows"][2] + evidence.report["given"]}


def broken(evidence):
    raise KeyError("color")


def test_a_later_section_sees_the_earlier_ones_as_plain_numbers():
    found = insights.collect(Report({"given": 5}), [first, second])
    assert found == {
        "first": {"share": 0.25, "rows": [0, 1, 2], "names": ["a", None]},
        "second": 7,
    }


def test_a_section_that_fails_is_one_warning_and_the_others_stay(monkeypatch, caplog):
    monkeypatch.setattr(insights, "FORGIVEN", (Exception,))
    with caplog.at_level(logging.WARNING):
        found = insights.collect(Report({"given": 5}), [first, broken, second])
    assert list(found) == ["first", "second"]
    assert caplog.messages == ["the report has no test_insights: KeyError: 'color'"]


def test_a_section_that_fails_fails_the_tests():
    with pytest.raises(KeyError, match="color"):
        insights.collect(Report({}), [broken])


def test_a_signal_ends_the_run(monkeypatch):
    monkeypatch.setattr(insights, "FORGIVEN", (Exception,))

    def interrupted(evidence):
        raise Interrupted("SIGTERM")

    with pytest.raises(Interrupted, match="SIGTERM"):
        insights.collect(Report({}), [interrupted])


def test_numbers_are_rounded_and_what_is_not_finite_is_absent():
    assert insights.rounded({1: [np.float64(2 / 3), float("inf"), np.nan, True, 123456789]}) == {
        "1": [0.666667, None, None, True, 123456789]
    }
