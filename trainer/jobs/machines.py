"""The machine types of Vertex AI training: vCPUs, memory, and which accelerators fit.

Sizes follow from the name where the family has a rule (n2-standard-16: 16 vCPUs of 4 GB). A family
that is not here is unknown, not wrong: Google adds some every year.
Sources: Vertex AI, "Configure compute resources for custom training"; Compute Engine, "Machine
families", "GPU machine types" and "GPUs on N1" (2026).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Machine:
    """One machine type.

    Attributes:
        name: e.g. n2-standard-16.
        vcpus: virtual CPUs.
        memory_gb: of main memory; None where it is not published.
        accelerators: type -> the counts that may be attached to it.
        needs_accelerator: whether the type cannot be had without one.
        topologies: valid tpuTopology; () for a machine without one.
        flex_start: whether it can be had with FLEX_START.
    """

    name: str
    vcpus: int
    memory_gb: float | None
    accelerators: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    needs_accelerator: bool = False
    topologies: tuple[str, ...] = ()
    flex_start: bool = False

    @property
    def is_tpu(self) -> bool:
        """Whether its accelerators are TPUs."""
        return bool(self.topologies) or self.name == CLOUD_TPU


CLOUD_TPU = "cloud-tpu"

# family and kind -> (GB of memory per vCPU, sizes in vCPUs). The N1 machines take GPUs.
_CPU_FAMILIES: dict[str, tuple[float, tuple[int, ...]]] = {
    "n1-standard": (3.75, (4, 8, 16, 32, 64, 96)),
    "n1-highmem": (6.5, (2, 4, 8, 16, 32, 64, 96)),
    "n1-highcpu": (0.9, (16, 32, 64, 96)),
    "n2-standard": (4, (4, 8, 16, 32, 48, 64, 80)),
    "n2-highmem": (8, (2, 4, 8, 16, 32, 48, 64, 80)),
    "n2-highcpu": (1, (16, 32, 48, 64, 80)),
    "n2d-standard": (4, (2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224)),
    "n2d-highmem": (8, (2, 4, 8, 16, 32, 48, 64, 80, 96)),
    "n2d-highcpu": (1, (2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224)),
    "n4-standard": (4, (2, 4, 8, 16, 32, 48, 64, 80)),
    "n4-highmem": (8, (2, 4, 8, 16, 32, 48, 64, 80)),
    "n4-highcpu": (2, (2, 4, 8, 16, 32, 48, 64, 80)),
    "e2-standard": (4, (4, 8, 16, 32)),
    "e2-highmem": (8, (2, 4, 8, 16)),
    "e2-highcpu": (1, (16, 32)),
    "c2-standard": (4, (4, 8, 16, 30, 60)),
    "m1-ultramem": (24.025, (40, 80, 160)),
    "m1-megamem": (14.933, (96,)),
}
# GPU of an N1 machine -> (count, most vCPUs for which it is enough).
_N1_GPUS: dict[str, tuple[tuple[int, int], ...]] = {
    "NVIDIA_TESLA_T4": ((1, 24), (2, 48), (4, 96)),
    "NVIDIA_TESLA_P4": ((1, 24), (2, 48), (4, 96)),
    "NVIDIA_TESLA_P100": ((1, 16), (2, 32), (4, 64)),
    "NVIDIA_TESLA_V100": ((1, 12), (2, 24), (4, 48), (8, 96)),
}
# Machines with built-in GPUs: name -> (vCPUs, GB of memory, type, count).
_GPU_MACHINES: dict[str, tuple[int, float, str, int]] = {
    **{
        f"g2-standard-{vcpus}": (vcpus, 4 * vcpus, "NVIDIA_L4", count)
        for vcpus, count in ((4, 1), (8, 1), (12, 1), (16, 1), (24, 2), (32, 1), (48, 4), (96, 8))
    },
    **{
        f"g4-standard-{48 * count}": (48 * count, 180 * count, "NVIDIA_RTX_PRO_6000", count)
        for count in (1, 2, 4, 8)
    },
    **{
        f"a2-highgpu-{count}g": (12 * count, 85 * count, "NVIDIA_TESLA_A100", count)
        for count in (1, 2, 4, 8)
    },
    "a2-megagpu-16g": (96, 1360, "NVIDIA_TESLA_A100", 16),
    **{
        f"a2-ultragpu-{count}g": (12 * count, 170 * count, "NVIDIA_A100_80GB", count)
        for count in (1, 2, 4, 8)
    },
    **{
        f"a3-highgpu-{count}g": (26 * count, 234 * count, "NVIDIA_H100_80GB", count)
        for count in (1, 2, 4, 8)
    },
    "a3-edgegpu-8g": (208, 1872, "NVIDIA_H100_80GB", 8),
    "a3-megagpu-8g": (208, 1872, "NVIDIA_H100_MEGA_80GB", 8),
    "a3-ultragpu-8g": (224, 2952, "NVIDIA_H200_141GB", 8),
    "a4-highgpu-8g": (224, 3968, "NVIDIA_B200", 8),
    "a4x-highgpu-4g": (140, 884, "NVIDIA_GB200", 4),
}
# TPU v5e: chips of a host -> (vCPUs, GB of memory, topologies).
_V5E_TOPOLOGIES = ("2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_V5E = {
    "ct5lp-hightpu-1t": (24, 48, ("1x1",)),
    "ct5lp-hightpu-4t": (112, 192, _V5E_TOPOLOGIES),
    "ct5lp-hightpu-8t": (224, 384, ("2x4",)),
}
# Cores of a TPU v2 or v3: one host has 8, the rest are pods.
_CLOUD_TPU_CORES = {
    "TPU_V2": (8, 32, 128, 256, 512),
    "TPU_V3": (8, 32, 64, 128, 256, 512, 1024, 2048),
}
# Source: Vertex AI, "Schedule training jobs based on resource availability".
_FLEX_START_GPUS = (
    "NVIDIA_L4",
    "NVIDIA_TESLA_A100",
    "NVIDIA_A100_80GB",
    "NVIDIA_H100_80GB",
    "NVIDIA_H100_MEGA_80GB",
    "NVIDIA_H200_141GB",
    "NVIDIA_B200",
)


def find_machine(name: str) -> Machine | None:
    """The machine of that name; None where there is none in the families known here.

    >>> machine = find_machine("n2-standard-16")
    >>> machine.vcpus, machine.memory_gb
    (16, 64)
    """
    return _MACHINES.get(name)


def machine_names() -> tuple[str, ...]:
    """All known names, for suggestions."""
    return tuple(_MACHINES)


def has_known_family(name: str) -> bool:
    """Whether other machines of the name's family are known, so that this size does not exist.

    >>> has_known_family("n2-standard-5"), has_known_family("z9-standard-4")
    (True, False)
    """
    family = name.split("-")[0]
    return any(known.split("-")[0] == family for known in _MACHINES)


def _cpu_machines() -> Iterator[Machine]:
    for kind, (gb_per_vcpu, sizes) in _CPU_FAMILIES.items():
        for vcpus in sizes:
            memory_gb = round(vcpus * gb_per_vcpu, 1)
            gpus = _n1_gpus(kind, vcpus) if kind.startswith("n1-") else {}
            yield Machine(f"{kind}-{vcpus}", vcpus, memory_gb, gpus)


def _n1_gpus(kind: str, vcpus: int) -> dict[str, tuple[int, ...]]:
    """A GPU serves a bounded number of vCPUs, and P100s no more than 208 GB of memory."""
    counts = {
        gpu: tuple(count for count, most in steps if vcpus <= most)
        for gpu, steps in _N1_GPUS.items()
    }
    if vcpus == 64 and kind != "n1-highcpu":
        counts["NVIDIA_TESLA_P100"] = ()
    return {gpu: found for gpu, found in counts.items() if found}


def _accelerator_machines() -> Iterator[Machine]:
    for name, (vcpus, memory_gb, gpu, count) in _GPU_MACHINES.items():
        yield Machine(
            name,
            vcpus,
            memory_gb,
            {gpu: (count,)},
            needs_accelerator=True,
            flex_start=gpu in _FLEX_START_GPUS,
        )
    for name, (vcpus, memory_gb, topologies) in _V5E.items():
        yield Machine(name, vcpus, memory_gb, topologies=topologies)
    yield Machine(CLOUD_TPU, 96, None, _CLOUD_TPU_CORES, needs_accelerator=True)


_MACHINES = {machine.name: machine for machine in (*_cpu_machines(), *_accelerator_machines())}
