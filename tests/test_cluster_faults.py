"""What a cluster does to a job: processes that die, stop, never come, or come back elsewhere."""

import shutil
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
import runs
import tensorflow as tf
from clusters import Cluster
from shop_table import write_shop_table

FLAGS = ("--config=config.yaml", "--steps=8192", "--eval_steps=512", "--checkpoint_steps=512")
# Too long to end by itself within a test.
ENDLESS = ("--config=config.yaml", "--steps=10000000", "--eval_steps=4096")
# Within which a process that is left must have ended by itself.
LEFT_SECONDS = 30
CHIEF, WORKER, SERVER = ("chief", 0), ("worker", 0), ("ps", 0)
GONE = "interrupted: another process of the cluster is gone"


@pytest.fixture
def job(tmp_path):
    return write_shop_table(tmp_path)


def final_variables(job):
    """Every variable of the newest checkpoint, by name."""
    folder = max((job / "run" / "checkpoints").iterdir())
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def history(job):
    return [{**r, "seconds": 0} for r in runs.read_metrics(job / "run")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run of a chief and a worker that nothing happens to."""
    job = write_shop_table(tmp_path_factory.mktemp("whole"))
    with Cluster(job, *FLAGS, worker=1) as cluster:
        assert cluster.codes() == {CHIEF: 0, WORKER: 0}, cluster.log("chief")
    return job


def assert_goes_on_to_the_same_end(job, whole, **variables):
    """Both processes start again, and end with the bits of the run that nothing happened to."""
    with Cluster(job, *FLAGS, worker=1, variables=variables) as cluster:
        assert cluster.codes() == {CHIEF: 0, WORKER: 0}, cluster.log("chief")
    assert "resuming at step" in cluster.log("chief")
    ours, theirs = final_variables(job), final_variables(whole)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
    assert history(job) == history(whole)


@pytest.mark.parametrize("victim", [WORKER, CHIEF], ids=["worker", "chief"])
@pytest.mark.faults(
    "kill -9 of one of two", "the other: 75 within 30 s; both restarted: the same bits"
)
def test_killed_process(victim, job, whole):
    with Cluster(job, *FLAGS, worker=1) as cluster:
        cluster.wait_for("step    1024")
        cluster.send(signal.SIGKILL, victim)
        codes = cluster.codes(timeout=LEFT_SECONDS)
    (other,) = {CHIEF, WORKER} - {victim}
    assert codes == {victim: -signal.SIGKILL, other: 75}
    assert cluster.last_line(*other).startswith(GONE)
    assert_goes_on_to_the_same_end(job, whole)


@pytest.mark.parametrize("victim", [WORKER, CHIEF], ids=["worker", "chief"])
@pytest.mark.faults("only one comes back", "75 within 30 s of its start; says who is missing")
def test_only_one_restarted(victim, job):
    (other,) = {CHIEF, WORKER} - {victim}
    with Cluster(job, *ENDLESS, "--peer_timeout_seconds=15", worker=1) as cluster:
        cluster.wait_for("step    4096")
        cluster.send(signal.SIGKILL, victim)
        assert cluster.codes(timeout=LEFT_SECONDS)[other] == 75
        cluster.start(*victim)
        assert cluster.codes(timeout=LEFT_SECONDS)[victim] == 75
    assert cluster.last_line(*victim).startswith(
        f"interrupted: no answer from {other[0]} 0 (localhost:"
    )


@pytest.mark.parametrize("victim", [WORKER, CHIEF], ids=["worker", "chief"])
@pytest.mark.faults("killed and back at once", "both end by themselves, none waits for ever")
def test_one_comes_back_before_the_other_has_noticed(victim, job):
    with Cluster(job, *ENDLESS, "--peer_timeout_seconds=10", worker=1) as cluster:
        cluster.wait_for("step    4096")
        cluster.send(signal.SIGSTOP, *({CHIEF, WORKER} - {victim}))
        cluster.send(signal.SIGKILL, victim)
        cluster.processes[victim].wait()
        cluster.start(*victim)
        time.sleep(1)
        cluster.send(signal.SIGCONT, *({CHIEF, WORKER} - {victim}))
        codes = cluster.codes()
    # SIGABRT: the other answered and was gone, and TensorFlow hears nothing meanwhile.
    assert set(codes.values()) <= {75, -signal.SIGABRT}


@pytest.mark.faults("a process never starts", "the others: 75 after the patience; names it")
def test_process_that_never_starts(job):
    flags = (*FLAGS, "--peer_timeout_seconds=5")
    with Cluster(job, *flags, worker=2, absent=[("worker", 1)]) as cluster:
        assert set(cluster.codes().values()) == {75}
    for task in (CHIEF, WORKER):
        assert "no answer from worker 1 (localhost:" in cluster.last_line(*task)


@pytest.mark.parametrize("victim", [WORKER, CHIEF], ids=["worker", "chief"])
@pytest.mark.faults("SIGSTOP of one for 60 s", "the other: 75 within 30 s; the stopped one: 75")
def test_stopped_process(victim, job, whole):
    (other,) = {CHIEF, WORKER} - {victim}
    with Cluster(job, *FLAGS, worker=1) as cluster:
        cluster.wait_for("step    1024")
        cluster.send(signal.SIGSTOP, victim)
        stopped = time.monotonic()
        assert cluster.processes[other].wait(LEFT_SECONDS) == 75, cluster.log(*other)
        time.sleep(max(0, 60 - (time.monotonic() - stopped)))
        cluster.send(signal.SIGCONT, victim)
        assert cluster.processes[victim].wait(LEFT_SECONDS) == 75, cluster.log(*victim)
    for task in (CHIEF, WORKER):
        assert cluster.last_line(*task).startswith(GONE)
    assert_goes_on_to_the_same_end(job, whole)


@pytest.mark.faults("the chief's disk lost", "goes on from the shared folder; the same bits")
def test_chief_on_a_new_machine(job, whole):
    old, new = job / "old_disk", job / "new_disk"
    old.mkdir()
    new.mkdir()

    def disk(folder):
        return {CHIEF: {"TMPDIR": str(folder), "HOME": str(folder)}}

    with Cluster(job, *FLAGS, "--storage=disk", worker=1, variables=disk(old)) as cluster:
        cluster.wait_for("step    1024")
        cluster.send(signal.SIGKILL)
        cluster.codes()
    shutil.rmtree(old)
    with Cluster(job, *FLAGS, "--storage=disk", worker=1, variables=disk(new)) as cluster:
        assert cluster.codes() == {CHIEF: 0, WORKER: 0}, cluster.log("chief")
    assert "resuming at step" in cluster.log("chief")
    for name, value in final_variables(whole).items():
        np.testing.assert_array_equal(final_variables(job)[name], value, err_msg=name)


@pytest.mark.faults("SIGTERM to all", "checkpoint and 75 within 10 s; the same bits")
def test_terminated_job(job, whole):
    with Cluster(job, *FLAGS, worker=1) as cluster:
        cluster.wait_for("step    1024")
        cluster.send(signal.SIGTERM)
        assert cluster.codes(timeout=10) == {CHIEF: 75, WORKER: 75}
    for task in (CHIEF, WORKER):
        assert "at step" in cluster.last_line(*task)
        assert "a checkpoint is saved" in cluster.last_line(*task)
    assert_goes_on_to_the_same_end(job, whole)


@pytest.mark.faults("SIGTERM to all, with parameter servers", "checkpoint and 75 within 10 s")
def test_terminated_asynchronous_job(job):
    with Cluster(job, *ENDLESS, worker=1, ps=1, evaluator=True) as cluster:
        cluster.wait_for("step    4096")
        cluster.send(signal.SIGTERM)
        assert set(cluster.codes(timeout=10).values()) == {75}
    assert "a checkpoint is saved" in cluster.log("chief")


@pytest.mark.faults("SIGTERM before all have come", "75 at once")
def test_terminated_while_waiting(job):
    with Cluster(job, *FLAGS, worker=1, absent=[WORKER]) as cluster:
        cluster.wait_for("waiting for worker 0")
        cluster.send(signal.SIGTERM)
        assert cluster.codes(timeout=10) == {CHIEF: 75}
    assert cluster.last_line(*CHIEF) == "interrupted: SIGTERM; start again to go on"


@pytest.mark.faults("a worker with an old copy of the data", "all: 2 and one sentence")
def test_data_that_differ_between_the_processes(job):
    stale = job / "stale"
    stale.mkdir()
    write_shop_table(stale)
    rows = (stale / "train.csv").read_text().replace("c1,", "c2,")
    (stale / "train.csv").write_text(rows)
    elsewhere = ["sh", "-c", f'cd {stale} && exec "$@"', "sh"]
    with Cluster(job, *FLAGS, worker=1, prefixes={WORKER: elsewhere}) as cluster:
        assert cluster.codes() == {CHIEF: 2, WORKER: 2}, cluster.log("chief")
    for task in (CHIEF, WORKER):
        assert "error: the config or a data file differs between the processes" in cluster.log(
            *task
        )


@pytest.mark.faults("a port in use", "2 and one sentence; the other: 75")
def test_port_in_use(job):
    with Cluster(job, *FLAGS, "--peer_timeout_seconds=5", worker=1, absent=[CHIEF]) as cluster:
        port = int(cluster.addresses["chief"][0].rpartition(":")[2])
        with socket.create_server(("", port)):
            cluster.start(*CHIEF)
            assert cluster.processes[CHIEF].wait(180) == 2
        assert cluster.last_line(*CHIEF).startswith(
            f"error: cannot listen on localhost:{port}, the address of chief 0: the port is in use"
        )
        cluster.send(signal.SIGTERM)
        cluster.codes()


SHIFTED_CLOCK = """
import time
_time = time.time
time.time = lambda: _time() + {seconds}
"""


@pytest.mark.faults("clocks a day apart", "no difference: the same bits")
def test_clocks_apart(job, whole):
    variables = {}
    for task, seconds in ((CHIEF, 86_400), (WORKER, -86_400)):
        folder = job / f"clock-{task[0]}"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SHIFTED_CLOCK.format(seconds=seconds))
        variables[task] = {"PYTHONPATH": f"{folder}:{runs.ROOT}"}
    with Cluster(job, *FLAGS, worker=1, variables=variables) as cluster:
        cluster.wait_for("step    1024")
        cluster.send(signal.SIGTERM)
        cluster.codes()
    with Cluster(job, *FLAGS, worker=1, variables=variables) as cluster:
        assert cluster.codes() == {CHIEF: 0, WORKER: 0}, cluster.log("chief")
    for name, value in final_variables(whole).items():
        np.testing.assert_array_equal(final_variables(job)[name], value, err_msg=name)


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs `unshare -rm`, to give a process a disk of its own",
)
@pytest.mark.faults("a parameter server on a disk of its own", "checkpoints and model on the chief")
def test_server_with_its_own_disk(job):
    disk = job / "disk"
    disk.mkdir()
    hidden = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs none {disk} && exec "$@"', "sh"]
    flags = ("--config=config.yaml", "--steps=512")
    with Cluster(
        job,
        *flags,
        worker=1,
        ps=1,
        variables={CHIEF: {"TMPDIR": str(disk)}},
        prefixes={SERVER: hidden},
    ) as cluster:
        assert cluster.processes[CHIEF].wait(300) == 0, cluster.log("chief")
        assert set(cluster.codes().values()) == {0}
    assert len(final_variables(job)) > 10


@pytest.mark.parametrize("victim", [SERVER, WORKER, CHIEF], ids=["ps", "worker", "chief"])
@pytest.mark.faults(
    "kill -9 with parameter servers", "chief: goes on or 75; servers end when it stays away"
)
def test_killed_process_of_an_asynchronous_job(victim, job):
    with Cluster(job, *ENDLESS, "--peer_timeout_seconds=10", worker=2, ps=1) as cluster:
        cluster.wait_for("step    4096")
        cluster.send(signal.SIGKILL, victim)
        if victim == WORKER:
            # The steps of the lost one are given to the other.
            cluster.wait_for("step   16384")
            cluster.send(signal.SIGTERM, CHIEF)
        codes = cluster.codes()
    expected = dict.fromkeys(codes, 75) | {victim: -signal.SIGKILL}
    assert codes == expected, cluster.log("chief")
    if victim != CHIEF:
        assert "the chief (localhost:" in cluster.last_line("worker", 1)
    with Cluster(job, *ENDLESS, worker=2, ps=1) as cluster:
        cluster.wait_for("resuming at step")
