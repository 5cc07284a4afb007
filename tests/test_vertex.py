import json

import pytest

from trainer.errors import UserError
from trainer.vertex import Cluster, VertexEnvironment, read_environment

CHIEF = "cmle-training-workerpool0-ab-0:2222"
WORKERS = ["cmle-training-workerpool1-ab-0:2222", "cmle-training-workerpool1-ab-1:2222"]
POOL_2 = ["cmle-training-workerpool2-ab-0:2222"]
EVALUATOR = ["cmle-training-workerpool3-ab-0:2222"]


def cluster_spec(task: dict, cluster: dict | None = None, **more) -> str:
    """The documented shape of CLUSTER_SPEC."""
    pools = {"workerpool0": [CHIEF], "workerpool1": WORKERS} if cluster is None else cluster
    return json.dumps({"cluster": pools, "environment": "cloud", "task": task, **more})


def tf_config(task: dict, cluster: dict | None = None, **more) -> str:
    """The documented shape of TF_CONFIG."""
    tasks = {"chief": [CHIEF], "worker": WORKERS} if cluster is None else cluster
    return json.dumps({"cluster": tasks, "environment": "cloud", "task": task, "job": {}, **more})


def read_cluster(**environ: str) -> Cluster:
    return read_environment(environ).cluster


def test_outside_vertex_nothing_is_set_and_the_process_is_its_own_chief():
    assert read_environment({"HOME": "/root"}) == VertexEnvironment()
    environment = read_environment({})
    assert not environment.is_cloud
    assert environment.job_dir is None
    assert environment.cluster == Cluster("chief", 0, 1, {}, True, False)


def test_folders_and_ids_are_taken_as_they_are():
    environment = read_environment(
        {
            "AIP_MODEL_DIR": "gs://b/hp/3/model/",
            "AIP_CHECKPOINT_DIR": "gs://b/hp/3/checkpoints/",
            "AIP_TENSORBOARD_LOG_DIR": "gs://b/hp/3/logs/",
            "CLOUD_ML_TRIAL_ID": "3",
            "CLOUD_ML_HP_METRIC_FILE": "/var/hypertune/output.metrics",
            "CLOUD_ML_JOB_ID": "4711",
            "CLOUD_ML_PROJECT_ID": "1234567",
        }
    )
    assert environment.model_dir == "gs://b/hp/3/model/"
    assert environment.job_dir == "gs://b/hp/3"
    assert environment.checkpoint_dir == "gs://b/hp/3/checkpoints/"
    assert environment.log_dir == "gs://b/hp/3/logs/"
    assert environment.trial_id == "3"
    assert environment.metric_file == "/var/hypertune/output.metrics"
    assert (environment.job_id, environment.project_number) == ("4711", "1234567")
    assert environment.is_cloud


def test_empty_variable_counts_as_not_set():
    names = ("AIP_MODEL_DIR", "CLOUD_ML_TRIAL_ID", "CLUSTER_SPEC", "TF_CONFIG", "AIP_DATA_FORMAT")
    assert read_environment(dict.fromkeys(names, "")) == VertexEnvironment()


def test_single_replica_is_chief_under_that_name():
    cluster = read_cluster(
        CLUSTER_SPEC=cluster_spec({"type": "chief", "index": 0}, {"chief": [CHIEF]})
    )
    assert cluster == Cluster("chief", 0, 1, {"chief": (CHIEF,)}, True, True)


@pytest.mark.parametrize(
    ("pool", "index", "role", "is_chief"),
    [
        ("workerpool0", 0, "chief", True),
        ("workerpool1", 0, "worker", False),
        ("workerpool1", 1, "worker", False),
        ("workerpool2", 0, "ps", False),
        ("workerpool3", 0, "evaluator", False),
    ],
)
def test_pools_have_roles(pool, index, role, is_chief):
    pools = {
        "workerpool0": [CHIEF],
        "workerpool1": WORKERS,
        "workerpool2": POOL_2,
        "workerpool3": EVALUATOR,
    }
    cluster = read_cluster(CLUSTER_SPEC=cluster_spec({"type": pool, "index": index}, pools))
    assert (cluster.task_type, cluster.task_index, cluster.is_chief) == (role, index, is_chief)
    assert cluster.num_workers == 3
    assert cluster.addresses == {
        "chief": (CHIEF,),
        "worker": tuple(WORKERS),
        "ps": tuple(POOL_2),
        "evaluator": tuple(EVALUATOR),
    }


