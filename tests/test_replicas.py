"""trainer.jobs.replicas: the environment of each replica, against JSON written by hand."""

import json
import socket

import pytest

from trainer.errors import UserError
from trainer.jobs.job_file import read_job_file
from trainer.jobs.replicas import (
    choose_addresses,
    free_ports,
    plan_replicas,
    process_environment,
    vertex_variables,
)
from trainer.vertex import read_environment

FOUR_POOLS = """
workerPoolSpecs:
- machineSpec: {machineType: n1-standard-8}
  replicaCount: 1
  containerSpec: &trainer
    imageUri: img
    args: ["--epochs=3"]
    env: [{name: TF_CPP_MIN_LOG_LEVEL, value: "1"}]
- {machineSpec: {machineType: n1-standard-8}, replicaCount: 2, containerSpec: *trainer}
- {machineSpec: {machineType: n1-standard-8}, replicaCount: 1, containerSpec: *trainer}
- {machineSpec: {machineType: n1-standard-8}, replicaCount: 1, containerSpec: *trainer}
baseOutputDirectory: {outputUriPrefix: gs://b/runs/1/}
tensorboard: projects/1/locations/us-central1/tensorboards/2
"""
ADDRESSES = {0: ["h:1"], 1: ["h:2", "h:3"], 2: ["h:4"], 3: ["h:5"]}


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "job.yaml"
        path.write_text(text)
        return read_job_file(str(path), {})

    return read


def decoded(variables):
    """The variables with their JSON read, without the job, which is the file's own."""
    specs = {
        name: {key: value for key, value in json.loads(variables[name]).items() if key != "job"}
        for name in ("CLUSTER_SPEC", "TF_CONFIG")
        if name in variables
    }
    return {**variables, **specs}


def test_each_replica_of_four_pools_sees_what_vertex_sets(read):
    job = read(FOUR_POOLS)
    replicas = plan_replicas(job, ADDRESSES, job_id="77").replicas

    cluster = {
        "workerpool0": ["h:1"],
        "workerpool1": ["h:2", "h:3"],
        "workerpool2": ["h:4"],
        "workerpool3": ["h:5"],
    }
    tf_cluster = {"chief": ["h:1"], "worker": ["h:2", "h:3"], "ps": ["h:4"]}
    expected = [
        ("chief-0", ("workerpool0", 0), ("chief", 0)),
        ("worker-0", ("workerpool1", 0), ("worker", 0)),
        ("worker-1", ("workerpool1", 1), ("worker", 1)),
        ("ps-0", ("workerpool2", 0), ("ps", 0)),
        ("evaluator-0", ("workerpool3", 0), ("evaluator", 0)),
    ]
    assert [replica.name for replica in replicas] == [name for name, _, _ in expected]
    assert [replica.is_primary for replica in replicas] == [True] + 4 * [False]
    for replica, (_, (pool, index), (task, _)) in zip(replicas, expected, strict=True):
        assert replica.args == ("--epochs=3",)
        assert decoded(replica.variables) == {
            "TF_CPP_MIN_LOG_LEVEL": "1",
            "CLOUD_ML_PROJECT_ID": "123456789012",
            "CLOUD_ML_JOB_ID": "77",
            "AIP_MODEL_DIR": "gs://b/runs/1/model/",
            "AIP_CHECKPOINT_DIR": "gs://b/runs/1/checkpoints/",
            "AIP_TENSORBOARD_LOG_DIR": "gs://b/runs/1/logs/",
            "AIP_TENSORBOARD_RESOURCE_NAME": "projects/1/locations/us-central1/tensorboards/2",
            "CLUSTER_SPEC": {
                "cluster": cluster,
                "environment": "cloud",
                "task": {"type": pool, "index": index},
            },
            "TF_CONFIG": {
                "cluster": tf_cluster,
                "environment": "cloud",
                "task": {"type": task, "index": index, "cloud": "77"},
            },
        }
        assert json.loads(replica.variables["CLUSTER_SPEC"])["job"] == job.values
        assert json.loads(replica.variables["TF_CONFIG"])["job"] == job.values
        # The trainer reads it as it was meant.
        role = read_environment(replica.variables).cluster
        assert (role.task_type, role.task_index) == (replica.role, replica.index)
        assert (role.num_workers, role.is_chief) == (3, replica.is_primary)


