"""What a run knows of the place where it computes: its replicas, and what processes agree on.

A replica is a device that computes gradients of its share of every batch. Peers are the processes
that run the same loop in step: chief and workers of a synchronous job; one process otherwise. With
parameter servers only the chief runs the loop, and the workers compute what it sends them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tensorflow as tf

from trainer.errors import Interrupted, UserError

StrategyKind = Literal["one_device", "mirrored", "multi_worker_mirrored", "parameter_server", "tpu"]
# What TensorFlow raises where another process of the cluster is gone.
PEER_ERRORS = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)


@dataclass(frozen=True)
class Distribution:
    """A strategy and this process's place in it.

    Attributes:
        strategy: of TensorFlow.
        kind: its name in `training.strategy`.
        num_local_replicas: replicas of this process.
        num_peers: processes that run the loop in step.
        peer: the number of this one; 0 is the chief, which alone writes.
        coordinator: sends steps to the workers; None without parameter servers.
        num_servers: workers behind the coordinator.
        has_average: whether a moving average may be kept. With parameter servers each of its steps
            would move all weights over the network twice.
    """

    strategy: tf.distribute.Strategy
    kind: StrategyKind
    num_local_replicas: int = 1
    num_peers: int = 1
    peer: int = 0
    coordinator: tf.distribute.coordinator.ClusterCoordinator | None = None
    num_servers: int = 0
    has_average: bool = True

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints, model, report and tuning metric."""
        return self.peer == 0

    @property
    def num_replicas(self) -> int:
        """Shares into which a batch is cut."""
        return self.num_local_replicas * self.num_peers

    def describe(self) -> str:
        """One line for the start log."""
        if self.coordinator is not None:
            return f"{self.kind}: the chief sends steps to {self.num_servers} workers"
        if self.num_replicas == 1:
            return f"{self.kind}, {self.strategy.extended.worker_devices[0].rpartition('/')[2]}"
        return (
            f"{self.kind}, {self.num_replicas} replicas on {self.num_peers} process(es), each with "
            f"1/{self.num_replicas} of every batch; gradients are added up, so that the learning "
            "rates do not depend on their number"
        )

    def local_slice(self, batch_size: int) -> slice:
        """The rows of a batch of all replicas that this process computes."""
        share = batch_size // self.num_peers
        return slice(self.peer * share, (self.peer + 1) * share)

    def per_replica(self, rows: tf.Tensor) -> tf.Tensor:
        """This process's rows, cut along the first axis into one part a local replica."""
        if self.num_local_replicas == 1:
            return rows
        share = rows.shape[0] // self.num_local_replicas

        def part(context: tf.distribute.ValueContext) -> tf.Tensor:
            number = context.replica_id_in_sync_group % self.num_local_replicas
            return rows[number * share : (number + 1) * share]

        return self.strategy.experimental_distribute_values_from_function(part)

    def local_results(self, value: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """What each local replica gave, in the order of the parts."""
        return self.strategy.experimental_local_results(value)

    def sum_over_peers(self, values: np.ndarray) -> np.ndarray:
        """Float32 numbers of any shape, added up over the processes; all get the same.

        Every process must call it, in the same order.
        """
        if self.num_peers == 1:
            return values
        total = _all_reduce(self.strategy, tf.constant(values, tf.float32))
        return (total / self.num_local_replicas).numpy()

    def wait_for_peers(self) -> None:
        """Return when every process has come here."""
        self.sum_over_peers(np.zeros(1, np.float32))

    def gather(self, values: Sequence[int]) -> list[int]:
        """Whole numbers below 2**24 of all processes, which have equally many, by process."""
        own = np.zeros((self.num_peers, len(values)), np.float32)
        own[self.peer] = values
        return self.sum_over_peers(own).astype(int).flatten().tolist()

    def check_equal(self, what: str, value: int) -> None:
        """Make sure that all processes have the same whole number below 2**24.

        Raises:
            UserError: they have not.
        """
        values = self.gather([value])
        if len(set(values)) > 1:
            raise UserError(
                f"{what} differs between the processes of the cluster: {values}; the run folder "
                "and the data must be the same for all, e.g. on gs://"
            )

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """A block that the other processes enter when the chief has left it."""
        if not self.is_chief:
            self.wait_for_peers()
        yield
        if self.is_chief:
            self.wait_for_peers()

    @contextlib.contextmanager
    def interrupted_by_losses(self) -> Iterator[None]:
        """A block in which the loss of another process is an interruption.

        Raises:
            Interrupted: another process is gone.
        """
        try:
            yield
        except PEER_ERRORS as error:
            if self.num_peers == 1 and self.coordinator is None:
                raise
            raise Interrupted(
                f"another process of the cluster is gone ({_reason(error)}); start all of them "
                "again to go on from the last checkpoint"
            ) from error


def local_cpu() -> str:
    """The full name of this process's CPU, for TensorFlow's options on files.

    Without it a parameter server writes and reads its variables on its own machine's disk.
    """
    with tf.device("CPU:0"):
        return tf.constant(0.0).device


@contextlib.contextmanager
def os_errors() -> Iterator[None]:
    """A block in which what the disk has against TensorFlow is an OSError, as Python's own is.

    A lost parameter server, with which the disk has nothing to do, keeps TensorFlow's error.
    """
    try:
        yield
    except PEER_ERRORS:
        raise
    except tf.errors.OpError as error:
        # "{{function_node ...}} PATH; No space left on device [Op:SaveV2]"
        raise OSError(error.message.rpartition("; ")[2].partition(" [Op:")[0]) from error


@tf.function(reduce_retracing=True, autograph=False)
def _all_reduce(strategy: tf.distribute.Strategy, values: tf.Tensor) -> tf.Tensor:
    def add(values: tf.Tensor) -> tf.Tensor:
        values = tf.identity(values)  # An argument is on no device, where nothing can be added.
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)

    return strategy.experimental_local_results(strategy.run(add, args=(values,)))[0]


def _reason(error: tf.errors.OpError) -> str:
    """What TensorFlow says of a lost process, without the trace around it."""
    said = re.search(r"aborted by: (.*)|unhealthy.*|failed to connect.*", error.message)
    lines = [line for line in error.message.splitlines() if line.strip()]
    return (said[0] if said else lines[-1])[:200]
