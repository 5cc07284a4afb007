from check_jobs import TUNING, find

PARAMETERS = """\
  - parameterId: batch_size
    discreteValueSpec: {values: [128, 256, 512]}
"""


def study_of(tmp_path, parameters, *replacements, **options):
    return find(tmp_path, TUNING, (PARAMETERS, parameters), *replacements, **options)


CONDITIONAL = """\
  - parameterId: wide_optimizer
    categoricalValueSpec: {values: [ftrl, adam]}
    conditionalParameterSpecs:
    - parentCategoricalValues: {values: [ftrl]}
      parameterSpec: {parameterId: wide_l2_shrinkage, doubleValueSpec: {maxValue: 0.1}}
"""


def test_rule_between_parent_and_child_is_kept_by_the_condition(tmp_path):
    assert study_of(tmp_path, CONDITIONAL, ("[]", '["--wide_optimizer=adam"]')) == [
        "warning studySpec.parameters[0].parameterId: --wide_optimizer stands in args as well; the "
        "trial's value comes last and wins"
    ]


def test_rule_between_two_parameters_is_found_by_whole_trials(tmp_path):
    flat = """\
  - {parameterId: wide_optimizer, categoricalValueSpec: {values: [ftrl, adam]}}
  - {parameterId: wide_l2_shrinkage, doubleValueSpec: {maxValue: 0.1}}
"""

    found = study_of(tmp_path, flat)

    assert len(found) == 1
    assert "a trial with wide_optimizer=adam and wide_l2_shrinkage=0.1 breaks a rule" in found[0]


def test_flags_are_checked_where_the_config_cannot_be_read(tmp_path):
    parameter = "  - {parameterId: dropout, doubleValueSpec: {maxValue: 1.5}}\n"

    found = study_of(tmp_path, parameter, ("[]", '["--config=gs://b/c.yaml"]'))

    assert len(found) == 1 and "dropout=1.5 breaks a rule" in found[0]
