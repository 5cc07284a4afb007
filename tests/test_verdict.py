"""trainer.insight.verdict: three sentences from the report."""

from types import SimpleNamespace

from trainer.insight import verdict

METRICS = {"rmse": 1.0, "mean_prediction": 11.0, "mean_label": 10.0}
REPORT = {
    "monitor": "rmse",
    "rows": {"train": 9000, "test": 1500},
    "metrics": {"validation": {"rmse": 5.0}, "test": METRICS},
    "baselines": {
        "constant": {"test": {"rmse": 4.0}},
        "wide_only": {"test": {"rmse": 0.8}},
        "boosted_trees": {"test": {"rmse": 1.0}},
    },
    "kept_step": 1200,
    "last_step": 1500,
    "stopped_by": "patience",
}


def say(**changes):
    return verdict.produce(SimpleNamespace(report=REPORT | changes))["verdict"]


def test_worth_beside_each_reference():
    assert say()[0] == (
        "On 1,500 test rows rmse is 1: 75.0% below the constant (4), 25.0% WORSE than the "
        "wide-only model (0.8), equal to boosted trees."
    )
    assert say(baselines={})[0] == "On 1,500 test rows rmse is 1."


def test_a_share_is_compared_by_its_difference():
    metrics, baselines = {"test": {"auc": 0.9}}, {"constant": {"test": {"auc": 0.5}}}
    text = say(monitor="auc", metrics=metrics, baselines=baselines)[0]
    assert text == "On 1,500 test rows auc is 0.9: 0.4 above the constant (0.5)."


def test_bias_and_its_worst_slice():
    assert say()[1] == "Predictions average 11, labels 10 (+10.0%)."
    within = {"column": "a", "value": "b", "rows": 20, "bias": 0.5, "bias_low": -1, "bias_high": 2}
    beyond = within | {"value": "c", "bias_low": 0.25}
    evaluation = {"test": {"ece": 0.0213}}
    assert say(slices={"test": [within, beyond]}, evaluation=evaluation)[1] == (
        "Predictions average 11, labels 10 (+10.0%); the expected calibration error is 0.0213; "
        "the most biased slice is a = c (+0.5, +0.25 to +2, 20 rows)."
    )
    assert say(slices={"test": [within]})[1].endswith("; no slice is biased beyond chance.")
    of_classes = beyond | {"metric": "accuracy"}
    assert "the most overconfident slice is a = c" in say(slices={"test": [of_classes]})[1]
    timid = of_classes | {"bias_low": -2, "bias_high": -0.25}
    assert "the most underconfident slice is a = c" in say(slices={"test": [timid]})[1]
    assert say(metrics={"test": {"rmse": 1.0}})[1] == (
        "Nothing is known of its bias on the test rows."
    )


def test_doctor_s_worst_finding():
    finding = {"severity": "alarm", "illness": "leak", "evidence": "e", "advice": "drop it"}
    assert say(doctor=[finding] * 3)[2] == "Doctor's alarm: leak, e; drop it (2 more below)."
    assert say(doctor=[])[2] == (
        "The training doctor found no illness; the weights of step 1,200 of 1,500 are kept."
    )
    assert say()[2] == (
        "Training was stopped by patience; the weights of step 1,200 of 1,500 are kept."
    )


def test_without_held_out_rows_nothing_is_known():
    finding = {"severity": "warning", "illness": "i", "evidence": "e", "advice": "a"}
    assert say(metrics={}, doctor=[finding]) == [
        "No rows were held out: nothing is known of how good the model is.",
        "Doctor's warning: i, e; a.",
    ]
    assert say(monitor="auc")[0] == "The test rows do not define auc."
