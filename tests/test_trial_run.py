import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stand_in_trials import Ended, launch_stand_in

from trainer.errors import UserError
from trainer.jobs import trial_run
from trainer.jobs.stopping import Measurement
from trainer.jobs.trial_run import RunningTrial, make_request, stop_orphan
from trainer.vertex import read_environment

ROOT = Path(__file__).parents[1]


def request_of(tmp_path, *arguments, trial_id=7):
    return make_request(tmp_path, trial_id, arguments, os.environ, {})


def run(tmp_path, *arguments):
    """A stand-in that has ended, and its exit code."""
    running = RunningTrial(request_of(tmp_path, *arguments), "val_rmse", launch_stand_in)
    return running, wait(running)


def wait(running, seconds=30.0):
    deadline = time.monotonic() + seconds
    while (exit_code := running.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return exit_code


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_variables_are_those_of_a_trial_on_vertex_but_for_the_marks_of_the_cloud(tmp_path):
    inherited = {
        "HOME": "/home/me",
        "PYTHONPATH": "/mine",
        "CLOUD_ML_PROJECT_ID": "1",
        "CLUSTER_SPEC": "{}",
        "TF_CONFIG": "{}",
        "AIP_DATA_FORMAT": "bigquery",
    }

    request = make_request(tmp_path, 3, ["--a=1"], inherited, {"TF_CPP_MIN_LOG_LEVEL": "1"})

    assert request.arguments == ("--a=1",)
    assert request.variables == {
        "HOME": "/home/me",
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "PYTHONPATH": f"{ROOT}{os.pathsep}/mine",
        "PYTHONUNBUFFERED": "1",
        "CLOUD_ML_TRIAL_ID": "3",
        "CLOUD_ML_HP_METRIC_FILE": f"{tmp_path}/3/hypertune/output.metrics",
        "AIP_MODEL_DIR": f"{tmp_path}/3/model/",
        "AIP_CHECKPOINT_DIR": f"{tmp_path}/3/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": f"{tmp_path}/3/logs/",
    }
    read = read_environment(request.variables)
    assert (read.trial_id, read.job_dir) == ("3", f"{tmp_path}/3")
    assert not read.is_cloud  # so that the log is for people


def test_relative_study_folder_is_made_absolute_for_the_trial(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    request = make_request(Path("runs/a"), 1, [], {}, {})

    assert request.variables["AIP_MODEL_DIR"] == f"{tmp_path}/runs/a/1/model/"


def test_trial_reports_and_logs_into_its_folder(tmp_path):
    running, exit_code = run(tmp_path, "--curve=3,1,2")

    assert exit_code == 0
    assert [(m.step, m.value) for m in running.final_curve()] == [(1, 3.0), (2, 1.0), (3, 2.0)]
    assert all(0 < m.seconds < 30 for m in running.final_curve())
    assert (tmp_path / "7/log.txt").read_text() == "starting at step 0 with --curve=3,1,2\n"


def test_last_line_of_the_file_is_last_even_if_it_was_seen_before(tmp_path):
    request = request_of(tmp_path)

    def launch(request):
        values = [(1, 5.0), (2, 3.0), (3, 4.0), (2, 3.0)]  # at the end, the weights of step 2
        lines = [json.dumps({"global_step": s, "timestamp": 1e9, "m": str(v)}) for s, v in values]
        request.metric_file.write_text("\n".join(lines))
        return Ended()

    running = RunningTrial(request, "m", launch)

    assert [(m.step, m.value) for m in running.final_curve()] == [(1, 5.0), (3, 4.0), (2, 3.0)]


def test_reports_that_the_file_has_dropped_are_kept(tmp_path):
    running = RunningTrial(request_of(tmp_path), "m", lambda request: Ended())
    path = running.request.metric_file
    seen = []
    for text in ('{"global_step": "1", "m": "9"}', '{"global_step": "2", "m": "8"}', '{"glob', ""):
        path.write_text(text)
        seen.append(running.read_measurements())

    assert seen == [True, True, False, False]
    assert running.final_curve() == [Measurement(1, 0.0, 9.0), Measurement(2, 0.0, 8.0)]


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["--exit_code=2", "--message=error: --batch_size must be 1"], "--batch_size must be 1"),
        (["--exit_code=3", "--message=error: loss is nan"], "loss is nan"),
        (["--exit_code=1", "--message=ValueError: odd"], "exit code 1: ValueError: odd"),
        (["--exit_code=75", "--message=interrupted: later"], "interrupted: later"),
    ],
)
def test_cause_is_the_line_that_says_why(tmp_path, arguments, cause):
    running, exit_code = run(tmp_path, *arguments)

    assert running.cause(exit_code) == cause


