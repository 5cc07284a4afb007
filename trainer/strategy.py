"""Which tf.distribute strategy fits the config, the cluster and the devices, and its start."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

from trainer import rendezvous
from trainer.cluster import Cluster
from trainer.config import TrainingConfig
from trainer.distribution import Distribution, StrategyKind
from trainer.errors import Interrupted, UserError

_SECONDS_BETWEEN_LOOKS = 1.0
_LOOKS_AFTER_SIGNAL = 20
_DEVICE_START_SECONDS = 60.0


@contextlib.contextmanager
def join_cluster(
    config: TrainingConfig, cluster: Cluster, patience_seconds: float
) -> Iterator[Distribution]:
    """A block in which this process computes with its peers, and a lost one is an interruption.

    Args:
        config: names the strategy, or leaves it to the cluster and the devices.
        cluster: the processes.
        patience_seconds: for those that do not answer at the start.

    Raises:
        UserError: the cluster or the devices do not fit the strategy.
        Interrupted: a process did not come, or is gone.
    """
    rendezvous.meet(cluster, patience_seconds)
    # Alone there is nobody to wait for, and a GPU or TPU takes its time to start.
    has_peers = cluster.num_workers > 1 or bool(cluster.addresses.get("ps"))
    seconds = patience_seconds + _DEVICE_START_SECONDS
    with _aborted_after(seconds) if has_peers else contextlib.nullcontext():
        distribution = make_distribution(config, cluster)
    _take_signals_back()
    with distribution.interrupted_by_losses(), _without_notes_on_retracing():
        yield distribution


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


def serve(
    cluster: Cluster,
    is_over: Callable[[], bool],
    is_told_to_stop: Callable[[], bool],
    patience_seconds: float,
) -> None:
    """Serve the chief until the run has ended; call it when all have met.

    Args:
        cluster: the processes.
        is_over: whether the run has ended.
        is_told_to_stop: by a signal. The chief, which may have got it too, still needs the
            variables for its checkpoint: it is served until it is gone, or for 20 s.
        patience_seconds: for a chief that stays away.

    Raises:
        UserError: the port of this process is in use.
        Interrupted: a signal came, or the chief has been away for longer than the patience.
    """
    chief = rendezvous.ChiefWatch(cluster, patience_seconds)
    try:
        server = tf.distribute.Server(
            _cluster_spec(cluster), cluster.task_type, cluster.task_index, protocol="grpc"
        )
    except tf.errors.UnknownError as error:
        raise rendezvous.port_in_use(cluster) from error
    _take_signals_back()
    # Not server.join(): it never returns to Python, so that Ctrl-C would not be heard.
    looks = 0
    while not is_over():
        chief.check()
        if is_told_to_stop():
            looks += 1
            if looks > _LOOKS_AFTER_SIGNAL or not chief.answers():
                raise Interrupted("a signal came; start again to go on")
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
        raise rendezvous.port_in_use(cluster) from error
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


@contextlib.contextmanager
def _without_notes_on_retracing() -> Iterator[None]:
    """Hold back that many functions of one name were traced: each run of a notebook or a fold
    makes its own, and so does every save with servers.
    """

    def is_none(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    tensorflow_log = logging.getLogger("tensorflow")
    tensorflow_log.addFilter(is_none)
    try:
        yield
    finally:
        tensorflow_log.removeFilter(is_none)


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


def _take_signals_back() -> None:
    """Put Python's handler of SIGTERM back in the place of the one of TensorFlow's clusters."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


@contextlib.contextmanager
def _aborted_after(seconds: float) -> Iterator[None]:
    """A block of native code that may wait for a process that has just died, and hears nothing.

    Python cannot act there, so the system's alarm ends the process, by SIGABRT: the end that
    Vertex AI answers with a new start.
    """
    libc = ctypes.CDLL(None)
    libc.signal.restype, libc.signal.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    before = libc.signal(signal.SIGALRM, ctypes.cast(libc.abort, ctypes.c_void_p))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        libc.signal(signal.SIGALRM, before)
