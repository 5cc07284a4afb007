import pytest

from trainer.jobs.machines import find_machine, has_known_family, machine_names


@pytest.mark.parametrize(
    ("name", "vcpus", "memory_gb"),
    [  # as published, not derived
        ("n1-standard-4", 4, 15),
        ("n1-standard-96", 96, 360),
        ("n1-highmem-16", 16, 104),
        ("n1-highcpu-16", 16, 14.4),
        ("n2-standard-16", 16, 64),
        ("n2-highmem-80", 80, 640),
        ("n2d-standard-224", 224, 896),
        ("e2-highcpu-32", 32, 32),
        ("c2-standard-60", 60, 240),
        ("m1-ultramem-40", 40, 961),
        ("m1-ultramem-160", 160, 3844),
        ("m1-megamem-96", 96, 1433.6),
        ("g2-standard-12", 12, 48),
        ("a2-highgpu-8g", 96, 680),
        ("a2-ultragpu-8g", 96, 1360),
        ("a3-highgpu-8g", 208, 1872),
        ("ct5lp-hightpu-4t", 112, 192),
    ],
)
def test_size_is_the_published_one(name, vcpus, memory_gb):
    machine = find_machine(name)

    assert (machine.vcpus, machine.memory_gb) == (vcpus, pytest.approx(memory_gb, rel=1e-4))


@pytest.mark.parametrize(
    ("name", "gpu", "counts"),
    [  # rows of the table in "Configure compute resources for custom training"
        ("n1-standard-4", "NVIDIA_TESLA_T4", (1, 2, 4)),
        ("n1-standard-32", "NVIDIA_TESLA_T4", (2, 4)),
        ("n1-standard-64", "NVIDIA_TESLA_T4", (4,)),
        ("n1-standard-8", "NVIDIA_TESLA_V100", (1, 2, 4, 8)),
        ("n1-standard-16", "NVIDIA_TESLA_V100", (2, 4, 8)),
        ("n1-standard-32", "NVIDIA_TESLA_V100", (4, 8)),
        ("n1-standard-96", "NVIDIA_TESLA_V100", (8,)),
        ("n1-highcpu-64", "NVIDIA_TESLA_P100", (4,)),
        ("n1-standard-64", "NVIDIA_TESLA_P100", None),
        ("n1-standard-96", "NVIDIA_TESLA_P100", None),
        ("g2-standard-24", "NVIDIA_L4", (2,)),
        ("g2-standard-32", "NVIDIA_L4", (1,)),
        ("a2-highgpu-4g", "NVIDIA_TESLA_A100", (4,)),
        ("a2-highgpu-4g", "NVIDIA_L4", None),
        ("n2-standard-8", "NVIDIA_TESLA_T4", None),
        ("cloud-tpu", "TPU_V3", (8, 32, 64, 128, 256, 512, 1024, 2048)),
    ],
)
def test_gpu_counts_are_those_of_the_table(name, gpu, counts):
    assert find_machine(name).accelerators.get(gpu) == counts


def test_tpus_are_known_by_topology_or_name():
    assert {name for name in machine_names() if find_machine(name).is_tpu} == {
        "cloud-tpu",
        "ct5lp-hightpu-1t",
        "ct5lp-hightpu-4t",
        "ct5lp-hightpu-8t",
    }
    assert find_machine("ct5lp-hightpu-8t").topologies == ("2x4",)


def test_flex_start_is_for_newer_gpus_only():
    assert find_machine("g2-standard-12").flex_start
    assert not find_machine("n1-standard-8").flex_start


def test_unknown_size_of_a_known_family_is_told_from_an_unknown_family():
    assert find_machine("n2-standard-5") is None and has_known_family("n2-standard-5")
    assert find_machine("z9-standard-4") is None and not has_known_family("z9-standard-4")
    assert find_machine("") is None and not has_known_family("")
