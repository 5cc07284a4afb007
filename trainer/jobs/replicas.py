"""The replicas of a job and the environment that Vertex AI gives each of them.

Knows what is set and for whom; starting processes is `replica_process.py`'s work.
"""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.cluster import Role
from trainer.errors import UserError
from trainer.jobs.job_file import JobFile, Pool

# What only Vertex AI or this module sets: a user's own shell may have some of them.
_REPLACED = ("CLUSTER_SPEC", "TF_CONFIG", "CUDA_VISIBLE_DEVICES", "STORAGE_EMULATOR_HOST")
_REPLACED_PREFIXES = ("AIP_", "CLOUD_ML_", "TPU_")
# Below the ports that the system hands out for outgoing connections (32768 and up), so that none of
# those takes a replica's port between two starts.
_PORTS = range(20000, 32000)
# The number of the project is not in the job file.
PROJECT_NUMBER = "123456789012"


@dataclass(frozen=True)
class Replica:
    """One process of a job.

    Attributes:
        name: its role and number, as its log lines show it, e.g. worker-1.
        role: what it does.
        pool: the number of its pool.
        index: its number in the pool.
        args: the arguments of `python -m trainer.task`.
        variables: what Vertex AI and the job file set in its environment.
    """

    name: str
    role: Role
    pool: int
    index: int
    args: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_primary(self) -> bool:
        """Whether its end is the end of the job."""
        return self.pool == 0


@dataclass(frozen=True)
class Plan:
    """What is started for a job, and what is not as in the cloud, a sentence each."""

    replicas: tuple[Replica, ...]
    notes: tuple[str, ...]


def plan_replicas(
    job: JobFile,
    addresses: Mapping[int, Sequence[str]],
    *,
    job_id: str,
    extra_flags: Sequence[str] = (),
) -> Plan:
    """The replicas to start on this machine.

    Args:
        job: a custom job.
        addresses: `host:port` of every replica by pool, as `choose_addresses` gives them.
        job_id: the number that the service would give the job.
        extra_flags: put behind the arguments of every pool.

    Raises:
        UserError: a pool runs something that is neither this package nor the reduction server.
    """
    flags, notes = _flags_without_accelerators(job)
    replicas = []
    for pool in _used_pools(job):
        if pool.is_reduction_server:
            notes.append(
                f"the {pool.replicas} reduction servers of pool {pool.index} are not started: "
                "they speed up GPUs of several machines"
            )
            continue
        if not pool.runs_trainer:
            what = f"{pool.image} with its own command" if pool.command else f"{pool.module}"
            raise UserError(
                f"{job.where((*job.spec_path, 'workerPoolSpecs', pool.index))} runs {what}; "
                "on this machine only trainer.task and the reduction server's pool can be run"
            )
        for index in range(pool.replicas):
            variables = vertex_variables(job, addresses, pool.index, index, job_id=job_id)
            replicas.append(
                Replica(
                    name=f"{pool.role}-{index}",
                    role=pool.role,
                    pool=pool.index,
                    index=index,
                    args=(*pool.args, *flags, *extra_flags),
                    variables={**pool.env, **variables},
                )
            )
    return Plan(tuple(replicas), tuple(notes))


def choose_addresses(job: JobFile) -> dict[int, tuple[str, ...]]:
    """Free `host:port`s of this machine for every replica, by pool.

    Raises:
        UserError: the job has no pools, or its first is not one replica.
    """
    pools = _used_pools(job)
    if not pools or pools[0].index != 0 or pools[0].replicas != 1:
        raise UserError(
            f"{job.where((*job.spec_path, 'workerPoolSpecs'))}: the first pool is the chief and "
            "must have replicaCount: 1"
        )
    ports = iter(free_ports(sum(pool.replicas for pool in pools)))
    return {
        pool.index: tuple(f"127.0.0.1:{next(ports)}" for _ in range(pool.replicas))
        for pool in pools
    }


