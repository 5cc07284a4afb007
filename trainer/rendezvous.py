"""Where the processes of a cluster wait for each other, and notice that the chief stays away.

TensorFlow waits up to an hour for a process that never comes, and no signal reaches Python
meanwhile (it holds the interpreter's lock; TensorFlow 2.21). So the processes meet here first, at
the very addresses that TensorFlow will use. May not import TensorFlow.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from typing import Literal

from trainer.cluster import Cluster
from trainer.errors import Interrupted, UserError

logger = logging.getLogger(__name__)

# Machines of Vertex AI come one by one, and a lost one is replaced; those of a laptop come at once,
# and a process that is alone there should have ended within half a minute of its start.
PATIENCE_SECONDS = 25.0
CLOUD_PATIENCE_SECONDS = 900.0

_ROLES = ("chief", "worker", "ps")
_SECONDS_BETWEEN_LOOKS = 0.2
_CONNECT_SECONDS = 2.0


def patience(setting: float | Literal["auto"], *, is_cloud: bool) -> float:
    """Seconds to wait for a process that does not answer, from training.peer_timeout_seconds."""
    if setting != "auto":
        return setting
    return CLOUD_PATIENCE_SECONDS if is_cloud else PATIENCE_SECONDS


def meet(cluster: Cluster, patience_seconds: float) -> None:
    """Return when chief, workers and parameter servers all answer at their addresses.

    A process that has gone on to TensorFlow answers through TensorFlow's own server.

    Args:
        cluster: the processes and which of them this is.
        patience_seconds: for those that have not started.

    Raises:
        UserError: the port of this process is in use.
        Interrupted: some did not answer in time; names them.
    """
    missing = _addresses(cluster)
    own = missing.pop(f"{cluster.task_type} {cluster.task_index}", None)
    if own is None or not missing:
        return
    logger.info("waiting for %s", ", ".join(missing))
    end = time.monotonic() + patience_seconds
    with _listening(cluster, own, backlog=4 * len(missing)):
        while True:
            missing = {name: a for name, a in missing.items() if not _answers(a)}
            if not missing:
                return
            if time.monotonic() > end:
                names = ", ".join(f"{name} ({address})" for name, address in missing.items())
                raise Interrupted(
                    f"no answer from {names} within {patience_seconds:g} s; start all processes of "
                    "the cluster again, or raise training.peer_timeout_seconds"
                )
            time.sleep(_SECONDS_BETWEEN_LOOKS)


class ChiefWatch:
    """Notices for processes that serve or follow the chief that it stays away."""

    def __init__(self, cluster: Cluster, patience_seconds: float):
        """Allow the chief `patience_seconds` to come, and to come back after a loss."""
        self._address = _addresses(cluster).get("chief 0")
        self._patience_seconds = patience_seconds
        self._seen_at = time.monotonic()

    def answers(self) -> bool:
        """Whether the chief is there now; True where its address is not known."""
        return self._address is None or _answers(self._address)

    def check(self) -> None:
        """Look for the chief.

        Raises:
            Interrupted: it has not answered for longer than the patience.
        """
        if self.answers():
            self._seen_at = time.monotonic()
        elif time.monotonic() - self._seen_at > self._patience_seconds:
            raise Interrupted(
                f"the chief ({self._address}) has been away for {self._patience_seconds:g} s; "
                "start all processes of the cluster again to go on from the last checkpoint"
            )


def port_in_use(cluster: Cluster) -> UserError:
    """The mistake that another process listens at this one's address."""
    address = cluster.addresses[cluster.task_type][cluster.task_index]
    return UserError(
        f"cannot listen on {address}, the address of {cluster.task_type} {cluster.task_index}: the "
        "port is in use. End the process that has it, or give the cluster another port"
    )


def _addresses(cluster: Cluster) -> dict[str, str]:
    """Address by role and number, of the processes that TensorFlow connects."""
    known: Mapping[str, tuple[str, ...]] = cluster.addresses
    return {
        f"{role} {index}": address
        for role in _ROLES
        for index, address in enumerate(known.get(role, ()))
    }


def _listening(cluster: Cluster, address: str, backlog: int) -> socket.socket:
    """A socket that answers the others; the system does so without our accepting."""
    port = int(address.rpartition(":")[2])
    dual = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            ("", port),
            family=socket.AF_INET6 if dual else socket.AF_INET,
            backlog=backlog,
            dualstack_ipv6=dual,
        )
    except OSError as error:
        raise port_in_use(cluster) from error


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
