"""trainer.distribution: shares of a batch, and what peers agree on."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from trainer.distribution import Distribution, os_errors
from trainer.errors import Interrupted
from trainer.strategy import make_one_device


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


def test_full_disk_is_an_os_error_and_a_lost_server_is_not():
    said = "{{function_node x}} /disk/variables; No space left on device [Op:SaveV2]"
    with pytest.raises(OSError, match=r"^No space left on device$"), os_errors():
        raise tf.errors.ResourceExhaustedError(None, None, said)
    with pytest.raises(tf.errors.UnavailableError), os_errors():
        raise tf.errors.UnavailableError(None, None, "Connection refused")


MIRRORED = """
import numpy as np, tensorflow as tf
from trainer.config import TrainingConfig
from trainer.strategy import make_distribution
from trainer.cluster import Cluster

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