def free_ports(count: int) -> list[int]:
    """Distinct ports that nothing listens on now."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            return found
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    raise UserError(f"fewer than {count} ports of {_PORTS.start} to {_PORTS.stop - 1} are free")


def vertex_variables(
    job: JobFile,
    addresses: Mapping[int, Sequence[str]],
    pool: int,
    index: int,
    *,
    job_id: str,
    trial_id: str | None = None,
) -> dict[str, str]:
    """The variables that Vertex AI sets for one replica; of a trial where `trial_id` is given.

    TPU_* and the ports of the profiler are left out: nothing on this machine answers there.

    Source: Vertex AI, "Environment variables for special Cloud Storage directories",
    "Distributed training", "Training code requirements".
    """
    variables = {"CLOUD_ML_PROJECT_ID": PROJECT_NUMBER, "CLOUD_ML_JOB_ID": job_id}
    if trial_id is not None:
        variables["CLOUD_ML_TRIAL_ID"] = trial_id
    if job.output_uri:
        parts = [job.output_uri.rstrip("/"), *([trial_id] if trial_id is not None else [])]
        prefix = "/".join(parts)
        variables["AIP_MODEL_DIR"] = f"{prefix}/model/"
        variables["AIP_CHECKPOINT_DIR"] = f"{prefix}/checkpoints/"
        variables["AIP_TENSORBOARD_LOG_DIR"] = f"{prefix}/logs/"
    if tensorboard := job.job_spec.get("tensorboard"):
        variables["AIP_TENSORBOARD_RESOURCE_NAME"] = str(tensorboard)
    trial = {} if trial_id is None else {"trial": trial_id}
    variables["CLUSTER_SPEC"] = json.dumps(_cluster_spec(job, addresses, pool, index, trial))
    if sum(map(len, addresses.values())) > 1:
        spec = _tf_config(job, addresses, pool, index, {"cloud": job_id, **trial})
        variables["TF_CONFIG"] = json.dumps(spec)
    return variables


def process_environment(
    environ: Mapping[str, str], replica: Replica, *, package_dir: str, gs_endpoint: str
) -> dict[str, str]:
    """The whole environment of a replica's process.

    Args:
        environ: of this process; what Vertex AI sets is taken out of it.
        replica: whose variables come on top.
        package_dir: the folder that the package is installed in; nothing else of PYTHONPATH stays,
            so that no checkout is imported.
        gs_endpoint: the address of the emulator for gs://.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name not in _REPLACED and not name.startswith(_REPLACED_PREFIXES)
    }
    direct = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1"]))
    return {
        **kept,
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PYTHONUNBUFFERED": "1",
        **replica.variables,
        "PYTHONPATH": package_dir,
        "STORAGE_EMULATOR_HOST": gs_endpoint,
        "CUDA_VISIBLE_DEVICES": "-1",
    }


def _used_pools(job: JobFile) -> list[Pool]:
    return [pool for pool in job.pools if pool.replicas > 0]


def _flags_without_accelerators(job: JobFile) -> tuple[list[str], list[str]]:
    """Flags that stand in for accelerators, and a note of what they stand for."""
    pools = [pool for pool in _used_pools(job) if not pool.is_reduction_server]
    chief = pools[0]
    kind = (chief.accelerator_type or "").upper()
    is_tpu = chief.tpu_topology is not None or kind.startswith("TPU")
    if is_tpu or (chief.accelerator_count > 1 and len(pools) == 1):
        what = "the TPU" if is_tpu else f"the {chief.accelerator_count} GPUs of the machine"
        note = f"{what} is replaced" if is_tpu else f"{what} are replaced"
        return ["--strategy=mirrored", "--logical_cpus=2"], [f"{note} by 2 logical CPUs"]
    if any(pool.accelerator_count for pool in pools):
        return [], ["each replica computes on the CPU instead of its GPUs"]
    return [], []


def _cluster_spec(
    job: JobFile,
    addresses: Mapping[int, Sequence[str]],
    pool: int,
    index: int,
    trial: Mapping[str, str],
) -> dict[str, Any]:
    is_distributed = sum(map(len, addresses.values())) > 1
    names = {number: f"workerpool{number}" if is_distributed else "chief" for number in addresses}
    return {
        "cluster": {names[number]: list(members) for number, members in addresses.items()},
        "environment": "cloud",
        "task": {"type": names[pool], "index": index, **trial},
        "job": job.job_spec,
    }


def _tf_config(
    job: JobFile,
    addresses: Mapping[int, Sequence[str]],
    pool: int,
    index: int,
    extras: Mapping[str, str],
) -> dict[str, Any]:
    """TensorFlow's view: no evaluators in the cluster, and no reduction servers."""
    pools = {p.index: p for p in job.pools}
    names = {0: "chief", 1: "worker", 2: "ps"}
    return {
        "cluster": {
            names[number]: list(members)
            for number, members in addresses.items()
            if number in names and not pools[number].is_reduction_server
        },
        "environment": "cloud",
        "job": job.job_spec,
        "task": {"type": {**names, 3: "evaluator"}[pool], "index": index, **extras},
    }
