import json

import pytest

from trainer.cluster import Cluster, read_cluster
from trainer.errors import UserError

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


def read(**environ: str) -> Cluster:
    return read_cluster(environ)[0]


def test_single_replica_is_chief_under_that_name():
    cluster = read(CLUSTER_SPEC=cluster_spec({"type": "chief", "index": 0}, {"chief": [CHIEF]}))
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
    cluster = read(CLUSTER_SPEC=cluster_spec({"type": pool, "index": index}, pools))
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
        cluster = read(**environ)
        assert cluster.addresses["reduction"] == tuple(POOL_2)
        assert "ps" not in cluster.addresses
        assert cluster.num_workers == 3


def test_tf_config_alone_gives_role_trial_and_addresses():
    task = {"cloud": "ab", "index": 1, "trial": "5", "type": "worker"}
    cluster, trial_id = read_cluster({"TF_CONFIG": tf_config(task)})
    assert trial_id == "5"
    assert cluster == Cluster(
        "worker", 1, 3, {"chief": (CHIEF,), "worker": tuple(WORKERS)}, False, True
    )


def test_worker_0_is_chief_where_no_chief_is_named():
    tasks = {"worker": ["localhost:1", "localhost:2"]}
    first = read(TF_CONFIG=tf_config({"type": "worker", "index": 0}, tasks))
    second = read(TF_CONFIG=tf_config({"type": "worker", "index": 1}, tasks))
    assert (first.is_chief, second.is_chief) == (True, False)
    assert first.num_workers == 2


def test_master_is_chief():
    tasks = {"master": [CHIEF], "worker": WORKERS}
    cluster = read(TF_CONFIG=tf_config({"type": "master", "index": 0}, tasks))
    assert (cluster.task_type, cluster.is_chief) == ("chief", True)


def test_evaluator_is_not_listed_in_tf_config():
    cluster = read(TF_CONFIG=tf_config({"type": "evaluator", "index": 0}))
    assert (cluster.task_type, cluster.is_chief, cluster.num_workers) == ("evaluator", False, 3)


def test_both_variables_are_merged_with_the_addresses_of_tf_config():
    pools = {"workerpool0": [CHIEF], "workerpool1": WORKERS, "workerpool3": EVALUATOR}
    spec = cluster_spec({"type": "workerpool1", "index": 0, "trial": "9"}, pools)
    config = tf_config({"type": "worker", "index": 0}, {"chief": ["a:1"], "worker": ["b:1", "c:1"]})
    cluster, trial_id = read_cluster({"CLUSTER_SPEC": spec, "TF_CONFIG": config})
    assert trial_id == "9"
    assert cluster.addresses == {
        "chief": ("a:1",),
        "worker": ("b:1", "c:1"),
        "evaluator": tuple(EVALUATOR),
    }


def test_empty_pools_and_a_text_index_are_accepted():
    pools = {"workerpool0": [CHIEF], "workerpool1": [], "workerpool2": []}
    cluster = read(CLUSTER_SPEC=cluster_spec({"type": "workerpool0", "index": "0"}, pools))
    assert cluster.addresses == {"chief": (CHIEF,)}
    assert cluster.num_workers == 1


def test_empty_tf_config_is_no_cluster():
    assert read(TF_CONFIG="{}") == Cluster()


def test_task_without_addresses_is_a_single_replica():
    cluster = read(TF_CONFIG=tf_config({"type": "master", "index": 0}, {}))
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
            "cluster.worker must be a list of host:port; received 'a:1'",
        ),
        (
            '{"task": {"type": "worker", "index": 2}, "cluster": {"worker": ["a:1", "b:1"]}}',
            "task is worker 2, but the cluster has 2 of that type",
        ),
        (
            '{"task": {"type": "ps", "index": 0}, "cluster": {"worker": ["a:1"]}}',
            "task is ps 0, but the cluster has 0 of that type",
        ),
        (
            '{"task": {"type": "worker", "index": -1}, "cluster": {"worker": ["a:1", "b:1"]}}',
            "task is worker -1, but the cluster has 2 of that type, numbered from 0$",
        ),
        (
            '{"task": {"type": "worker", "index": "-1"}, "cluster": {"worker": ["a:1"]}}',
            "task.index must be a whole number; received '-1'$",
        ),
        (
            '{"task": {"type": "worker", "index": 0}, "cluster": {}}',
            r"task is a worker, but \w+.cluster is empty; list the tasks there, or leave \w+ unset",
        ),
        (
            '{"task": {"type": "chief", "index": 0, "trial": [7]}, "cluster": {"chief": ["a:1"]}}',
            r"task.trial must be a text; received \[7\]$",
        ),
        (
            '{"cluster": {}, "cluster": {}, "task": {}}',
            "has the key 'cluster' twice; a key stands once$",
        ),
        ("[" * 100_000, "is not valid JSON: maximum recursion depth exceeded.*; received '\\[\\["),
        ('{"%s": 1}' % ("x" * 999), r"lacks the key 'task'; it has x{30}\.\.\.$"),
        ("9" * 5000, "is not valid JSON: Exceeds the limit.*; received '999"),
        ('{"\\ud800": 1}', r"lacks the key 'task'; it has \\ud800$"),
    ],
)
def test_malformed_cluster_is_one_sentence(variable, text, message):
    with pytest.raises(UserError, match=f"^{variable}[ .]{message}") as caught:
        read_cluster({variable: text})
    assert "\n" not in str(caught.value)


