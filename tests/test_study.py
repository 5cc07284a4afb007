import copy
from pathlib import Path

import pytest

from trainer.errors import UserError
from trainer.jobs.job_file import read_job_file
from trainer.jobs.study import Study, read_study

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("tuning_*.yaml"))
NAMES = dict.fromkeys(("PROJECT", "REGION", "BUCKET", "IMAGE", "JOB"), "name")

RATE = {
    "parameterId": "rate",
    "scaleType": "UNIT_LOG_SCALE",
    "doubleValueSpec": {"minValue": 0.001, "maxValue": "1"},
}
VALUES = {
    "maxTrialCount": 20,
    "parallelTrialCount": "4",
    "maxFailedTrialCount": 3,
    "studySpec": {
        "algorithm": "RANDOM_SEARCH",
        "measurementSelectionType": "BEST_MEASUREMENT",
        "medianAutomatedStoppingSpec": {"useElapsedDuration": True},
        "metrics": [{"metricId": "val_auc", "goal": "MAXIMIZE"}],
        "parameters": [
            RATE,
            {
                "parameterId": "depth",
                "integerValueSpec": {"minValue": "1", "maxValue": 3},
                "conditionalParameterSpecs": [
                    {
                        "parentIntValues": {"values": ["2", 3]},
                        "parameterSpec": {
                            "parameterId": "batch",
                            "scaleType": "UNIT_REVERSE_LOG_SCALE",
                            "discreteValueSpec": {"values": [128, 256.0]},
                            "conditionalParameterSpecs": [
                                {
                                    "parentDiscreteValues": {"values": [256]},
                                    "parameterSpec": {
                                        "parameterId": "kind",
                                        "categoricalValueSpec": {"values": ["a", "b"]},
                                    },
                                }
                            ],
                        },
                    }
                ],
            },
        ],
    },
}


def test_every_field_is_read():
    study = read_study(VALUES, "a.yaml")

    rate, depth = study.parameters
    (batch,) = depth.children
    (kind,) = batch.children
    assert (rate.name, rate.key, rate.kind, rate.scale) == ("rate", "rate", "double", "log")
    assert (rate.low, rate.high, rate.children) == (0.001, 1.0, ())
    assert (depth.kind, depth.low, depth.high, depth.scale) == ("integer", 1.0, 3.0, "linear")
    assert (batch.kind, batch.choices, batch.scale) == ("discrete", (128.0, 256.0), "reverse_log")
    assert (batch.key, batch.parent_values) == ("depth=2|3/batch", (2, 3))
    assert (kind.key, kind.choices) == ("depth=2|3/batch=256.0/kind", ("a", "b"))
    assert depth.active_children(1) == [] and depth.active_children(3) == [batch]
    assert (study.metric, study.maximizes) == ("val_auc", True)
    assert (study.algorithm, study.selection) == ("random", "best")
    assert study.stopping == "median_by_seconds"
    assert (study.max_trials, study.parallel, study.max_failed) == (20, 4, 3)
    assert study.notes == ()


def test_what_is_not_said_is_as_on_the_service():
    spec = {"metrics": [{"metricId": "val_rmse", "goal": "MINIMIZE"}], "parameters": [RATE]}

    study = read_study({"studySpec": spec, "maxFailedTrialCount": 0}, "a.yaml")

    assert study == Study({"val_rmse": "MINIMIZE"}, study.parameters, max_failed=1)
    assert (study.algorithm, study.selection, study.stopping) == ("tpe", "last", "none")
    assert (study.max_trials, study.parallel, study.maximizes) == (1, 1, False)


@pytest.mark.parametrize(
    ("key", "value", "note"),
    [
        ("decayCurveStoppingSpec", {}, "decayCurveStoppingSpec is not emulated"),
        ("convexAutomatedStoppingSpec", {}, "convexAutomatedStoppingSpec is not emulated"),
        (
            "metrics",
            [{"metricId": m, "goal": "MAXIMIZE"} for m in ("val_auc", "val_f1")],
            "ranked by val_auc alone",
        ),
    ],
)
def test_what_is_not_done_here_is_said(key, value, note):
    values = copy.deepcopy(VALUES)
    values["studySpec"][key] = value

    (said,) = read_study(values, "a.yaml").notes

    assert note in said


def with_parameter(**fields):
    parameter = {"parameterId": "p", **fields}
    return {"studySpec": {**VALUES["studySpec"], "parameters": [parameter]}}


def with_condition(parent, **condition):
    spec = {"parameterId": "c", "categoricalValueSpec": {"values": ["a"]}}
    return with_parameter(
        **parent, conditionalParameterSpecs=[{**condition, "parameterSpec": spec}]
    )


def with_spec(**fields):
    return {"studySpec": {**VALUES["studySpec"], **fields}}


