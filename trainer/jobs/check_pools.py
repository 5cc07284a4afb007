"""Checks of the worker pools: their number and order, machines, accelerators, images.

Source: Vertex AI, "Configure compute resources for custom training", "Distributed training",
"Train with TPU VMs", "Prebuilt containers for custom training", "Use Spot VMs".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainer.errors import nearest
from trainer.jobs.findings import Finding, error, warning
from trainer.jobs.job_fields import Path
from trainer.jobs.job_file import JobFile, Pool
from trainer.jobs.machines import (
    CLOUD_TPU,
    Machine,
    find_machine,
    has_known_family,
    machine_names,
)

MOST_POOLS = 4
_CLOUD_TPU_HOST_CORES = 8
_ACCELERATOR_PATH = ("machineSpec", "acceleratorType")
_COUNT_PATH = ("machineSpec", "acceleratorCount")
_MACHINE_PATH = ("machineSpec", "machineType")
_TOPOLOGY_PATH = ("machineSpec", "tpuTopology")


def check_pools(job: JobFile) -> Iterator[Finding]:
    """Findings about the pools of a job that is after `repair`."""
    pools = job.pools
    path = pools_path(job)
    if not pools:
        yield error(job, path, "is missing; a job has at least one pool, the chief's")
        return
    if len(pools) > MOST_POOLS:
        yield error(
            job,
            (*path, MOST_POOLS),
            "is one pool too many; they are chief, workers, parameter or reduction servers, "
            "evaluators",
        )
    for pool, values in zip(pools, job.job_spec["workerPoolSpecs"], strict=True):
        yield from _check_pool(job, pool, values)
    yield from _check_roles(job, path, pools)
    yield from _check_tpu(job, path, pools)
    yield from _check_scarce(job, path, pools)


def pools_path(job: JobFile) -> Path:
    """Where the list of pools stands."""
    return (*job.spec_path, "workerPoolSpecs")


def task_path(job: JobFile, pool: Pool) -> Path:
    """Where the pool says what it runs."""
    values = job.job_spec["workerPoolSpecs"][pool.index]
    key = "pythonPackageSpec" if "pythonPackageSpec" in values else "containerSpec"
    return (*pools_path(job), pool.index, key)


def _check_pool(job: JobFile, pool: Pool, values: dict[str, Any]) -> Iterator[Finding]:
    """Findings about one pool by itself."""
    path = (*pools_path(job), pool.index)
    if not values:
        if pool.index == 0:
            yield error(job, path, "is the chief's pool and must not be empty")
        elif job.kind == "custom":
            yield error(
                job,
                path,
                "gcloud refuses the empty pool {}; leave out what comes after it, or submit with "
                "scripts/submit_job.py, which sends it",
            )
        return
    yield from _check_replicas(job, path, pool)
    if "containerSpec" not in values and "pythonPackageSpec" not in values:
        yield error(job, path, "runs nothing; add containerSpec or pythonPackageSpec")
    if pool.machine_type is None:
        yield error(
            job,
            (*path, *_MACHINE_PATH),
            "is missing, e.g. machineSpec: {machineType: n2-standard-8}",
        )
        return
    machine = find_machine(pool.machine_type)
    if machine is None:
        yield _unknown_machine(job, (*path, *_MACHINE_PATH), pool.machine_type)
    elif machine.is_tpu:
        yield from _check_tpu_machine(job, path, pool, machine)
    else:
        yield from _check_gpus(job, path, pool, machine)


def _check_replicas(job: JobFile, path: Path, pool: Pool) -> Iterator[Finding]:
    path = (*path, "replicaCount")
    if pool.index == 0 and pool.replicas != 1:
        yield error(job, path, f"must be 1, as there is one chief; received {pool.replicas}")
    elif pool.replicas < 1:
        yield error(job, path, "must be 1 or more; without it the pool has no machine")


def _unknown_machine(job: JobFile, path: Path, name: str) -> Finding:
    if name.startswith("ct6e"):
        return error(
            job, path, f"TensorFlow does not run on TPU v6e ({name}); use ct5lp-hightpu-4t"
        )
    kind = name.rpartition("-")[0]
    sizes = [n.rpartition("-")[2] for n in machine_names() if n.rpartition("-")[0] == kind]
    guess = f"; {kind} has {', '.join(sizes)}" if sizes else nearest(name, machine_names())
    if has_known_family(name) or guess:
        return error(job, path, f"there is no machine type {name!r}{guess}")
    return warning(
        job, path, f"the machine type {name!r} is not known here; nothing about it was checked"
    )


def _check_gpus(job: JobFile, path: Path, pool: Pool, machine: Machine) -> Iterator[Finding]:
    """Findings about type and number of the GPUs of a machine."""
    kind, count = pool.accelerator_type, pool.accelerator_count
    if pool.tpu_topology is not None:
        yield error(job, (*path, *_TOPOLOGY_PATH), f"{machine.name} is no TPU; remove tpuTopology")
    options = "; ".join(f"{a} x {_either(c)}" for a, c in machine.accelerators.items())
    if kind is None or kind == "ACCELERATOR_TYPE_UNSPECIFIED":
        if count:
            yield error(job, (*path, *_COUNT_PATH), "needs acceleratorType beside it")
        elif machine.needs_accelerator:
            yield error(
                job, (*path, *_ACCELERATOR_PATH), f"is missing; {machine.name} comes with {options}"
            )
    elif not machine.accelerators:
        yield error(
            job,
            (*path, *_ACCELERATOR_PATH),
            f"{machine.name} takes no accelerators; use n1 for T4, g2 for L4, a2 for A100, or "
            "remove them",
        )
    elif kind not in machine.accelerators:
        yield error(
            job, (*path, *_ACCELERATOR_PATH), f"{machine.name} takes {options}; received {kind}"
        )
    elif count not in machine.accelerators[kind]:
        yield error(
            job,
            (*path, *_COUNT_PATH),
            f"must be {_either(machine.accelerators[kind])} for {kind} on {machine.name}; received "
            f"{count or 'none'}",
        )


def _check_tpu_machine(job: JobFile, path: Path, pool: Pool, machine: Machine) -> Iterator[Finding]:
    """Findings about type, cores and topology of a TPU."""
    if machine.name == CLOUD_TPU:
        if pool.tpu_topology is not None:
            yield error(
                job, (*path, *_TOPOLOGY_PATH), "cloud-tpu has none; its size is acceleratorCount"
            )
        yield from _check_cloud_tpu_cores(job, path, pool, machine)
        return
    if pool.accelerator_type is not None or pool.accelerator_count:
        yield error(
            job,
            (*path, *_ACCELERATOR_PATH),
            f"{machine.name} is a TPU by itself; remove acceleratorType and acceleratorCount and "
            "give tpuTopology",
        )
    if pool.tpu_topology not in machine.topologies:
        yield error(
            job,
            (*path, *_TOPOLOGY_PATH),
            f"must be one of {', '.join(machine.topologies)} for {machine.name}; received "
            f"{pool.tpu_topology or 'none'}",
        )


def _check_cloud_tpu_cores(
    job: JobFile, path: Path, pool: Pool, machine: Machine
) -> Iterator[Finding]:
    kind = pool.accelerator_type
    if kind is None or kind not in machine.accelerators:
        yield error(
            job,
            (*path, *_ACCELERATOR_PATH),
            f"cloud-tpu takes TPU_V2 or TPU_V3; received {kind or 'none'}",
        )
    elif pool.accelerator_count not in machine.accelerators[kind]:
        yield error(
            job,
            (*path, *_COUNT_PATH),
            f"must be {_either(machine.accelerators[kind])} cores for {kind}; received "
            f"{pool.accelerator_count or 'none'}",
        )


def _check_roles(job: JobFile, path: Path, pools: tuple[Pool, ...]) -> Iterator[Finding]:
    """Findings about pools beside each other."""
    workers = [pool for pool in pools if pool.role == "worker" and pool.replicas]
    trainers = [pool for pool in pools if pool.runs_trainer]
    for pool in pools:
        if pool.is_reduction_server:
            yield from _check_reduction(job, pool, pools, has_workers=bool(workers))
        elif pool.role == "ps" and pool.replicas and not workers:
            yield error(
                job,
                (*path, pool.index),
                "are parameter servers, but there are no workers: the second pool is empty",
            )
    for pool in trainers[1:]:
        if pool.args != trainers[0].args:
            yield warning(
                job,
                (*task_path(job, pool), "args"),
                "differ from those of the first pool; every replica must be given the same",
            )
        if pool.image != trainers[0].image:
            yield warning(
                job,
                task_path(job, pool),
                f"runs another image than the first pool: {pool.image}",
            )
    for pool in workers:
        machine = (pool.machine_type, pool.accelerator_type, pool.accelerator_count)
        chief = (pools[0].machine_type, pools[0].accelerator_type, pools[0].accelerator_count)
        if machine != chief and not any(p.role == "ps" and p.replicas for p in pools):
            yield warning(
                job,
                (*path, pool.index, "machineSpec"),
                "differs from the chief's; synchronous training goes at the pace of the slowest",
            )


def _check_reduction(
    job: JobFile, pool: Pool, pools: tuple[Pool, ...], *, has_workers: bool
) -> Iterator[Finding]:
    """The reduction server adds up the gradients of GPU workers and takes none of our flags."""
    path = (*pools_path(job), pool.index)
    if pool.index != 2:
        yield error(job, path, "is a reduction server; it belongs into the third pool")
        return
    if not has_workers:
        yield error(job, path, "is a reduction server without workers; the second pool is empty")
    elif not all("NVIDIA" in (p.accelerator_type or "") for p in pools[:2]):
        yield error(
            job,
            path,
            "is a reduction server, which works for GPUs only; chief and workers have none",
        )
    if pool.accelerator_type is not None:
        yield warning(job, (*path, *_ACCELERATOR_PATH), "the reduction server uses no accelerator")
    if pool.args or pool.command:
        yield error(
            job,
            (*task_path(job, pool), "args" if pool.args else "command"),
            "the reduction server takes none; with --args on the command line, gcloud gives them "
            "to every pool",
        )


def _check_tpu(job: JobFile, path: Path, pools: tuple[Pool, ...]) -> Iterator[Finding]:
    """Findings about the job around a TPU."""
    on_tpu = [pool for pool in pools if _machine_is_tpu(pool)]
    if not on_tpu:
        return
    index = on_tpu[0].index
    if job.kind == "tuning":
        yield error(job, (*path, index, *_MACHINE_PATH), "tuning jobs cannot use TPUs; use GPUs")
    if len([pool for pool in pools if pool.machine_type]) > 1:
        yield error(job, path, "a job on a TPU has one pool, also where the TPU has several hosts")


def _check_scarce(job: JobFile, path: Path, pools: tuple[Pool, ...]) -> Iterator[Finding]:
    """Findings about Spot and Flex-start."""
    strategy = job.job_spec.get("scheduling", {}).get("strategy")
    used = [pool for pool in pools if pool.machine_type]
    if strategy == "SPOT":
        for pool in used:
            if _is_pod(pool):
                yield error(
                    job,
                    (*job.spec_path, "scheduling", "strategy"),
                    "TPU pods cannot be had as SPOT",
                )
    if strategy != "FLEX_START":
        return
    for pool in used:
        machine = find_machine(pool.machine_type or "")
        if machine is not None and not machine.flex_start:
            yield error(
                job,
                (*path, pool.index, *_MACHINE_PATH),
                f"FLEX_START is for L4, A100, H100, H200 and B200 machines; {machine.name} is none",
            )
    machines = {(p.machine_type, p.accelerator_type, p.accelerator_count) for p in used}
    if len(machines) > 1:
        yield error(
            job, (*path, 1, "machineSpec"), "with FLEX_START all pools must have the same machine"
        )


def _is_pod(pool: Pool) -> bool:
    is_v5e_pod = pool.machine_type == "ct5lp-hightpu-4t" and pool.tpu_topology not in (None, "2x2")
    is_cloud_pod = pool.machine_type == CLOUD_TPU and pool.accelerator_count > _CLOUD_TPU_HOST_CORES
    return is_v5e_pod or is_cloud_pod


def _machine_is_tpu(pool: Pool) -> bool:
    machine = find_machine(pool.machine_type or "")
    return machine is not None and machine.is_tpu


def _either(numbers: tuple[int, ...]) -> str:
    """The numbers as a choice: `1, 2 or 4`."""
    texts = [str(number) for number in numbers]
    return " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
