"""trainer.jobs.supervision: what follows from each exit code, with processes that follow a script.

Real processes are in test_cluster_run.
"""

import pytest

from trainer.errors import UserError
from trainer.jobs import supervision
from trainer.jobs.job_file import read_job_file
from trainer.jobs.replicas import Replica
from trainer.jobs.supervision import (
    Scheduling,
    Supervisor,
    describe_exit,
    read_scheduling,
)

CHIEF = Replica("chief-0", "chief", 0, 0)
WORKER = Replica("worker-0", "worker", 1, 0)
RUNS_ON = "runs on"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(supervision, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(supervision, "_SETTLE_SECONDS", 0.0)


class Scripted:
    """A process that ends with `life` when looked at, or runs until it is ended."""

    pid = 1
    last_error = "error: the cause"

    def __init__(self, life):
        self.life = life

    def poll(self):
        return None if self.life == RUNS_ON else self.life

    def terminate(self):
        if self.life == RUNS_ON:
            self.life = 143

    kill = terminate


class Job:
    """A chief and a worker; each start takes the next of its lives, or the last one again."""

    def __init__(self, chief, worker, **scheduling):
        self.lives = {"chief-0": chief, "worker-0": worker}
        self.starts = []
        self.notes = []
        self.processes = []
        supervisor = Supervisor(
            [CHIEF, WORKER],
            self.start,
            Scheduling(**scheduling),
            note=self.notes.append,
            grace_seconds=0.0,
        )
        self.outcome = supervisor.run()
        # Whatever happened, nothing runs.
        assert None not in [process.poll() for process in self.processes]

    def start(self, replica):
        lives = self.lives[replica.name]
        index = min(self.starts.count(replica.name), len(lives) - 1)
        self.starts.append(replica.name)
        self.processes.append(Scripted(lives[index]))
        return self.processes[-1]

    def counts(self):
        return self.starts.count("chief-0"), self.starts.count("worker-0")


def test_the_job_is_done_when_the_chief_is():
    job = Job([0], [RUNS_ON])
    assert (job.outcome.state, job.outcome.exit_code) == ("succeeded", 0)
    assert job.outcome.exit_codes == {"chief-0": 0, "worker-0": None}
    assert job.counts() == (1, 1)


def test_a_chief_that_is_done_outweighs_a_worker_that_failed():
    assert Job([0], [2]).outcome.state == "succeeded"


@pytest.mark.parametrize("code", [1, 2, 3, 124, 255])
def test_other_codes_are_permanent(code):
    job = Job([RUNS_ON], [code])
    assert (job.outcome.state, job.outcome.exit_code) == ("failed", code)
    assert job.outcome.cause == f"worker-0 {describe_exit(code)}: error: the cause"
    assert job.counts() == (1, 1)


def test_the_chief_is_named_where_all_failed():
    job = Job([2], [1])
    assert (job.outcome.exit_code, job.outcome.cause[:7]) == (2, "chief-0")


def test_a_permanent_failure_outweighs_what_it_led_to():
    job = Job([134], [2])
    assert (job.outcome.state, job.outcome.exit_code) == ("failed", 2)
    assert job.outcome.job_retries == 0


@pytest.mark.parametrize("code", [134, 139])
def test_passing_faults_start_the_whole_job_again(code):
    job = Job([RUNS_ON, 0], [code])
    assert job.outcome.state == "succeeded"
    assert job.outcome.job_retries == 1
    assert job.counts() == (2, 2)
    assert job.notes == [
        f"worker-0 {describe_exit(code)}; the job starts again (retry 1 of 3)",
    ]


def test_the_whole_job_starts_four_times_at_most():
    job = Job([RUNS_ON], [134])
    assert (job.outcome.state, job.outcome.exit_code) == ("failed", 134)
    assert job.counts() == (4, 4)
    assert job.outcome.cause.endswith("the job was started 4 times")


@pytest.mark.parametrize("code", [137, 143, 75])
def test_a_lost_worker_is_started_again_alone(code):
    # The chief is done only after the worker came back: its process is looked at first.
    chief = iter([None] * 4 + [0] * 99)

    class Chief(Scripted):
        def poll(self):
            return next(chief)

    lives = iter([Scripted(code), Scripted(RUNS_ON)])
    started = []

    def start(replica):
        started.append(replica.name)
        return Chief(None) if replica is CHIEF else next(lives)

    notes = []
    supervisor = Supervisor(
        [CHIEF, WORKER], start, Scheduling(), note=notes.append, grace_seconds=0.0
    )
    outcome = supervisor.run()
    assert outcome.state == "succeeded"
    assert outcome.worker_restarts == {"worker-0": 1}
    assert outcome.job_retries == 0
    assert started == ["chief-0", "worker-0", "worker-0"]
    assert notes == [f"worker-0 {describe_exit(code)}; it starts again (restart 1 of 5)"]


def test_a_worker_lost_too_often_starts_the_job_again_and_at_last_fails_it():
    job = Job([RUNS_ON], [137])
    assert (job.outcome.state, job.outcome.exit_code) == ("failed", 137)
    # In each of 4 tries the worker is started once and then 5 times again.
    assert job.counts() == (4, 24)
    assert job.outcome.worker_restarts == {"worker-0": 20}
    assert job.outcome.job_retries == 3


def test_restart_job_on_worker_restart_starts_all():
    job = Job([RUNS_ON, 0], [137, RUNS_ON], restart_job_on_worker_restart=True)
    assert job.outcome.state == "succeeded"
    assert job.counts() == (2, 2)
    assert job.outcome.worker_restarts == {"worker-0": 1}
    assert job.outcome.job_retries == 0
    assert job.notes == [
        "worker-0 was killed by SIGKILL; all replicas start again (restart 1 of 5)"
    ]


def test_disable_retries_allows_no_other_start_of_the_job():
    job = Job([RUNS_ON], [134], disable_retries=True)
    assert (job.outcome.exit_code, job.counts()) == (134, (1, 1))
    assert job.outcome.cause.endswith("scheduling.disableRetries allows no other try")


def test_the_timeout_ends_the_job():
    job = Job([RUNS_ON], [RUNS_ON], timeout_seconds=0.0)
    assert (job.outcome.state, job.outcome.exit_code) == ("timed_out", 124)
    assert "timeout of 0 s" in job.outcome.cause
    assert job.outcome.exit_codes == {"chief-0": None, "worker-0": None}


@pytest.mark.parametrize("code", [134, 137])
def test_the_timeout_bounds_restarts_too(code):
    assert Job([RUNS_ON], [code], timeout_seconds=0.0).outcome.state == "timed_out"


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError("no")])
def test_an_exception_leaves_nothing_running(error):
    processes = []

    def start(replica):
        if replica is WORKER:
            raise error
        processes.append(Scripted(RUNS_ON))
        return processes[-1]

    supervisor = Supervisor([CHIEF, WORKER], start, Scheduling(), note=print, grace_seconds=0.0)
    with pytest.raises(error if isinstance(error, type) else UserError):
        supervisor.run()
    assert [process.poll() for process in processes] == [143]