def test_a_lone_replica_is_called_chief_and_has_no_tf_config(read):
    job = read("workerPoolSpecs:\n- {replicaCount: 1, containerSpec: {imageUri: img}}\n- {}\n")
    (replica,) = plan_replicas(job, {0: ["h:1"]}, job_id="77").replicas

    assert decoded(replica.variables) == {
        "CLOUD_ML_PROJECT_ID": "123456789012",
        "CLOUD_ML_JOB_ID": "77",
        "CLUSTER_SPEC": {
            "cluster": {"chief": ["h:1"]},
            "environment": "cloud",
            "task": {"type": "chief", "index": 0},
        },
    }


def test_a_trial_has_folders_of_its_own(read):
    job = read(
        "studySpec: {}\ntrialJobSpec:\n"
        "  workerPoolSpecs: [{replicaCount: 1, containerSpec: {imageUri: img}}]\n"
        "  baseOutputDirectory: {outputUriPrefix: gs://b/hp}\n"
    )
    variables = vertex_variables(job, {0: ["h:1"]}, 0, 0, job_id="7", trial_id="3")

    assert variables["CLOUD_ML_TRIAL_ID"] == "3"
    assert variables["AIP_MODEL_DIR"] == "gs://b/hp/3/model/"
    assert json.loads(variables["CLUSTER_SPEC"])["task"] == {
        "type": "chief",
        "index": 0,
        "trial": "3",
    }


def test_reduction_servers_are_in_cluster_spec_alone_and_not_started(read):
    reduction = "us-docker.pkg.dev/vertex-ai-restricted/training/reductionserver:latest"
    job = read(
        "workerPoolSpecs:\n"
        "- {machineSpec: {acceleratorType: NVIDIA_L4, acceleratorCount: 8}, replicaCount: 1,"
        " containerSpec: {imageUri: img}}\n"
        "- {machineSpec: {acceleratorType: NVIDIA_L4, acceleratorCount: 8}, replicaCount: 1,"
        " containerSpec: {imageUri: img}}\n"
        f"- {{replicaCount: 13, containerSpec: {{imageUri: '{reduction}'}}}}\n"
    )
    servers = [f"h:{port}" for port in range(10, 23)]
    plan = plan_replicas(job, {0: ["h:1"], 1: ["h:2"], 2: servers}, job_id="7")

    assert [(r.name, r.args) for r in plan.replicas] == [("chief-0", ()), ("worker-0", ())]
    specs = decoded(plan.replicas[1].variables)
    assert specs["CLUSTER_SPEC"]["cluster"]["workerpool2"] == servers
    assert specs["TF_CONFIG"]["cluster"] == {"chief": ["h:1"], "worker": ["h:2"]}
    assert set(read_environment(plan.replicas[1].variables).cluster.addresses) == {
        "chief",
        "worker",
        "reduction",
    }
    assert [note for note in plan.notes if "13 reduction servers of pool 2 are not started" in note]