@pytest.mark.parametrize("key", ["workerPoolSpecs", "worker_pool_specs"])
def test_pool_of_reduction_servers_is_known_by_its_image(key):
    images = ["x/trainer:1", "x/trainer:1", "us-docker.pkg.dev/v/training/reductionserver:latest"]
    job = {key: [{"containerSpec": {"imageUri": image}} for image in images]}
    pools = {"workerpool0": [CHIEF], "workerpool1": WORKERS, "workerpool2": POOL_2}
    task = {"type": "workerpool1", "index": 1}
    spec = cluster_spec(task, pools, job=job)
    config = tf_config(
        {"type": "worker", "index": 1}, {"chief": [CHIEF], "worker": WORKERS, "ps": POOL_2}
    )
    for environ in ({"CLUSTER_SPEC": spec}, {"CLUSTER_SPEC": spec, "TF_CONFIG": config}):
        cluster = read_cluster(**environ)
        assert cluster.addresses["reduction"] == tuple(POOL_2)
        assert "ps" not in cluster.addresses
        assert cluster.num_workers == 3


def test_tf_config_alone_gives_role_trial_and_addresses():
    task = {"cloud": "ab", "index": 1, "trial": "5", "type": "worker"}
    environment = read_environment({"TF_CONFIG": tf_config(task)})
    assert environment.trial_id == "5"
    assert environment.cluster == Cluster(
        "worker", 1, 3, {"chief": (CHIEF,), "worker": tuple(WORKERS)}, False, True
    )


def test_worker_0_is_chief_where_no_chief_is_named():
    tasks = {"worker": ["localhost:1", "localhost:2"]}
    first = read_cluster(TF_CONFIG=tf_config({"type": "worker", "index": 0}, tasks))
    second = read_cluster(TF_CONFIG=tf_config({"type": "worker", "index": 1}, tasks))
    assert (first.is_chief, second.is_chief) == (True, False)
    assert first.num_workers == 2


def test_master_is_chief():
    tasks = {"master": [CHIEF], "worker": WORKERS}
    cluster = read_cluster(TF_CONFIG=tf_config({"type": "master", "index": 0}, tasks))
    assert (cluster.task_type, cluster.is_chief) == ("chief", True)


def test_evaluator_is_not_listed_in_tf_config():
    cluster = read_cluster(TF_CONFIG=tf_config({"type": "evaluator", "index": 0}))
    assert (cluster.task_type, cluster.is_chief, cluster.num_workers) == ("evaluator", False, 3)


def test_both_variables_are_merged_with_the_addresses_of_tf_config():
    pools = {"workerpool0": [CHIEF], "workerpool1": WORKERS, "workerpool3": EVALUATOR}
    spec = cluster_spec({"type": "workerpool1", "index": 0, "trial": "9"}, pools)
    config = tf_config({"type": "worker", "index": 0}, {"chief": ["a:1"], "worker": ["b:1", "c:1"]})
    environment = read_environment({"CLUSTER_SPEC": spec, "TF_CONFIG": config})
    assert environment.trial_id == "9"
    assert environment.cluster.addresses == {
        "chief": ("a:1",),
        "worker": ("b:1", "c:1"),
        "evaluator": tuple(EVALUATOR),
    }


def test_trial_variable_wins_over_the_cluster():
    spec = cluster_spec({"type": "workerpool0", "index": 0, "trial": "9"})
    assert read_environment({"CLUSTER_SPEC": spec, "CLOUD_ML_TRIAL_ID": "7"}).trial_id == "7"


def test_empty_pools_and_a_text_index_are_accepted():
    pools = {"workerpool0": [CHIEF], "workerpool1": [], "workerpool2": []}
    cluster = read_cluster(CLUSTER_SPEC=cluster_spec({"type": "workerpool0", "index": "0"}, pools))
    assert cluster.addresses == {"chief": (CHIEF,)}
    assert cluster.num_workers == 1


def test_empty_tf_config_is_no_cluster():
    assert read_cluster(TF_CONFIG="{}") == Cluster()


def test_task_without_addresses_is_a_single_replica():
    cluster = read_cluster(TF_CONFIG=tf_config({"type": "master", "index": 0}, {}))
    assert (cluster.task_type, cluster.is_chief, cluster.num_workers) == ("chief", True, 1)


