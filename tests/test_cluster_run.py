"""trainer.jobs.cluster_run: whole jobs of real processes.

The package is a stand-in that does what its arguments say, so that a job takes a second; the real
trainer runs in test_cloud_end_to_end and at the end of this file.
"""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from runs import ROOT

from trainer.errors import UserError
from trainer.jobs import cluster_run, package
from trainer.jobs.job_file import read_job_file, read_names

STAND_IN = """
import json, os, signal, subprocess, sys, time

for action in sys.argv[1:]:
    name, _, value = action.lstrip("-").partition("=")
    if name == "print":
        print(json.dumps({"severity": "INFO", "message": value}), flush=True)
    elif name == "environ":
        found = {k: v for k, v in os.environ.items()}
        with open(value, "w") as file:
            json.dump([found, os.getcwd(), sys.path, __file__], file)
    elif name == "wait_for":
        while not os.path.exists(value):
            time.sleep(0.01)
    elif name == "ignore_sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif name == "child":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    elif name == "once":  # kills itself, unless it did so before
        number, path = value.split(":")
        if not os.path.exists(path):
            open(path, "w").close()
            os.kill(os.getpid(), int(number))
    elif name == "touch":
        open(value, "w").close()
    elif name == "exit":
        print(f"error: told to exit with {value}", file=sys.stderr)
        sys.exit(int(value))
    else:
        sys.exit(f"unknown: {action}")
"""
SLEEPS = "--wait_for=/never"
SALES = """
data: {column_names: [sales, shop, day], validation_fraction: 0.2}
label: {column: sales, task: regression}
columns: {shop: categorical, day: numeric}
model: {hidden_units: [8]}
training: {patience: 0}
evaluation: {baseline: none}
"""


@pytest.fixture(scope="module")
def package_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    (folder / "trainer").mkdir()
    (folder / "trainer" / "__init__.py").touch()
    (folder / "trainer" / "task.py").write_text(STAND_IN)
    return folder


@pytest.fixture
def write_job(tmp_path):
    def write(*args_of_pools, scheduling="{}", output="gs://bucket/out"):
        lines = ["workerPoolSpecs:"]
        for number, args in enumerate(args_of_pools):
            lines += [
                f"- replicaCount: {2 if number == 1 else 1}",
                f"  containerSpec: {{imageUri: img, args: {json.dumps(args)}}}",
            ]
        lines += [f"scheduling: {scheduling}"]
        lines += [f"baseOutputDirectory: {{outputUriPrefix: {output}}}"]
        path = tmp_path / "job.yaml"
        path.write_text("\n".join(lines))
        return path

    return write


@pytest.fixture
def run(write_job, package_dir, tmp_path, emulator):
    """Runs a job of those pools to its end: outcome, what the terminal shows, and the starts."""

    def run(*args_of_pools, scheduling="{}", **options):
        stream = io.StringIO()
        started = []
        outcome = cluster_run.run_job(
            read_job_file(str(write_job(*args_of_pools, scheduling=scheduling)), {}),
            work_dir=str(tmp_path / "local"),
            environ=os.environ,
            gs_endpoint=os.environ["STORAGE_EMULATOR_HOST"],
            package_path=str(package_dir),
            on_start=lambda replica, pid: started.append((replica.name, pid)),
            stream=stream,
            grace_seconds=1.0,
            **options,
        )
        assert all(map(is_gone, dict(started).values()))
        return outcome, stream.getvalue(), [name for name, _ in started]

    return run


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def test_every_replica_gets_its_place_from_a_clean_package(run, tmp_path, package_dir):
    chief = [f"--environ={tmp_path}/chief", f"--wait_for={tmp_path}/evaluator"]
    outcome, shown, started = run(
        ["--print=hello", *chief],
        [SLEEPS],
        [SLEEPS],
        [f"--environ={tmp_path}/evaluator", SLEEPS],
        extra_flags=["--print=extra"],
    )

    assert (outcome.state, outcome.exit_code) == ("succeeded", 0)
    assert started == ["chief-0", "worker-0", "worker-1", "ps-0", "evaluator-0"]
    assert outcome.exit_codes == {"chief-0": 0} | dict.fromkeys(started[1:])
    environ, cwd, path, file = json.loads((tmp_path / "evaluator").read_text())
    assert json.loads(environ["TF_CONFIG"])["task"]["type"] == "evaluator"
    assert json.loads(environ["CLUSTER_SPEC"])["task"] == {"type": "workerpool3", "index": 0}
    assert environ["AIP_MODEL_DIR"] == "gs://bucket/out/model/"
    assert file == str(package_dir / "trainer" / "task.py")
    assert str(ROOT) not in path
    assert os.listdir(cwd) == []
    assert "chief-0     | INFO hello\n" in shown
    assert "chief-0     | INFO extra\n" in shown
    log = (tmp_path / "local" / "logs" / "chief-0.log").read_text()
    assert log.splitlines()[0] == '{"severity": "INFO", "message": "hello"}'


