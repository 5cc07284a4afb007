import re

import pytest

from trainer.jobs.job_fields import dotted, find_field_errors, message_class

POOL = {
    "machineSpec": {"machineType": "n2-standard-8"},
    "replicaCount": 1,
    "containerSpec": {"imageUri": "img", "args": ["--a=1"]},
}


def find(values, kind="custom"):
    errors, repaired = find_field_errors(values, message_class(kind).DESCRIPTOR)
    return {dotted(error.path): error.message for error in errors}, repaired


def pool(**changes):
    return {"workerPoolSpecs": [{**POOL, **changes}]}


def test_valid_job_has_no_error_and_stays_as_it_is():
    values = {**pool(), "scheduling": {"timeout": "7200s", "strategy": "SPOT"}}

    assert find(values) == ({}, values)


@pytest.mark.parametrize(
    ("values", "where", "message"),
    [
        ({"worker_pool_specs": []}, "worker_pool_specs", "write it in camelCase: workerPoolSpecs"),
        ({"workerpoolspecs": []}, "workerpoolspecs", "did you mean 'workerPoolSpecs'"),
        ({"workerPoolSpec": []}, "workerPoolSpec", "did you mean 'workerPoolSpecs'"),
        ({"zzz": 1}, "zzz", "unknown field; valid: persistentResourceId, "),
        ({True: 1}, "True", "True is no field name; YAML reads True as true or false"),
        ({"workerPoolSpecs": POOL}, "workerPoolSpecs", "must be a list; .* put - before"),
        ({"workerPoolSpecs": [None]}, "workerPoolSpecs[0]", "is empty; write {}"),
        ({"workerPoolSpecs": [3]}, "workerPoolSpecs[0]", "must be a mapping; received 3"),
        (pool(replicaCount=1.5), "workerPoolSpecs[0].replicaCount", "must be a whole number"),
        (pool(replicaCount=1e300), "workerPoolSpecs[0].replicaCount", "must be a whole number"),
        (
            pool(machineSpec={"acceleratorCount": 2**31}),
            "workerPoolSpecs[0].machineSpec.acceleratorCount",
            "must be a whole number",
        ),
        (pool(replicaCount=True), "workerPoolSpecs[0].replicaCount", "must be a whole number"),
        (
            pool(containerSpec={"imageUri": "i", "args": [3]}),
            "workerPoolSpecs[0].containerSpec.args[0]",
            "must be a text; YAML reads 3 as a number, put it in quotes",
        ),
        (
            pool(containerSpec={"imageUri": "i", "args": "--a"}),
            "workerPoolSpecs[0].containerSpec.args",
            "must be a list; received '--a'",
        ),
        (
            pool(machineSpec={"acceleratorType": "nvidia-l4"}),
            "workerPoolSpecs[0].machineSpec.acceleratorType",
            "did you mean 'NVIDIA_L4'",
        ),
        (
            pool(pythonPackageSpec={}),
            "workerPoolSpecs[0].pythonPackageSpec",
            "stands beside containerSpec; only one",
        ),
        ({"scheduling": {"timeout": 3600}}, "scheduling.timeout", "Write 3600s"),
        ({"scheduling": {"timeout": "2h"}}, "scheduling.timeout", "Write 7200s"),
        ({"scheduling": {"timeout": "1.5 days"}}, "scheduling.timeout", "Write 129600s"),
        ({"scheduling": {"timeout": "soon"}}, "scheduling.timeout", "received 'soon'"),
        (
            {"scheduling": {"disableRetries": "true"}},
            "scheduling.disableRetries",
            "must be true or false; received 'true'; remove the quotes",
        ),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_place(values, where, message):
    errors, _ = find(values)

    assert list(errors) == [where]
    assert re.search(message, errors[where])


def test_all_mistakes_are_found_and_repaired():
    errors, repaired = find_field_errors(
        {
            "workerPoolSpec": {"replica_count": "2", "machineSpec": {"machine-type": "n2"}},
            "scheduling": {"strategy": "spot", "timeout": "2h"},
        },
        message_class("custom").DESCRIPTOR,
    )

    assert len(errors) == 6
    assert repaired == {
        "workerPoolSpecs": [{"replicaCount": 2, "machineSpec": {"machineType": "n2"}}],
        "scheduling": {"strategy": "SPOT", "timeout": "7200s"},
    }


def test_labels_of_a_tuning_job_are_texts():
    errors, repaired = find({"labels": {"x": True, "z": "1"}}, "tuning")

    assert errors == {
        "labels.x": "must be a text; YAML reads True as true or false, put it in quotes"
    }
    assert repaired == {"labels": {"x": "true", "z": "1"}}


def test_only_one_kind_of_value_spec():
    parameter = {"parameterId": "a", "doubleValueSpec": {}, "integerValueSpec": {}}

    errors, _ = find({"studySpec": {"parameters": [parameter]}}, "tuning")

    assert list(errors) == ["studySpec.parameters[0].integerValueSpec"]


def test_wrapped_values_and_numbers_in_texts_are_taken():
    values = {
        "studySpec": {
            "studyStoppingConfig": {"shouldStopAsap": True, "maxNumTrials": 3},
            "parameters": [{"doubleValueSpec": {"minValue": "1e-4", "maxValue": 1}}],
        }
    }

    errors, repaired = find(values, "tuning")

    assert errors == {}
    assert repaired["studySpec"]["parameters"][0]["doubleValueSpec"] == {
        "minValue": 1e-4,
        "maxValue": 1.0,
    }