@pytest.mark.parametrize("variable", ["CLUSTER_SPEC", "TF_CONFIG"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON: Expecting property name .* at character 1; received '{'"),
        ("[1]", "must be a JSON object; received '\\[1\\]'"),
        ('{"cluster": {}}', "lacks the key 'task'; it has cluster"),
        ('{"task": {"type": "worker", "index": 0}}', "lacks the key 'cluster'; it has task"),
        ('{"task": {"index": 0}, "cluster": {}}', "task lacks the key 'type'"),
        ('{"task": {"type": "worker"}, "cluster": {}}', "task lacks the key 'index'"),
        ('{"task": "worker", "cluster": {}}', "task must be a JSON object; received 'worker'"),
        (
            '{"task": {"type": "worker", "index": true}, "cluster": {}}',
            "task.index must be a whole number; received True",
        ),
        (
            '{"task": {"type": "workers", "index": 0}, "cluster": {}}',
            "names the unknown task type 'workers'; did you mean 'worker'\\?; valid: workerpool0",
        ),
        (
            '{"task": {"type": "worker", "index": 0}, "cluster": {"worker": "a:1"}}',
            "cluster.worker must be a list of host:port; got 'a:1'",
        ),
        (
            '{"task": {"type": "worker", "index": 2}, "cluster": {"worker": ["a:1", "b:1"]}}',
            "task is worker 2, but the cluster has 2 of that type",
        ),
        (
            '{"task": {"type": "ps", "index": 0}, "cluster": {"worker": ["a:1"]}}',
            "task is ps 0, but the cluster has 0 of that type",
        ),
    ],
)
def test_malformed_cluster_is_one_sentence(variable, text, message):
    with pytest.raises(UserError, match=f"^{variable}[ .]{message}") as caught:
        read_environment({variable: text})
    assert "\n" not in str(caught.value)


def test_contradicting_variables_are_an_error():
    spec = cluster_spec({"type": "workerpool0", "index": 0})
    with pytest.raises(UserError, match=r"different tasks .* chief 0 and worker 0"):
        read_cluster(CLUSTER_SPEC=spec, TF_CONFIG=tf_config({"type": "worker", "index": 0}))
    fewer = tf_config({"type": "chief", "index": 0}, {"chief": [CHIEF]})
    with pytest.raises(UserError, match=r"different numbers of chief and workers: 3 and 1"):
        read_cluster(CLUSTER_SPEC=spec, TF_CONFIG=fewer)


def test_managed_csv_dataset_gives_its_patterns():
    folder = "gs://b/dataset-1-table-2026"
    environment = read_environment(
        {
            "AIP_DATA_FORMAT": "csv",
            "AIP_TRAINING_DATA_URI": f"{folder}/training-*",
            "AIP_VALIDATION_DATA_URI": f"{folder}/validation-*.csv",
            "AIP_TEST_DATA_URI": f"{folder}/test-*.csv",
        }
    )
    assert environment.data_format == "csv"
    assert environment.train == f"{folder}/training-*"
    assert environment.validation == f"{folder}/validation-*.csv"
    assert environment.test == f"{folder}/test-*.csv"


@pytest.mark.parametrize("data_format", ["bigquery", ""])
def test_bigquery_dataset_says_how_to_export(data_format):
    environ = {
        "AIP_DATA_FORMAT": data_format,
        "AIP_TRAINING_DATA_URI": "bq://my-project.dataset_1_t.training",
    }
    with pytest.raises(
        UserError, match=r"bq extract .*'my-project:dataset_1_t\.training'"
    ) as caught:
        read_environment(environ)
    assert "--train=" in str(caught.value)


@pytest.mark.parametrize("data_format", ["jsonl", "CSV"])
def test_other_formats_are_refused(data_format):
    environ = {"AIP_DATA_FORMAT": data_format, "AIP_TRAINING_DATA_URI": "gs://b/training-*.jsonl"}
    with pytest.raises(UserError, match=f"must be csv.*received '{data_format}'"):
        read_environment(environ)


def test_format_without_files_is_an_error():
    with pytest.raises(UserError, match="AIP_TRAINING_DATA_URI is not set"):
        read_environment({"AIP_DATA_FORMAT": "csv"})
