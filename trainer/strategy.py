"""Where a run computes: the tf.distribute strategy, its replicas, and what processes agree on.

A replica is a device that computes gradients of its share of every batch. Peers are the processes
that run the same loop in step: chief and workers of a synchronous job; one process otherwise. With
parameter servers only the chief runs the loop, and the workers compute what it sends them.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tensorflow as tf

from trainer.config import TrainingConfig
from trainer.errors import Interrupted, UserError
from trainer.vertex import Cluster

StrategyKind = Literal["one_device", "mirrored", "multi_worker_mirrored", "parameter_server", "tpu"]
# What TensorFlow raises where another process of the cluster is gone.
_PEER_ERRORS = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
_SECONDS_BETWEEN_LOOKS = 1.0


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
        except _PEER_ERRORS as error:
            if self.num_peers == 1 and self.coordinator is None:
                raise
            raise Interrupted(
                f"another process of the cluster is gone ({_reason(error)}); start all of them "
                "again to go on from the last checkpoint"
            ) from error


@tf.function(reduce_retracing=True, autograph=False)
def _all_reduce(strategy: tf.distribute.Strategy, values: tf.Tensor) -> tf.Tensor:
    def add(values: tf.Tensor) -> tf.Tensor:
        values = tf.identity(values)  # An argument is on no device, where nothing can be added.
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)

    return strategy.experimental_local_results(strategy.run(add, args=(values,)))[0]


def make_distribution(config: TrainingConfig, cluster: Cluster) -> Distribution:
    """The distribution that `training.strategy` names, or that fits the cluster and the devices.

    Must come before TensorFlow has used a device: it decides how many there are. In a cluster it
    returns when every process has started.

    Raises:
        UserError: the cluster or the devices do not fit the strategy.
    """
    _make_logical_cpus(config.logical_cpus)
    kind = _resolve_kind(config, cluster)
    if kind == "parameter_server":
        return _make_parameter_server(cluster)
    if kind == "multi_worker_mirrored":
        return _make_multi_worker(config, cluster)
    if kind == "tpu":
        return _make_tpu()
    if kind == "mirrored":
        devices = _devices()
        strategy = tf.distribute.MirroredStrategy(devices)
        return Distribution(strategy, kind, num_local_replicas=len(devices))
    return make_one_device()


def make_one_device(*, has_average: bool = True) -> Distribution:
    """One replica on the first GPU, or else on the CPU."""
    gpus = tf.config.list_logical_devices("GPU")
    strategy = tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")
    return Distribution(strategy, "one_device", has_average=has_average)


def is_server(config: TrainingConfig, cluster: Cluster) -> bool:
    """Whether this process holds variables or computes steps for a chief that runs the loop."""
    if cluster.task_type == "ps":
        return True
    return cluster.task_type == "worker" and _resolve_kind(config, cluster) == "parameter_server"


def serve(cluster: Cluster, is_over: Callable[[], bool]) -> None:
    """Serve the chief until `is_over` says that the run has ended.

    Raises:
        UserError: the port of this process is in use.
    """
    try:
        server = tf.distribute.Server(
            _cluster_spec(cluster), cluster.task_type, cluster.task_index, protocol="grpc"
        )
    except tf.errors.UnknownError as error:
        raise UserError(_port_in_use(cluster)) from error
    # Not server.join(): it never returns to Python, so that Ctrl-C would not be heard.
    while not is_over():
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    del server


def _resolve_kind(config: TrainingConfig, cluster: Cluster) -> StrategyKind:
    """The kind to use, checked against the cluster.

    Raises:
        UserError: they contradict each other.
    """
    has_servers = bool(cluster.addresses.get("ps"))
    fitting: StrategyKind | None = None
    if has_servers:
        fitting = "parameter_server"
    elif cluster.num_workers > 1:
        fitting = "multi_worker_mirrored"
    if config.strategy == "auto":
        return fitting or _kind_of_devices()
    if config.strategy in ("parameter_server", "multi_worker_mirrored") or fitting:
        if config.strategy == fitting:
            return config.strategy
        if config.strategy == "multi_worker_mirrored" and not has_servers:
            return _kind_of_devices()  # A cluster of one.
        pools = {
            "parameter_server": "a third worker pool with parameter servers",
            "multi_worker_mirrored": "a chief and workers, without parameter servers",
        }.get(config.strategy, "one process")
        raise UserError(
            f"training.strategy {config.strategy} needs {pools}; this cluster has "
            f"{', '.join(f'{len(a)} {role}' for role, a in cluster.addresses.items()) or 'none'}. "
            f"Use --strategy={fitting or 'auto'}, or other worker pools"
        )
    return config.strategy


def _kind_of_devices() -> StrategyKind:
    if tf.config.list_physical_devices("TPU"):
        return "tpu"
    return "mirrored" if len(_devices()) > 1 else "one_device"


def _devices() -> list[str]:
    """All GPUs, or else the CPU as one device, or as many as it was split into."""
    for kind in ("GPU", "CPU"):
        if found := tf.config.list_logical_devices(kind):
            return [f"/{kind.lower()}:{i}" for i in range(len(found))]
    return []


def _make_logical_cpus(count: int) -> None:
    if not count:
        return
    (cpu, *_) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:  # The devices are in use: this process has trained before.
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise UserError(
                f"training.logical_cpus is {count}, but TensorFlow has used its devices before; "
                "set it in a process of its own"
            ) from error


def _cluster_spec(cluster: Cluster) -> tf.train.ClusterSpec:
    roles = ("chief", "worker", "ps")
    return tf.train.ClusterSpec(
        {role: list(cluster.addresses[role]) for role in roles if cluster.addresses.get(role)}
    )


def _resolver(cluster: Cluster) -> tf.distribute.cluster_resolver.ClusterResolver:
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        _cluster_spec(cluster),
        task_type=cluster.task_type,
        task_id=cluster.task_index,
        rpc_layer="grpc",
    )


def _make_multi_worker(config: TrainingConfig, cluster: Cluster) -> Distribution:
    names = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=names(config.communication.upper())
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(_resolver(cluster), options)
    except tf.errors.UnknownError as error:
        raise UserError(_port_in_use(cluster)) from error
    first_worker = len(cluster.addresses.get("chief", ()))
    return Distribution(
        strategy,
        "multi_worker_mirrored",
        num_local_replicas=strategy.num_replicas_in_sync // cluster.num_workers,
        num_peers=cluster.num_workers,
        peer=cluster.task_index + (0 if cluster.task_type == "chief" else first_worker),
    )


def _make_parameter_server(cluster: Cluster) -> Distribution:
    num_workers = len(cluster.addresses.get("worker", ()))
    if not num_workers:
        raise UserError(
            "parameter servers need workers: give the second worker pool one replica or more"
        )
    strategy = tf.distribute.ParameterServerStrategy(_resolver(cluster))
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    return Distribution(
        strategy,
        "parameter_server",
        coordinator=coordinator,
        num_servers=num_workers,
        has_average=False,
    )


def _make_tpu() -> Distribution:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise UserError(
            "training.strategy tpu found no TPU; run on a TPU machine with a TensorFlow for TPUs "
            "(extra [tpu]), or use --strategy=auto"
        ) from error
    strategy = tf.distribute.TPUStrategy(resolver)
    return Distribution(strategy, "tpu", num_local_replicas=strategy.num_replicas_in_sync)


def _reason(error: tf.errors.OpError) -> str:
    """What TensorFlow says of a lost process, without the trace around it."""
    said = re.search(r"aborted by: (.*)|unhealthy.*|failed to connect.*", error.message)
    lines = [line for line in error.message.splitlines() if line.strip()]
    return (said[0] if said else lines[-1])[:200]


def _port_in_use(cluster: Cluster) -> str:
    address = cluster.addresses[cluster.task_type][cluster.task_index]
    return (
        f"cannot listen on {address}, the address of {cluster.task_type} {cluster.task_index}: the "
        "port is in use. End the process that has it, or give the cluster another port"
    )
