"""The ranking of trials, its table, and the flags of a trial."""

import math

import pytest

from trainer.jobs.trials import Trial, best_trial, flags_of, ranked, ranked_table


def _trial(number, value, state="SUCCEEDED", **fields):
    return Trial(str(number), state, metrics={} if value is None else {"loss": value}, **fields)


def test_best_is_first_for_either_goal():
    trials = [_trial(1, 0.5), _trial(2, 0.25), _trial(3, 1.5)]

    assert [t.id for t in ranked(trials, {"loss": "MINIMIZE"})] == ["2", "1", "3"]
    assert [t.id for t in ranked(trials, {"loss": "MAXIMIZE"})] == ["3", "1", "2"]


def test_equal_values_keep_their_order():
    trials = [_trial(2, 0.5), _trial(1, 0.5)]

    assert [t.id for t in ranked(trials, {"loss": "MAXIMIZE"})] == ["2", "1"]


def test_unfinished_then_failed_come_last():
    trials = [
        _trial(1, 9.0, "INFEASIBLE", reason="exit code 3"),
        _trial(2, 0.1, "ACTIVE"),
        _trial(3, math.nan),
        _trial(4, 0.5),
        _trial(5, None),
        _trial(6, -math.inf),
    ]

    assert [t.id for t in ranked(trials, {"loss": "MINIMIZE"})] == ["4", "2", "1", "3", "5", "6"]


def test_best_trial_is_none_where_all_failed_or_there_is_none():
    assert best_trial([_trial(1, None, "INFEASIBLE")], {"loss": "MINIMIZE"}) is None
    assert best_trial([], {"loss": "MINIMIZE"}) is None


def test_table_ranks_by_the_first_metric_and_shows_the_others():
    trials = [
        Trial("1", "SUCCEEDED", {"a": 1.0}, {"loss": 0.5, "auc": 0.9}, steps=10, seconds=3.0),
        Trial("2", "SUCCEEDED", {"a": 2.0}, {"loss": 0.25, "auc": 0.8}, steps=20, seconds=90.0),
    ]

    table = ranked_table(trials, {"loss": "MINIMIZE", "auc": "MAXIMIZE"})

    assert [line.split() for line in table.splitlines()] == [
        ["rank", "trial", "loss", "(min)", "auc", "(max)", "steps", "time", "a", "note"],
        ["1", "2", "0.25", "0.8", "20", "1m", "30s", "2"],
        ["2", "1", "0.5", "0.9", "10", "3.0", "s", "1"],
    ]


def test_table_shows_conditional_parameters_only_where_they_apply():
    trials = [
        Trial("1", "SUCCEEDED", {"optimizer": "adam"}, {"loss": 1.0}),
        Trial("2", "SUCCEEDED", {"optimizer": "sgd", "momentum": 0.875}, {"loss": 2.0}),
    ]

    lines = ranked_table(trials, {"loss": "MINIMIZE"}).splitlines()

    assert [line.split()[-2:] for line in lines[1:]] == [["adam", "-"], ["sgd", "0.875"]]


def test_table_gives_the_reason_of_a_failure_on_one_line():
    trials = [_trial(1, None, "INFEASIBLE", reason="loss\nis nan"), _trial(2, None)]

    lines = ranked_table(trials, {"loss": "MINIMIZE"}).splitlines()

    assert lines[1].endswith("INFEASIBLE: loss is nan")
    assert lines[2].endswith("SUCCEEDED: no finite loss was reported")


def test_table_of_no_trials_is_its_head():
    assert ranked_table([], {"loss": "MINIMIZE"}) == "rank  trial  loss (min)  steps  time  note"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (128.0, "128"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (1 / 3, "0.3333333333333333"),
        (1e-7, "1e-07"),
        ("adam", "adam"),
        (7, "7"),
    ],
)
def test_flags_are_exact(value, text):
    assert flags_of(Trial("1", "SUCCEEDED", {"x": value})) == [f"--x={text}"]
