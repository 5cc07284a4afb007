import re

import pytest
from check_jobs import CPU, TUNING, WORKERS, find

L4 = "g2-standard-12, acceleratorType: NVIDIA_L4, acceleratorCount: 1"
REDUCTION = "us-docker.pkg.dev/vertex-ai-restricted/training/reductionserver:latest"


def with_pool(text, pool):
    return text.replace("baseOutput", f"- {pool}\nbaseOutput", 1)


@pytest.mark.parametrize(
    "machine",
    [
        L4,
        "n1-standard-8, acceleratorType: NVIDIA_TESLA_V100, acceleratorCount: 8",
        "a2-highgpu-4g, acceleratorType: NVIDIA_TESLA_A100, acceleratorCount: 4",
        "cloud-tpu, acceleratorType: TPU_V2, acceleratorCount: 8",
        "ct5lp-hightpu-1t, tpuTopology: 1x1",
        "ct5lp-hightpu-4t, tpuTopology: 16x16",
        "n1-highmem-2",
    ],
)
def test_valid_machines_have_no_finding(tmp_path, machine):
    assert find(tmp_path, CPU, ("n2-standard-8", machine)) == []


def test_unknown_family_is_only_a_warning(tmp_path):
    found = find(tmp_path, CPU, ("n2-standard-8", "z9-gigamem-7"))

    assert len(found) == 1
    assert found[0].startswith("warning workerPoolSpecs[0].machineSpec.machineType: the machine")


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ("n2-standard-8, tpuTopology: 2x2", "n2-standard-8 is no TPU; remove tpuTopology"),
        ("cloud-tpu, acceleratorType: NVIDIA_L4, acceleratorCount: 1", "takes TPU_V2 or TPU_V3"),
        ("cloud-tpu", "takes TPU_V2 or TPU_V3; received none"),
        ("ct5lp-hightpu-8t, tpuTopology: 2x2", "must be one of 2x4 for ct5lp-hightpu-8t"),
        (
            "cloud-tpu, acceleratorType: TPU_V3, acceleratorCount: 8, tpuTopology: 2x2",
            "cloud-tpu has none; its size is acceleratorCount",
        ),
        (
            "n1-standard-32, acceleratorType: NVIDIA_TESLA_V100, acceleratorCount: 2",
            "must be 4 or 8 for NVIDIA_TESLA_V100 on n1-standard-32; received 2",
        ),
        ("n1-standard-8, acceleratorType: NVIDIA_TESLA_T4", "must be 1, 2 or 4 .*received none"),
    ],
)
def test_machines_that_do_not_exist(tmp_path, machine, message):
    found = find(tmp_path, CPU, ("n2-standard-8", machine))

    assert len(found) == 1 and re.search(message, found[0])


def test_job_without_pools(tmp_path):
    found = find(tmp_path, "scheduling: {timeout: 60s}\nworkerPoolSpecs: []\n")

    assert found == ["error workerPoolSpecs: is missing; a job has at least one pool, the chief's"]


def test_fifth_pool(tmp_path):
    pool = "machineSpec: {machineType: n2-standard-8}\n  replicaCount: 1\n  containerSpec: *trainer"
    text = WORKERS
    for _ in range(3):
        text = with_pool(text, pool)

    found = find(tmp_path, text)

    assert [line for line in found if "is one pool too many" in line] == found


def test_empty_first_pool(tmp_path):
    text = "workerPoolSpecs: [{}]\nscheduling: {timeout: 60s}\n"

    found = find(tmp_path, text)

    assert found[0].startswith("error workerPoolSpecs[0]: is the chief's pool")


def test_empty_later_pool_is_the_services_own_way_in_a_tuning_job(tmp_path):
    pool = "machineSpec: {machineType: n2-standard-4}\n    replicaCount: 1\n"
    image = "    containerSpec: {imageUri: '${IMAGE}:cpu', args: []}\n"
    text = TUNING.replace("  baseOutput", f"  - {{}}\n  - {{}}\n  - {pool}{image}  baseOutput", 1)

    assert find(tmp_path, text) == []


def test_servers_need_workers(tmp_path):
    pool = "machineSpec: {machineType: n2-standard-4}\n    replicaCount: 1\n"
    image = "    containerSpec: {imageUri: '${IMAGE}:cpu', args: []}\n"
    text = TUNING.replace("  baseOutput", f"  - {{}}\n  - {pool}{image}  baseOutput", 1)

    found = find(tmp_path, text)

    assert len(found) == 1 and "are parameter servers, but there are no workers" in found[0]


def test_pool_that_runs_nothing(tmp_path):
    pool = "machineSpec: {machineType: n2-standard-8}\n  replicaCount: 1"

    found = find(tmp_path, with_pool(CPU, pool), ("3600s", "60s, restartJobOnWorkerRestart: true"))

    assert len(found) == 1 and found[0].startswith("error workerPoolSpecs[1]: runs nothing")


def test_reduction_server_of_gpu_workers(tmp_path):
    text = with_pool(
        WORKERS.replace("n2-standard-8", L4),
        "machineSpec: {machineType: n1-highcpu-16}\n  replicaCount: 2\n"
        f"  containerSpec: {{imageUri: '{REDUCTION}'}}",
    )

    assert find(tmp_path, text) == []


def test_unequal_machines_of_synchronous_workers(tmp_path):
    found = find(tmp_path, WORKERS, ("n2-standard-8", "n2-standard-16"))

    assert len(found) == 1
    assert found[0].startswith("warning workerPoolSpecs[1].machineSpec: differs from the chief's")


def test_other_image_of_a_worker(tmp_path):
    found = find(
        tmp_path,
        WORKERS,
        (
            "containerSpec: *trainer",
            "containerSpec: {imageUri: '${IMAGE}:gpu', args: ['--batch_size=300']}",
        ),
    )

    assert len(found) == 1 and "runs another image than the first pool" in found[0]


def test_flex_start_needs_equal_machines(tmp_path):
    text = WORKERS.replace("n2-standard-8", L4).replace(
        L4, "g2-standard-24, acceleratorType: NVIDIA_L4, acceleratorCount: 2", 1
    )

    found = find(tmp_path, text, ("3600s", "3600s, strategy: FLEX_START"))

    assert any("with FLEX_START all pools must have the same machine" in line for line in found)