def test_exits_are_described():
    assert describe_exit(75) == "exited with 75 (interrupted)"
    assert describe_exit(134) == "was killed by SIGABRT"
    assert describe_exit(255) == "exited with 255"
    assert describe_exit(7) == "exited with 7"


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("", Scheduling(604800.0, False, False)),
        ("scheduling: {timeout: 7200s}", Scheduling(7200.0, False, False)),
        ("scheduling: {timeout: 1.5s}", Scheduling(1.5, False, False)),
        ("scheduling: {restartJobOnWorkerRestart: true}", Scheduling(604800.0, True, False)),
        (
            "scheduling: {restartJobOnWorkerRestart: true, disableRetries: true}",
            Scheduling(604800.0, False, True),
        ),
    ],
)
def test_scheduling_is_read(tmp_path, section, expected):
    path = tmp_path / "job.yaml"
    path.write_text(f"a: 1\n{section}\n")
    assert read_scheduling(read_job_file(str(path), {})) == expected


@pytest.mark.parametrize("timeout", ["2h", "7200", "-1s", "[7200s]"])
def test_a_timeout_that_is_no_duration_is_refused(tmp_path, timeout):
    path = tmp_path / "job.yaml"
    path.write_text(f"scheduling:\n  timeout: {timeout}\n")
    with pytest.raises(UserError, match=r"job.yaml:2 scheduling.timeout must be seconds .* 7200s"):
        read_scheduling(read_job_file(str(path), {}))


@pytest.mark.parametrize("section", ["7200s", "1.5", "[{timeout: 1s}]"])
def test_scheduling_that_is_no_mapping_is_refused(tmp_path, section):
    path = tmp_path / "job.yaml"
    path.write_text(f"scheduling: {section}\n")

    with pytest.raises(UserError, match=r"job.yaml:1 scheduling must be a mapping, e.g. \{timeout"):
        read_scheduling(read_job_file(str(path), {}))
