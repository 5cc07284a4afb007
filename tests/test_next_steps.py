"""trainer.insight.next_steps: what a report asks its reader to do."""

import pytest

from trainer.insight.next_steps import next_steps

REPORT = {
    "monitor": "rmse",
    "metrics": {"validation": {"rmse": 5.0}, "test": {"rmse": 1.0}},
    "baselines": {"constant": {"test": {"rmse": 4.0}}, "wide_only": {"test": {"rmse": 2.0}}},
    "kept_step": 1200,
    "last_step": 1500,
    "stopped_by": "patience",
    "model_dir": "runs/a/model",
}


def doubts(**changes):
    return next_steps(REPORT | changes)[:-1]


def test_of_a_good_run_only_its_use_is_left():
    (use,) = next_steps(REPORT)
    assert "runs/a/model" in use and "scripts/drift.py" in use


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"doctor": [{"severity": "alarm", "illness": "a leak"}]}, "doctor advises: a leak."),
        ({"metrics": {}}, "nothing is measured"),
        ({"metrics": {"validation": {"rmse": 1.0}}}, "a little too good"),
        ({"stopped_by": "budget", "last_step": 1200}, "at step 1,200, was the best"),
        ({"baselines": {"constant": {"test": {"rmse": 1.0}}}}, "no better than the constant"),
        ({"baselines": {"wide_only": {"test": {"rmse": 0.9}}}}, "linear model alone is as good"),
        ({"data_profile": {"warnings": ["a has drifted"]}}, "1 of its findings"),
    ],
)
def test_each_doubt_is_told(changes, words):
    (found,) = doubts(**changes)
    assert words in found


def test_of_a_metric_that_grows_more_is_better():
    metrics = {"test": {"auc": 0.7}}
    better = {"wide_only": {"test": {"auc": 0.6}}, "constant": {"test": {"auc": 0.5}}}
    assert doubts(monitor="auc", metrics=metrics, baselines=better) == []
    assert (
        len(doubts(monitor="auc", metrics=metrics, baselines={"constant": better["wide_only"]}))
        == 0
    )
    assert (
        len(doubts(monitor="auc", metrics=metrics, baselines={"constant": {"test": {"auc": 0.7}}}))
        == 1
    )


def test_biased_slices_are_named_three_at_most():
    slices = [
        {"column": "c", "value": i, "bias_low": low, "bias_high": 1.0}
        for i, low in enumerate((0.1, 0.1, -0.1, 0.2, 0.3, None))
    ]
    (found,) = doubts(slices={"test": slices})
    assert found.endswith(": c = 0, c = 1, c = 3 and 1 more.")


def test_an_information_of_the_doctor_is_no_order():
    assert doubts(doctor=[{"severity": "info", "illness": "a leak"}]) == []
