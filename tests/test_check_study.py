import pytest
from check_jobs import CPU, TUNING, find, read

from trainer.jobs.check_study import check_study

PARAMETERS = """\
  - parameterId: batch_size
    discreteValueSpec: {values: [128, 256, 512]}
"""


def study_of(tmp_path, parameters, *replacements, **options):
    return find(tmp_path, TUNING, (PARAMETERS, parameters), *replacements, **options)


@pytest.mark.parametrize(
    "parameter",
    [
        "{parameterId: dropout, doubleValueSpec: {maxValue: 0.5}}",
        "{parameterId: epochs, integerValueSpec: {minValue: 1, maxValue: 40}}",
        "{parameterId: steps, discreteValueSpec: {values: [100, 200.0]}}",
        '{parameterId: hidden_units, categoricalValueSpec: {values: ["64,32", "[128]", "8 8"]}}',
        "{parameterId: standardize_target, categoricalValueSpec: {values: ['true', 'false']}}",
        "{parameterId: wide_learning_rate, scaleType: UNIT_REVERSE_LOG_SCALE, "
        "doubleValueSpec: {minValue: 1e-4, maxValue: 0.1}}",
    ],
)
def test_parameters_that_the_trainer_takes(tmp_path, parameter):
    assert study_of(tmp_path, f"  - {parameter}\n") == []


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("{parameterId: dropout}", "has no values; add one of doubleValueSpec"),
        ("{parameterId: dropout, doubleValueSpec: {}}", "minValue must be below maxValue"),
        (
            "{parameterId: wide_l1, doubleValueSpec: {minValue: 0, maxValue: .inf}}",
            "maxValue: must be a finite number; received inf",
        ),
        (
            "{parameterId: dropout, doubleValueSpec: {minValue: -0.1, maxValue: 0.5}}",
            "dropout=-0.1 breaks a rule",
        ),
        ("{parameterId: '', doubleValueSpec: {maxValue: 1}}", "must be the name of a flag"),
        ("{parameterId: drop out, doubleValueSpec: {maxValue: 1}}", "received 'drop out'"),
        ("{parameterId: towers, categoricalValueSpec: {values: []}}", "list at least one value"),
        ("{parameterId: towers, categoricalValueSpec: {values: [wide, wide]}}", "a value twice"),
        (
            "{parameterId: model_dir, categoricalValueSpec: {values: ['gs://a/b']}}",
            "model_dir is set for each trial",
        ),
        (
            "{parameterId: epochs, integerValueSpec: {minValue: 1.5, maxValue: 3}}",
            "minValue: must be a whole number",
        ),
    ],
)
def test_parameters_that_are_wrong(tmp_path, parameter, message):
    found = study_of(tmp_path, f"  - {parameter}\n")

    assert found and message in found[0], found


def test_more_than_a_thousand_values(tmp_path):
    values = list(range(1, 1002))

    found = study_of(
        tmp_path, f"  - {{parameterId: steps, discreteValueSpec: {{values: {values}}}}}\n"
    )

    assert len(found) == 1 and "at most 1000; received 1001" in found[0]


def test_study_without_parameters(tmp_path):
    found = study_of(tmp_path, "", ("parameters:", "parameters: []"))

    assert found == ["error studySpec.parameters: is missing; there is nothing to tune"]


def test_integer_parent(tmp_path):
    parameters = """\
  - parameterId: warmup_steps
    integerValueSpec: {minValue: 0, maxValue: 10}
    conditionalParameterSpecs:
    - parentIntValues: {values: [VALUE]}
      parameterSpec: {parameterId: dropout, doubleValueSpec: {maxValue: 0.5}}
"""

    assert study_of(tmp_path, parameters.replace("VALUE", "5")) == []
    found = study_of(tmp_path, parameters.replace("VALUE", "11"))
    assert len(found) == 1 and "received [11], it has 0 to 10" in found[0]


def test_double_cannot_be_a_parent(tmp_path):
    parameters = """\
  - parameterId: dropout
    doubleValueSpec: {maxValue: 0.5}
    conditionalParameterSpecs:
    - parentDiscreteValues: {values: [0.5]}
      parameterSpec: {parameterId: input_dropout, doubleValueSpec: {maxValue: 0.5}}
"""

    found = study_of(tmp_path, parameters)

    assert len(found) == 1 and "dropout is a double; only lists and integers" in found[0]


def test_one_name_under_different_values_of_a_parent(tmp_path):
    parameters = """\
  - parameterId: deep_optimizer
    categoricalValueSpec: {values: [adam, sgd]}
    conditionalParameterSpecs:
    - parentCategoricalValues: {values: [adam]}
      parameterSpec: {parameterId: deep_learning_rate, doubleValueSpec: {minValue: 0.1, maxValue: 1}}
    - parentCategoricalValues: {values: [sgd]}
      parameterSpec: {parameterId: deep_learning_rate, doubleValueSpec: {minValue: 1, maxValue: 2}}
"""  # noqa: E501

    assert study_of(tmp_path, parameters) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("displayName: ${JOB}\n", "", "displayName: is missing"),
        ("maxTrialCount: 30\n", "", "maxTrialCount: is missing; gcloud would take 1"),
        ("parallelTrialCount: 3", "parallelTrialCount: 0", "must be 1 or more; received 0"),
        ("parallelTrialCount: 3", "parallelTrialCount: 20", "20 of 30 trials start together"),
    ],
)
def test_limits(tmp_path, old, new, message):
    found = find(tmp_path, TUNING, (old, new))

    assert len(found) == 1 and message in found[0]


def test_fewer_trials_than_parameters(tmp_path):
    parameters = "".join(
        f"  - {{parameterId: {name}, doubleValueSpec: {{maxValue: 0.5}}}}\n"
        for name in ("dropout", "input_dropout", "wide_l1", "wide_l2")
    )

    found = study_of(
        tmp_path,
        parameters,
        ("maxTrialCount: 30\nparallelTrialCount: 3", "maxTrialCount: 3\nparallelTrialCount: 1"),
    )

    assert len(found) == 1 and "3 trials for 4 parameters" in found[0]


def test_study_of_another_program_is_checked_by_itself(tmp_path):
    job = read(tmp_path, TUNING, (PARAMETERS, "  - {parameterId: lr, doubleValueSpec: {}}\n"))

    found = [finding.message for finding in check_study(job)]

    assert len(found) == 1 and "minValue must be below" in found[0]


def test_custom_job_has_no_study(tmp_path):
    assert read(tmp_path, CPU).study is None