def test_cause_is_of_this_start_and_not_of_an_earlier_one(tmp_path):
    run(tmp_path, "--exit_code=2", "--message=error: old")

    running, exit_code = run(tmp_path, "--exit_code=1", "--message=new")

    assert running.cause(exit_code) == "exit code 1: new"


def test_killed_trial_says_so(tmp_path):
    running = RunningTrial(
        request_of(tmp_path, "--curve=1", "--step_seconds=60"), "val_rmse", launch_stand_in
    )
    running._process.kill()

    exit_code = wait(running)

    assert (exit_code, running.cause(exit_code)) == (-9, "killed by SIGKILL (out of memory?)")


def test_trial_is_stopped_at_a_checkpoint_and_goes_on_from_there(tmp_path):
    arguments = ["--curve=" + ",".join(map(str, range(200))), "--step_seconds=0.01"]
    running = RunningTrial(request_of(tmp_path, *arguments), "val_rmse", launch_stand_in)
    wait_for(running.read_measurements)

    running.stop("enough")
    running.stop("again")

    assert (wait(running), running.stop_reason) == (75, "enough")
    step = int((tmp_path / "7/checkpoints/step").read_text())
    assert 0 < step < 200
    _, exit_code = run(tmp_path, *arguments)
    assert exit_code == 0
    assert f"starting at step {step} with" in (tmp_path / "7/log.txt").read_text()


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: 0); time.sleep(60)"


def start_stubborn(request):
    return trial_run.launch(request, [sys.executable, "-c", STUBBORN])


def test_trial_that_does_not_heed_is_killed_after_its_grace(tmp_path):
    running = RunningTrial(request_of(tmp_path), "m", start_stubborn)
    time.sleep(0.3)  # until its handler is there

    running.stop("enough", grace_seconds=0.3)

    assert wait(running) == -signal.SIGKILL


def test_folder_is_held_as_long_as_the_process_lives(tmp_path):
    running = RunningTrial(request_of(tmp_path), "m", start_stubborn)
    try:
        with pytest.raises(UserError, match=f"another process uses {tmp_path}/7; stop it"):
            RunningTrial(request_of(tmp_path), "m", start_stubborn)
        assert (tmp_path / "7/lock").read_text() == str(running._process.pid)
    finally:
        running._process.kill()
        running._process.wait()


def start_orphan(tmp_path, code):
    """A trial whose tuner was killed at once; gives the trial's process id."""
    tuner = (
        "import os, sys; from pathlib import Path; from trainer.jobs import trial_run as t\n"
        f"request = t.make_request(Path({str(tmp_path)!r}), 1, [], os.environ, {{}})\n"
        "request.folder.mkdir()\n"
        f"print(t.launch(request, [sys.executable, '-c', {code!r}]).pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", tuner], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return int(done.stdout)


def is_alive(pid):
    """Whether it runs; one that has ended may still wait for its parent to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("code", ["import time; time.sleep(60)", STUBBORN])
def test_process_that_outlived_its_tuner_is_stopped(tmp_path, code):
    pid = start_orphan(tmp_path, code)
    assert is_alive(pid)
    time.sleep(0.3)

    assert stop_orphan(tmp_path / "1", grace_seconds=0.5)

    assert not is_alive(pid)
    assert not stop_orphan(tmp_path / "1")


def test_folder_without_a_process_has_no_orphan(tmp_path):
    assert not stop_orphan(tmp_path)


def test_unknown_process_that_holds_a_folder_is_an_error(tmp_path):
    with open(tmp_path / "lock", "a") as lock:
        assert trial_run.try_lock(lock)
        with pytest.raises(UserError, match=r"another process uses .* and does not end"):
            stop_orphan(tmp_path, grace_seconds=0.1)
