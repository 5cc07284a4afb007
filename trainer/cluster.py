"""The replicas of a job and this one's place among them, from CLUSTER_SPEC and TF_CONFIG.

A cluster that cannot train is refused here, before TensorFlow is imported and waits for peers that
never come. Imports errors only.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainer.errors import UserError, listed, nearest, quoted

Role = Literal["chief", "worker", "ps", "reduction", "evaluator"]

# The pools of CLUSTER_SPEC and the task types of TF_CONFIG. Pool 2 holds parameter servers or
# reduction servers; the variables do not say which, the job's image does (`_pool_2_role`).
_ROLES: dict[str, Role] = {
    "workerpool0": "chief",
    "workerpool1": "worker",
    "workerpool2": "ps",
    "workerpool3": "evaluator",
    "chief": "chief",
    "master": "chief",
    "worker": "worker",
    "ps": "ps",
    "evaluator": "evaluator",
}
# A name or a number of a host, IPv6 in brackets, and its port.
_ADDRESS = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})", re.ASCII)


@dataclass(frozen=True)
class Cluster:
    """The replicas of a job and this one's place among them.

    Attributes:
        task_type: role of this replica.
        task_index: its number within the role, from 0.
        num_workers: replicas that compute gradients: chief and workers.
        addresses: `host:port` of every replica by role; empty for a run outside a cluster.
        is_chief: whether this replica alone writes checkpoints, model, report and tuning metric.
        is_cloud: whether the cluster says that it runs on Vertex AI.
    """

    task_type: Role = "chief"
    task_index: int = 0
    num_workers: int = 1
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_chief: bool = True
    is_cloud: bool = False


def read_cluster(environ: Mapping[str, str]) -> tuple[Cluster, str | None]:
    """The cluster and, in a tuning job, the trial.

    CLUSTER_SPEC knows every pool; TF_CONFIG is set for distributed jobs only and knows no
    evaluators, but has the addresses that TensorFlow connects to.
    """
    spec = _parse_cluster("CLUSTER_SPEC", environ)
    tf_config = _parse_cluster("TF_CONFIG", environ)
    if spec is None or tf_config is None:
        return spec or tf_config or (Cluster(), None)
    (ours, trial_id), (theirs, other_trial_id) = spec, tf_config
    if (ours.task_type, ours.task_index) != (theirs.task_type, theirs.task_index):
        raise UserError(
            "CLUSTER_SPEC and TF_CONFIG name different tasks for this replica: "
            f"{ours.task_type} {ours.task_index} and {theirs.task_type} {theirs.task_index}. "
            "Set one of them"
        )
    if ours.num_workers != theirs.num_workers:
        raise UserError(
            "CLUSTER_SPEC and TF_CONFIG name different numbers of chief and workers: "
            f"{ours.num_workers} and {theirs.num_workers}. Set one of them"
        )
    addresses = {**ours.addresses, **theirs.addresses}
    if "reduction" in addresses:
        addresses.pop("ps", None)
    cluster = Cluster(
        task_type=ours.task_type,
        task_index=ours.task_index,
        num_workers=ours.num_workers,
        addresses=addresses,
        is_chief=ours.is_chief,
        is_cloud=ours.is_cloud or theirs.is_cloud,
    )
    return cluster, trial_id or other_trial_id


def _parse_cluster(variable: str, environ: Mapping[str, str]) -> tuple[Cluster, str | None] | None:
    """The cluster and trial that CLUSTER_SPEC or TF_CONFIG states; None where it states nothing."""
    spec = _parse_object(variable, environ.get(variable) or "{}")
    if not spec:
        return None
    task = _member(variable, spec, "task", dict)
    task_type = _member(f"{variable}.task", task, "type", str)
    index = _member(f"{variable}.task", task, "index", int)
    addresses = _read_addresses(variable, spec)
    role = _role(variable, task_type, spec)
    _check_roles(variable, addresses, role)
    # TF_CONFIG never lists the evaluators, not even to an evaluator.
    num_tasks = len(addresses.get(role, ())) or (index + 1 if role == "evaluator" else 0)
    if not 0 <= index < max(num_tasks, 0 if addresses else 1):
        raise UserError(
            f"{variable}.task is {task_type} {quoted(index)}, but the cluster has {num_tasks} of "
            "that type, numbered from 0"
        )
    first = "chief" if "chief" in addresses or not addresses else "worker"
    cluster = Cluster(
        task_type=role,
        task_index=index,
        num_workers=max(1, len(addresses.get("chief", ())) + len(addresses.get("worker", ()))),
        addresses=addresses,
        is_chief=role == first and index == 0,
        is_cloud=spec.get("environment") == "cloud",
    )
    trial = task.get("trial")
    if not isinstance(trial, str | int | None):
        raise UserError(f"{variable}.task.trial must be a text; received {quoted(trial)}")
    return cluster, str(trial) if trial not in (None, "") else None


def _read_addresses(variable: str, spec: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """`host:port` of every task by role, without roles that have none."""
    addresses: dict[str, tuple[str, ...]] = {}
    owners: dict[str, str] = {}
    for pool, members in _member(variable, spec, "cluster", dict).items():
        role = _role(variable, pool, spec)
        where = f"{variable}.cluster.{pool}"
        if not isinstance(members, list):
            raise UserError(f"{where} must be a list of host:port; received {quoted(members)}")
        for index, address in enumerate(members):
            _check_address(where, address)
            if address in owners:
                raise UserError(
                    f"{variable}.cluster gives the address {address} to {owners[address]} and to "
                    f"{pool} {index}; each task needs its own"
                )
            owners[address] = f"{pool} {index}"
        if members and role in addresses:
            raise UserError(
                f"{variable}.cluster lists the role {role} under two names, the second is {pool}; "
                "use one"
            )
        if members:
            addresses[role] = tuple(members)
    return addresses


def _check_address(where: str, address: Any) -> None:
    if not isinstance(address, str):
        raise UserError(f"{where} must be a list of host:port; it has {quoted(address)}")
    match = _ADDRESS.fullmatch(address)
    if match is None:
        host, colon, port = address.rpartition(":")
        problem = "has no port" if not colon else "has no host" if not host else ""
        if colon and host and re.fullmatch("[0-9]+", port) is None:
            problem = f"has the port {quoted(port)}, which is no number"
        raise UserError(
            f"{where}: {quoted(address)} {problem or 'is no host:port'}; expected one such as "
            "10.0.0.5:2222"
        )
    if not 1 <= int(match[1]) <= 65_535:
        raise UserError(f"{where}: the port of {address} must be within 1 and 65535")


def _check_roles(variable: str, addresses: Mapping[str, tuple[str, ...]], role: Role) -> None:
    """Refuse a cluster in which nobody, or more than one, would write what is learned."""
    num_chiefs = len(addresses.get("chief", ()))
    if num_chiefs > 1:
        raise UserError(
            f"{variable}.cluster has {num_chiefs} chiefs; expected one, and the others as workers"
        )
    if not addresses and role not in ("chief", "evaluator"):
        raise UserError(
            f"{variable}.task is a {role}, but {variable}.cluster is empty; list the tasks there, "
            f"or leave {variable} unset to train in one process"
        )
    if addresses and not num_chiefs and ("worker" not in addresses or "ps" in addresses):
        raise UserError(
            f"{variable}.cluster has {', '.join(addresses)} but no chief, so that nobody would "
            "run the training; add a chief"
        )


def _parse_object(variable: str, text: str) -> dict[str, Any]:
    def refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in pairs)
        for name, count in counts.items():
            if count > 1:
                raise UserError(f"{variable} has the key {quoted(name)} twice; a key stands once")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=refuse_twice)
    except (ValueError, RecursionError) as error:
        reason = str(error)
        if isinstance(error, json.JSONDecodeError):
            reason = f"{error.msg} at character {error.pos}"
        raise UserError(
            f"{variable} is not valid JSON: {reason}; received {quoted(text)}"
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{variable} must be a JSON object; received {quoted(text)}")
    return value


def _member(owner: str, values: dict[str, Any], key: str, kind: type) -> Any:
    """`values[key]`, which must be there and of that JSON type; "0" passes for an integer."""
    if key not in values:
        given = listed(sorted(values)) or "none"
        raise UserError(f"{owner} lacks the key {key!r}; it has {given}")
    value = values[key]
    if kind is int and isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        value = int(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {dict: "a JSON object", str: "a text", int: "a whole number"}
        raise UserError(f"{owner}.{key} must be {names[kind]}; received {quoted(value)}")
    return value


def _role(variable: str, pool: str, spec: dict[str, Any]) -> Role:
    if pool not in _ROLES:
        raise UserError(
            f"{variable} names the unknown task type {quoted(pool)}{nearest(pool, _ROLES)}; "
            f"valid: {', '.join(_ROLES)}"
        )
    return _pool_2_role(spec) if pool == "workerpool2" else _ROLES[pool]


def _pool_2_role(spec: dict[str, Any]) -> Role:
    """Give reduction where the job's third pool runs Google's reduction server image, else ps."""
    job = spec.get("job")
    if isinstance(job, dict):
        pools = job.get("workerPoolSpecs") or job.get("worker_pool_specs") or []
        if isinstance(pools, list) and "reductionserver" in json.dumps(pools[2:3]):
            return "reduction"
    return "ps"
