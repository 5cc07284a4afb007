"""trainer.strategy: the kind that fits a cluster, shares of a batch, what peers agree on."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from trainer.config import TrainingConfig
from trainer.errors import Interrupted, UserError
from trainer.strategy import Distribution, is_server, make_distribution, make_one_device
from trainer.vertex import Cluster

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


def test_shares_of_the_processes_tile_a_batch():
    strategy = tf.distribute.get_strategy()
    parts = [
        Distribution(strategy, "multi_worker_mirrored", 2, 3, peer).local_slice(24)
        for peer in range(3)
    ]
    assert [(part.start, part.stop) for part in parts] == [(0, 8), (8, 16), (16, 24)]
    assert Distribution(strategy, "multi_worker_mirrored", 2, 3, 1).num_replicas == 6


def test_alone_a_process_agrees_with_itself():
    distribution = make_one_device()
    values = np.array([1.5, -2.0], np.float32)
    assert distribution.sum_over_peers(values).tolist() == [1.5, -2.0]
    assert distribution.gather([7, 9]) == [7, 9]
    distribution.check_equal("the step", 7)
    with distribution.chief_first():
        pass


def test_loss_of_a_peer_is_an_interruption_only_where_there_are_peers():
    error = tf.errors.UnavailableError(None, None, "Graph error\nCollective ops is aborted by: x\n")
    alone, with_peer = (
        Distribution(tf.distribute.get_strategy(), "multi_worker_mirrored", num_peers=n)
        for n in (1, 2)
    )
    with (
        pytest.raises(Interrupted, match=r"process of the cluster is gone \(aborted by: x\)"),
        with_peer.interrupted_by_losses(),
    ):
        raise error
    with pytest.raises(tf.errors.UnavailableError), alone.interrupted_by_losses():
        raise error


def test_logical_cpus_come_before_anything_else():
    tf.config.list_logical_devices()
    with pytest.raises(UserError, match=r"logical_cpus is 3, but TensorFlow has used its devices"):
        make_distribution(TrainingConfig(logical_cpus=3), Cluster())


MIRRORED = """
import numpy as np, tensorflow as tf
from trainer.config import TrainingConfig
from trainer.strategy import make_distribution
from trainer.vertex import Cluster

distribution = make_distribution(TrainingConfig(logical_cpus=3), Cluster())
assert (distribution.kind, distribution.num_replicas) == ("mirrored", 3)

@tf.function
def parts(rows):
    cut = distribution.per_replica(rows)
    return distribution.local_results(distribution.strategy.run(lambda r: r * 2, args=(cut,)))

found = [part.numpy().tolist() for part in parts(tf.range(6))]
assert found == [[0, 2], [4, 6], [8, 10]], found
"""


def test_rows_are_cut_in_order_into_one_part_a_device():
    done = subprocess.run([sys.executable, "-c", MIRRORED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