def test_contradicting_variables_are_an_error():
    spec = cluster_spec({"type": "workerpool0", "index": 0})
    with pytest.raises(UserError, match=r"different tasks .* chief 0 and worker 0"):
        read(CLUSTER_SPEC=spec, TF_CONFIG=tf_config({"type": "worker", "index": 0}))
    fewer = tf_config({"type": "chief", "index": 0}, {"chief": [CHIEF]})
    with pytest.raises(UserError, match=r"different numbers of chief and workers: 3 and 1"):
        read(CLUSTER_SPEC=spec, TF_CONFIG=fewer)


@pytest.mark.parametrize("variable", ["CLUSTER_SPEC", "TF_CONFIG"])
@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"worker": [1]}, "worker must be a list of host:port; it has 1$"),
        ({"worker": None}, "worker must be a list of host:port; received None$"),
        ({"worker": ["host"]}, "worker: 'host' has no port; expected one such as 10.0.0.5:2222$"),
        ({"worker": ["host:"]}, "worker: 'host:' has the port '', which is no number; expected"),
        ({"worker": ["host:http"]}, "worker: 'host:http' has the port 'http', which is no number;"),
        ({"worker": ["host:-1"]}, "worker: 'host:-1' has the port '-1', which is no number;"),
        ({"worker": [":2222"]}, "worker: ':2222' has no host; expected one such as"),
        ({"worker": [""]}, "worker: '' has no port; expected one such as"),
        ({"worker": ["http://a:80"]}, "worker: 'http://a:80' is no host:port; expected"),
        ({"worker": ["a:1:2"]}, "worker: 'a:1:2' is no host:port; expected"),
        ({"worker": ["a b:1"]}, "worker: 'a b:1' is no host:port; expected"),
        ({"worker": ["a:1234567"]}, "worker: 'a:1234567' is no host:port; expected"),
        ({"worker": ["a:0"]}, "worker: the port of a:0 must be within 1 and 65535$"),
        ({"worker": ["a:65536"]}, "worker: the port of a:65536 must be within 1 and 65535$"),
        (
            {"worker": ["a:1", "b:1", "a:1"]},
            " gives the address a:1 to worker 0 and to worker 2; each task needs its own$",
        ),
        (
            {"worker": ["a:1"], "chief": ["b:1"], "ps": ["a:1"]},
            " gives the address a:1 to worker 0 and to ps 0; each task needs its own$",
        ),
        (
            {"worker": ["a:1"], "chief": ["b:1", "c:1"]},
            " has 2 chiefs; expected one, and the others as workers$",
        ),
        (
            {"worker": ["a:1"], "chief": ["b:1"], "master": ["c:1"]},
            " lists the role chief under two names, the second is master; use one$",
        ),
        (
            {"worker": ["a:1"], "ps": ["b:1"]},
            " has worker, ps but no chief, so that nobody would run the training; add a chief$",
        ),
        ({"evaluator": ["a:1"]}, " has evaluator but no chief, so that nobody would run"),
        ({"worker": ["x" * 10**6]}, "worker: 'xxxx.*x... has no port; expected one such as"),
    ],
)
def test_cluster_that_cannot_train_is_one_sentence(variable, tasks, message):
    text = json.dumps({"cluster": tasks, "task": {"type": "worker", "index": 0}})
    with pytest.raises(UserError, match=rf"^{variable}\.cluster\.?{message}") as caught:
        read_cluster({variable: text})
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("address", ["10.0.0.5:1", "[::1]:2222", "my_host-1.svc.local:65535"])
def test_address_is_a_host_and_a_port(address):
    task = {"type": "worker", "index": 0}
    assert read(TF_CONFIG=tf_config(task, {"worker": [address]})).addresses == {
        "worker": (address,)
    }
