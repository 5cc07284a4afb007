"""trainer.strategy: the kind that fits a cluster."""

import signal

import pytest
import tensorflow as tf

from trainer.cluster import Cluster
from trainer.config import TrainingConfig
from trainer.errors import UserError
from trainer.strategy import is_server, join_cluster, make_distribution, make_one_device

ADDRESSES = {
    "chief": ("localhost:1",),
    "worker": ("localhost:2", "localhost:3"),
    "ps": ("localhost:4",),
}


def cluster_of(*roles, task="chief", index=0):
    addresses = {role: ADDRESSES[role] for role in roles}
    num_workers = sum(len(addresses.get(role, ())) for role in ("chief", "worker"))
    return Cluster(task, index, max(num_workers, 1), addresses, task == "chief")


def config_of(strategy):
    return TrainingConfig(strategy=strategy)


def test_one_replica_runs_on_the_first_device():
    for distribution in (make_one_device(), make_distribution(config_of("auto"), Cluster())):
        assert (distribution.kind, distribution.num_replicas) == ("one_device", 1)
        assert distribution.is_chief
        with distribution.strategy.scope():
            variable = tf.Variable(2.0)
        assert variable.device.endswith("GPU:0" if tf.config.list_logical_devices("GPU") else ":0")


@pytest.mark.parametrize(
    ("strategy", "cluster", "expected"),
    [
        ("auto", cluster_of("chief", "worker", "ps", task="worker"), True),
        ("auto", cluster_of("chief", "worker", "ps", task="ps"), True),
        ("auto", cluster_of("chief", "worker", "ps"), False),
        ("parameter_server", cluster_of("chief", "worker", "ps", task="worker"), True),
        ("auto", cluster_of("chief", "worker", task="worker"), False),
        ("auto", Cluster(), False),
    ],
)
def test_servers_are_parameter_servers_and_the_workers_beside_them(strategy, cluster, expected):
    assert is_server(config_of(strategy), cluster) is expected


@pytest.mark.parametrize(
    ("strategy", "cluster", "message"),
    [
        (
            "parameter_server",
            cluster_of("chief", "worker"),
            r"strategy parameter_server needs a third worker pool with parameter servers; this "
            r"cluster has 1 chief, 2 worker\. Use --strategy=multi_worker_mirrored",
        ),
        (
            "multi_worker_mirrored",
            cluster_of("chief", "worker", "ps"),
            r"needs a chief and workers, without parameter servers.* --strategy=parameter_server",
        ),
        ("mirrored", cluster_of("chief", "worker"), r"mirrored needs one process; this cluster"),
        ("one_device", cluster_of("chief", "worker"), r"one_device needs one process"),
        ("parameter_server", Cluster(), r"cluster has none\. Use --strategy=auto"),
        ("auto", cluster_of("chief", "ps"), r"parameter servers need workers"),
        ("tpu", Cluster(), r"strategy tpu found no TPU; run on a TPU machine"),
    ],
)
def test_strategy_that_contradicts_cluster_or_devices_is_named(strategy, cluster, message):
    with pytest.raises(UserError, match=message):
        make_distribution(config_of(strategy), cluster)


def test_multi_worker_with_one_process_uses_its_devices():
    assert make_distribution(config_of("multi_worker_mirrored"), Cluster()).num_replicas == 1


def test_logical_cpus_come_before_anything_else():
    tf.config.list_logical_devices()
    with pytest.raises(UserError, match=r"logical_cpus is 3, but TensorFlow has used its devices"):
        make_distribution(TrainingConfig(logical_cpus=3), Cluster())


def test_alone_no_alarm_ends_a_slow_start(monkeypatch):
    """A GPU may take longer to start than others are waited for."""
    alarms = []
    monkeypatch.setattr(signal, "setitimer", lambda *call: alarms.append(call))
    with join_cluster(TrainingConfig(), Cluster(), 0.01) as distribution:
        assert distribution.kind == "one_device"
    assert alarms == []


def test_many_runs_of_a_process_are_no_retraced_function(caplog):
    def trace_six(function):
        for number in range(6):
            tf.function(function, autograph=False)(tf.constant(number))

    with join_cluster(config_of("one_device"), Cluster(), 1.0):
        trace_six(lambda x: x + 1)
    assert caplog.text == ""
    trace_six(lambda x: x + 2)
    assert "triggered tf.function retracing" in caplog.text
