import pytest
from check_jobs import CPU, NAMES, TUNING, WORKERS, find

ACCOUNT = "serviceAccount: trainer@my-project.iam.gserviceaccount.com\n"


@pytest.mark.parametrize("text", [CPU, WORKERS, TUNING])
def test_good_job_has_no_finding(tmp_path, text):
    assert find(tmp_path, text) == []


def test_every_mistake_of_a_file_is_found_once(tmp_path):
    found = find(
        tmp_path,
        CPU,
        ("machineSpec", "machine_spec"),
        ("replicaCount", "replica-count"),
        ("3600s", "1h"),
    )

    assert [line.split(": ")[0] for line in found] == [
        "error workerPoolSpecs[0].machine_spec",
        "error workerPoolSpecs[0].replica-count",
        "error scheduling.timeout",
    ]


def test_checks_go_on_inside_a_wrapped_job(tmp_path):
    wrapped = "displayName: x\njobSpec:\n" + "".join(f"  {line}\n" for line in CPU.splitlines())

    found = find(tmp_path, wrapped, ("n2-standard-8", "n2-standard-9"))

    assert len(found) == 2
    assert any("jobSpec: the file of a custom job is the spec itself" in line for line in found)
    assert any("there is no machine type 'n2-standard-9'" in line for line in found)


def test_tuning_file_needs_both_parts(tmp_path):
    found = find(tmp_path, TUNING.split("trialJobSpec")[0])

    assert any(line.startswith("error trialJobSpec: trialJobSpec is missing") for line in found)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("us-central1-a", "us-central1-a is a zone, use us-central1"),
        ("us", "such as us-central1; received 'us'"),
    ],
)
def test_region_is_no_zone_and_no_continent(tmp_path, region, message):
    found = find(tmp_path, CPU, names={**NAMES, "REGION": region, "IMAGE": "gcr.io/p/i"})

    assert len(found) == 1 and message in found[0]


def test_job_dir_stands_in_for_the_output_directory(tmp_path):
    without = ('baseOutputDirectory: {outputUriPrefix: "gs://${BUCKET}/runs/${JOB}"}\n', "")

    assert find(tmp_path, CPU, without, ("[]", '["--job_dir=gs://b/r"]')) == []
    assert len(find(tmp_path, CPU, without)) == 1


@pytest.mark.parametrize(
    ("scheduling", "messages"),
    [
        ("timeout: 0s", ["error scheduling.timeout: must be above 0"]),
        ("timeout: 60s, strategy: STANDARD", []),
        ("timeout: 60s, strategy: ON_DEMAND", ["warning scheduling.strategy: ON_DEMAND is depr"]),
        (
            "timeout: 60s, strategy: SPOT, disableRetries: true",
            ["error scheduling.disableRetries: keeps a preempted SPOT job"],
        ),
        ("timeout: 60s, disableRetries: true", []),
        ("timeout: 604801s", []),
    ],
)
def test_scheduling(tmp_path, scheduling, messages):
    found = find(tmp_path, CPU, ("timeout: 3600s", scheduling))

    assert len(found) == len(messages)
    assert all(line.startswith(message) for line, message in zip(found, messages, strict=True))


def test_flex_start_runs_seven_days_at_most(tmp_path):
    machine = "g2-standard-4, acceleratorType: NVIDIA_L4, acceleratorCount: 1"
    text = CPU.replace("n2-standard-8", machine)

    found = find(tmp_path, text, ("3600s", "604801s, strategy: FLEX_START"))

    assert len(found) == 1 and "FLEX_START runs 604800s at most" in found[0]


def test_parameter_servers_do_not_need_a_restart_of_all(tmp_path):
    servers = "- machineSpec: {machineType: n2-highmem-4}\n  replicaCount: 1\n"
    with_servers = WORKERS.replace(
        "baseOutput", f"{servers}  containerSpec: *trainer\nbaseOutput", 1
    )

    assert find(tmp_path, with_servers, (", restartJobOnWorkerRestart: true", "")) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{ACCOUNT}tensorboard: projects/1/locations/us-central1/tensorboards/2\n", None),
        ("network: projects/123/global/networks/my-vpc\n", None),
        ("network: projects/my-project/global/networks/my-vpc\n", "PROJECT_NUMBER"),
        ("persistentResourceId: my-resource-1\n", None),
        ("persistentResourceId: My Resource\n", "must be the resource's ID"),
        ("serviceAccount: a b@c.com\n", "e-mail address"),
    ],
)
def test_identities(tmp_path, line, message):
    found = find(tmp_path, CPU + line)

    assert [message in text for text in found] == ([True] if message else [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("labels: {team: a-b_1, größe: groß}", None),
        ("labels: {Team: a}", "lower-case letters"),
        ("labels: {team: a b}", "received 'a b'"),
        ("labels: {team: " + "a" * 64 + "}", "at most 63"),
        ("labels: {'1a': x}", "must begin with a letter"),
    ],
)
def test_labels_of_a_tuning_job(tmp_path, line, message):
    found = find(tmp_path, f"{line}\n{TUNING}")

    assert [message in text for text in found] == ([True] if message else [])


def test_display_name_has_its_length(tmp_path):
    found = find(tmp_path, TUNING, ("${JOB}", "x" * 129))

    assert len(found) == 1 and "1 to 128 characters; it has 129" in found[0]