@pytest.mark.parametrize(
    ("machine", "flags", "note"),
    [
        ("machineType: n1-standard-8", [], None),
        ("acceleratorType: NVIDIA_L4, acceleratorCount: 1", [], "CPU instead of its GPUs"),
        (
            "acceleratorType: NVIDIA_L4, acceleratorCount: 4",
            ["--strategy=mirrored", "--logical_cpus=2"],
            "the 4 GPUs of the machine are replaced by 2 logical CPUs",
        ),
        (
            "acceleratorType: TPU_V3, acceleratorCount: 8",
            ["--strategy=mirrored", "--logical_cpus=2"],
            "the TPU is replaced by 2 logical CPUs",
        ),
        (
            "machineType: ct5lp-hightpu-4t, tpuTopology: 2x2",
            ["--strategy=mirrored", "--logical_cpus=2"],
            "the TPU is replaced by 2 logical CPUs",
        ),
    ],
)
def test_accelerators_are_replaced_by_the_cpu(read, machine, flags, note):
    job = read(
        f"workerPoolSpecs: [{{machineSpec: {{{machine}}}, replicaCount: 1,"
        " containerSpec: {imageUri: img, args: ['--strategy=tpu']}}]"
    )
    plan = plan_replicas(job, {0: ["h:1"]}, job_id="7", extra_flags=["--epochs=1"])

    # The user's own flags come last: the last one wins.
    assert plan.replicas[0].args == ("--strategy=tpu", *flags, "--epochs=1")
    assert [note in n for n in plan.notes] == [True] if note else plan.notes == ()


@pytest.mark.parametrize(
    ("pool", "what"),
    [
        ("containerSpec: {imageUri: img, command: [bash, -c, ls]}", "img with its own command"),
        ("pythonPackageSpec: {executorImageUri: i, pythonModule: other.task}", "other.task"),
    ],
)
def test_a_pool_that_runs_something_else_is_refused(read, pool, what):
    job = read(
        "workerPoolSpecs:\n- {replicaCount: 1, containerSpec: {imageUri: img}}\n"
        f"- {{replicaCount: 1, {pool}}}\n"
    )
    with pytest.raises(UserError, match=rf"job.yaml:3 workerPoolSpecs\[1\] runs {what}; .* only"):
        plan_replicas(job, {0: ["h:1"], 1: ["h:2"]}, job_id="7")


@pytest.mark.parametrize("text", ["{}", "workerPoolSpecs: [{replicaCount: 2}]", "a: 1"])
def test_a_job_without_one_chief_is_refused(read, text):
    with pytest.raises(UserError, match="must have replicaCount: 1"):
        choose_addresses(read(text))


def test_every_replica_has_a_free_port_of_its_own(read):
    addresses = choose_addresses(read(FOUR_POOLS))

    assert {pool: len(members) for pool, members in addresses.items()} == {0: 1, 1: 2, 2: 1, 3: 1}
    ports = [int(a.removeprefix("127.0.0.1:")) for group in addresses.values() for a in group]
    assert len(set(ports)) == 5
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


def test_taken_ports_are_not_given(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr("trainer.jobs.replicas._PORTS", range(port, port + 1))
        with pytest.raises(UserError, match="fewer than 1 ports"):
            free_ports(1)


def test_a_process_sees_nothing_of_an_outer_job_or_checkout(read):
    (replica,) = plan_replicas(
        read("workerPoolSpecs: [{replicaCount: 1, containerSpec: {imageUri: img}}]"),
        {0: ["h:1"]},
        job_id="7",
    ).replicas
    outer = {
        "PATH": "/bin",
        "PYTHONPATH": "/checkout",
        "TF_CONFIG": "{}",
        "AIP_MODEL_DIR": "gs://other",
        "CLOUD_ML_TRIAL_ID": "9",
        "CUDA_VISIBLE_DEVICES": "0",
        "http_proxy": "http://proxy:1",
        "no_proxy": "intranet",
    }
    environ = process_environment(outer, replica, package_dir="/p", gs_endpoint="http://e:1")

    assert environ == {
        "PATH": "/bin",
        "http_proxy": "http://proxy:1",
        "NO_PROXY": "intranet,127.0.0.1",
        "no_proxy": "intranet,127.0.0.1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": "/p",
        "STORAGE_EMULATOR_HOST": "http://e:1",
        "CUDA_VISIBLE_DEVICES": "-1",
        **replica.variables,
    }