def test_a_lost_replica_comes_back_with_its_address(run, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    outcome, shown, started = run(
        [f"--wait_for={second}"],
        [SLEEPS],
        [f"--environ={first}", f"--once=9:{tmp_path}/killed", f"--environ={second}", SLEEPS],
    )

    assert (outcome.state, outcome.worker_restarts) == ("succeeded", {"ps-0": 1})
    assert started == ["chief-0", "worker-0", "worker-1", "ps-0", "ps-0"]
    assert "ps-0 was killed by SIGKILL; it starts again (restart 1 of 5)" in shown
    before, after = (json.loads(path.read_text())[0] for path in (first, second))
    assert before == after


def test_an_abort_starts_the_whole_job_again(run, tmp_path):
    outcome, _, started = run([f"--once=6:{tmp_path}/aborted"], [SLEEPS])
    assert (outcome.state, outcome.job_retries) == ("succeeded", 1)
    assert started == 2 * ["chief-0", "worker-0", "worker-1"]


def test_a_mistake_of_the_user_ends_the_job_with_its_cause(run):
    outcome, _, started = run([SLEEPS], [SLEEPS], ["--exit=2"])
    assert (outcome.state, outcome.exit_code) == ("failed", 2)
    assert outcome.cause == (
        "ps-0 exited with 2 (a mistake of the user): error: told to exit with 2"
    )
    assert len(started) == 4


def test_the_timeout_ends_the_job(run):
    began = time.monotonic()
    outcome, _, _ = run(["--ignore_sigterm", SLEEPS], scheduling="{timeout: 0.5s}")
    assert (outcome.state, outcome.exit_code) == ("timed_out", 124)
    # SIGTERM is ignored: after the grace period of a second it is killed.
    assert 1.5 <= time.monotonic() - began < 10


def command(path, tmp_path, package_dir, *options):
    (tmp_path / "names.env").write_text("BUCKET=bucket\n")
    return [
        sys.executable,
        str(ROOT / "scripts" / "run_job_locally.py"),
        str(path),
        "--name=one",
        f"--work_dir={tmp_path}/local",
        f"--package={package_dir}",
        *options,
    ]


def hear_all_signals():
    """Under nohup, or in the background of a script, they would be ignored from the start."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_running_whatever_ends_the_command(
    write_job, package_dir, tmp_path, number
):
    path = write_job(["--child", f"--touch={tmp_path}/up", SLEEPS], ["--ignore_sigterm", SLEEPS])
    process = subprocess.Popen(
        command(path, tmp_path, package_dir),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        preexec_fn=hear_all_signals,
    )
    lines = [process.stdout.readline() for _ in range(4)]
    pids = [int(line.rsplit(" ", 1)[1]) for line in lines if "is process" in line]
    assert len(pids) == 3
    until(lambda: (tmp_path / "up").exists())
    time.sleep(0.3)  # the workers too are set up
    process.send_signal(number)
    if number != signal.SIGKILL:
        time.sleep(0.5)
        process.send_signal(number)  # does not wait for the grace period
    _, stderr = process.communicate(timeout=8)

    if number != signal.SIGKILL:
        assert process.returncode == 75, stderr
        assert stderr.startswith("interrupted: nothing is left running; to go on: --name=one")
    until(lambda: all(map(is_gone, pids)), seconds=5)


def test_the_command_runs_a_job_and_says_how_it_ended(write_job, package_dir, tmp_path):
    path = write_job(["--print=${BUCKET} ${JOB}"], output="gs://${BUCKET}/runs/${JOB}")
    done = subprocess.run(
        command(path, tmp_path, package_dir, "--", "--print=more"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "chief-0 | INFO bucket one" in lines
    assert "chief-0 | INFO more" in lines
    assert lines[-2] == f"job: its files are in {tmp_path}/local/gs/bucket/runs/one"
    assert lines[-1].startswith("succeeded: chief-0 finished after ")
    assert "\033[" not in done.stdout


def test_the_command_fails_with_the_replicas_code(write_job, package_dir, tmp_path):
    done = subprocess.run(
        command(write_job(["--exit=3"]), tmp_path, package_dir),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith(
        "failed: chief-0 exited with 3 (training failed): error: told to exit with 3 (after "
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("studySpec: {}\ntrialJobSpec: {}", [], "tuning job; run python scripts/tune_locally.py"),
        ("a: ${BUCKETS}", [], r"job.yaml:1: \$\{BUCKETS\} has no value"),
        ("a: 1", [], "must have replicaCount: 1"),
        (None, [], "it does not exist"),
        (
            "workerPoolSpecs: [{replicaCount: 1, containerSpec: {imageUri: i}}]",
            ["--package=nothing.tar.gz"],
            "--package must be an sdist; there is no file nothing.tar.gz",
        ),
        (
            "workerPoolSpecs: [{replicaCount: 1, containerSpec: {imageUri: i}}]",
            [f"--package={__file__}"],
            "pip could not install",
        ),
    ],
)
def test_what_cannot_be_run_is_one_line(tmp_path, monkeypatch, capsys, text, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.env").write_text("BUCKET=bucket\n")
    if text is not None:
        (tmp_path / "job.yaml").write_text(text)

    assert cluster_run.main(["job.yaml", *options], os.environ) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    with pytest.raises(UserError, match=message):
        raise UserError(error)


def test_a_terminal_gets_colours_unless_told_not_to(write_job, package_dir, tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    job = read_job_file(str(write_job(["--print=hello"])), {})
    for environ, expected in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)):
        stream = Terminal()
        cluster_run.run_job(
            job,
            work_dir=str(tmp_path / "local"),
            environ={**os.environ, **environ},
            package_path=str(package_dir),
            stream=stream,
        )
        assert ("\033[36mchief-0 |\033[0m INFO hello" in stream.getvalue()) is expected


class KillAtFirstStep(io.StringIO):
    """The terminal's text; when the first training step is logged, a replica is killed."""

    def __init__(self, victim):
        super().__init__()
        self.victim = victim
        self.pids = {}
        self.is_done = False

    def note_start(self, replica, pid):
        self.pids[replica.name] = pid

    def write(self, text):
        if not self.is_done and "| INFO step " in text:
            self.is_done = True
            os.kill(self.pids[self.victim], signal.SIGKILL)
        return super().write(text)


@pytest.fixture(scope="module")
def real_package(tmp_path_factory):
    """The trainer of this checkout, installed as run_job installs it."""
    folder = tmp_path_factory.mktemp("real")
    sdist = package.build_package(folder)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    pip = [sys.executable, "-m", "pip", "install", *options, str(folder / "installed"), str(sdist)]
    subprocess.run(pip, check=True)
    return str(folder / "installed")


@pytest.fixture(scope="module")
def sales_flags(tmp_path_factory):
    """Flags that train on a small table: sales = 10 x shop + day, with noise of 1."""
    folder = tmp_path_factory.mktemp("sales")
    rng = np.random.default_rng(5)
    shops, days = rng.integers(3, size=2000), rng.integers(30, size=2000)
    sales = shops * 10 + days + rng.normal(size=2000)
    lines = [f"{s:.3f},shop {i},{d}" for s, i, d in zip(sales, shops, days, strict=True)]
    (folder / "sales.csv").write_text("\n".join(lines))
    (folder / "sales.yaml").write_text(SALES)
    flags = ["--batch_size=96", "--steps=400", "--eval_steps=20", "--checkpoint_steps=20"]
    return [f"--config={folder}/sales.yaml", f"--train={folder}/sales.csv", *flags]


# Half a minute each, so the normal run has the first alone.
@pytest.mark.parametrize(
    ("job_file", "victim"),
    [
        pytest.param("job_workers.yaml", "worker-1", marks=pytest.mark.slow),
        pytest.param("job_parameter_server.yaml", "worker-1", marks=pytest.mark.slow),
        pytest.param("job_parameter_server.yaml", "ps-0", marks=pytest.mark.slow),
    ],
)
def test_a_real_job_survives_the_loss_of_a_replica(
    job_file, victim, real_package, sales_flags, tmp_path
):
    names = {**read_names(str(ROOT / "configs" / "names.env")), "JOB": "killed"}
    terminal = KillAtFirstStep(victim)
    outcome = cluster_run.run_job(
        read_job_file(str(ROOT / "configs" / job_file), names),
        work_dir=str(tmp_path),
        environ=os.environ,
        package_path=real_package,
        extra_flags=sales_flags,
        on_start=terminal.note_start,
        stream=terminal,
    )

    shown = terminal.getvalue()
    assert (outcome.state, outcome.cause) == ("succeeded", "chief-0 finished"), shown
    assert sum(outcome.worker_restarts.values()) + outcome.job_retries >= 1
    assert "step     400" in shown
    run_dir = tmp_path / "gs" / "my-bucket" / "runs" / "killed"
    assert (run_dir / "model" / "saved_model.pb").exists()
    report = json.loads((run_dir / "report.json").read_text())
    # The constant has the deviation of sales, sqrt(100 x 2/3 + 900/12 + 1) = 11.9.
    assert report["metrics"]["validation"]["rmse"] < 2.0
    if job_file == "job_workers.yaml":
        digests = re.findall(r"weights are equal on all 3 replicas \((\w+)\)", shown)
        assert len(digests) >= 3
        assert len(set(digests[-3:])) == 1