CATEGORICAL = {"categoricalValueSpec": {"values": ["x", "y"]}}
INTEGER = {"integerValueSpec": {"minValue": 1, "maxValue": 3}}
DOUBLE = {"doubleValueSpec": {"minValue": 0, "maxValue": 3}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "studySpec must be a mapping; received None"),
        (with_spec(parameters=[]), r"studySpec.parameters must be a list with at least one item"),
        (with_spec(metrics=None), "studySpec.metrics must be a list"),
        (with_spec(metrics=[{"goal": "MINIMIZE"}]), r"metrics\[0\].metricId must be a new text"),
        (with_spec(metrics=[{"metricId": "a", "goal": "min"}]), "MAXIMIZE or MINIMIZE; .*'min'"),
        (with_spec(algorithm="GRID"), "algorithm must be one of .*received 'GRID'"),
        (
            with_spec(medianAutomatedStoppingSpec=1.5),
            "StoppingSpec must be a mapping; received 1.5",
        ),
        (with_spec(algorithm=[[]]), r"algorithm must be one of .*received \[\[\]\]"),
        (
            with_spec(measurementSelectionType="BEST_MEASURMENT"),
            "did you mean 'BEST_MEASUREMENT'",
        ),
        (with_spec(algorithm="GRID_SEARCH"), "GRID_SEARCH takes no doubleValueSpec; rate has one"),
        (with_spec(parameters=[RATE, RATE]), "studySpec.parameters names rate twice"),
        ({**with_spec(), "maxTrialCount": -1}, "maxTrialCount must be a whole number from 0"),
        ({**with_spec(), "parallelTrialCount": "two"}, "parallelTrialCount must be a number"),
        (with_parameter(), "p must have one of doubleValueSpec, .*received 0"),
        (with_parameter(**INTEGER, **DOUBLE), "received 2"),
        (with_parameter(**DOUBLE, scaletype="x"), "unknown key 'scaletype'; did you mean 'scaleT"),
        (with_parameter(**DOUBLE, scaleType="LOG"), "scaleType must be one of"),
        (with_parameter(**DOUBLE, scaleType="UNIT_LOG_SCALE"), "values above 0; the smallest is 0"),
        (
            with_parameter(**CATEGORICAL, scaleType="UNIT_LINEAR_SCALE"),
            "no meaning for categorical values",
        ),
        (
            with_parameter(**CATEGORICAL, scaleType="UNIT_LOG_SCALE"),
            "no meaning for categorical values",
        ),
        (
            with_parameter(**CATEGORICAL, conditionalParameterSpecs=5),
            "conditionalParameterSpecs must be a list with at least one item; received 5",
        ),
        (
            with_parameter(categoricalValueSpec={"values": ["a", "a"]}),
            r"values must differ; received \['a', 'a'\]",
        ),
        (with_parameter(discreteValueSpec={"values": [2, 1]}), r"increase; received \[2.0, 1.0\]"),
        (with_parameter(discreteValueSpec={"values": [True]}), r"values\[0\] must be a number"),
        (with_parameter(discreteValueSpec={"values": 3}), "values must be a list"),
        (
            with_parameter(doubleValueSpec={"minValue": 2, "maxValue": 1}),
            "minValue 2 is above maxValue 1",
        ),
        (with_parameter(doubleValueSpec={"minValue": 2}), "maxValue must be a number; .*None"),
        (
            with_parameter(doubleValueSpec={"minValue": 0, "maxValue": ".inf"}),
            "must be a number; received '.inf'",
        ),
        (
            with_parameter(integerValueSpec={"minValue": 0.5, "maxValue": 1}),
            "must have whole bounds; received 0.5 and 1",
        ),
        (
            with_condition(DOUBLE, parentDiscreteValues={"values": [1]}),
            "doubleValueSpec can have no conditional ones",
        ),
        (
            with_condition(INTEGER, parentCategoricalValues={"values": ["1"]}),
            "must have parentIntValues, as p is integer",
        ),
        (
            with_condition(CATEGORICAL, parentCategoricalValues={"values": ["z"]}),
            "'z' is no value of p",
        ),
        (with_condition(INTEGER, parentIntValues={"values": [4]}), "4.0 is no value of p"),
        (with_condition(INTEGER, parentIntValues={"values": [1.5]}), "1.5 is no value of p"),
    ],
)
def test_mistake_is_named_with_its_field(values, message):
    with pytest.raises(UserError, match=f"^a.yaml: .*{message}"):
        read_study(values, "a.yaml")


def test_one_flag_may_stand_in_two_branches_but_not_twice_in_one():
    def conditions(first, second):
        return [
            {
                "parentCategoricalValues": {"values": values},
                "parameterSpec": {"parameterId": "c", "doubleValueSpec": ranges},
            }
            for values, ranges in (
                (first, {"minValue": 0, "maxValue": 1}),
                (second, {"minValue": 5, "maxValue": 6}),
            )
        ]

    apart = with_parameter(**CATEGORICAL, conditionalParameterSpecs=conditions(["x"], ["y"]))
    both = with_parameter(**CATEGORICAL, conditionalParameterSpecs=conditions(["x"], ["x", "y"]))

    (parameter,) = read_study(apart, "a.yaml").parameters
    assert [child.key for child in parameter.children] == ["p=x/c", "p=y/c"]
    with pytest.raises(UserError, match="names c twice"):
        read_study(both, "a.yaml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_tuning_files_of_the_checkout_are_understood(path):
    job = read_job_file(str(path), NAMES)

    study = read_study(job.values, job.path)

    assert study.metric == job.study["metrics"][0]["metricId"]
    assert len(study.parameters) == len(job.study["parameters"])
    assert study.max_trials == job.values["maxTrialCount"]
