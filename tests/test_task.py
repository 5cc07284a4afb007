import importlib.metadata
import json
import logging
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

import trainer
from trainer.errors import Interrupted, TrainingFailed, UserError
from trainer.task import main

REPOSITORY_DIR = Path(__file__).resolve().parent.parent


pytestmark = pytest.mark.usefixtures("restore_logging")


@pytest.fixture
def train(monkeypatch):
    """Puts a function in the place of `model.train_and_evaluate`, without TensorFlow."""

    def replace(function):
        stand_in = types.ModuleType("trainer.model")
        stand_in.train_and_evaluate = function
        monkeypatch.setitem(sys.modules, "trainer.model", stand_in)
        monkeypatch.setattr(trainer, "model", stand_in, raising=False)

    return replace


def raises(error: BaseException):
    def train_and_evaluate(*_, **__):
        raise error

    return train_and_evaluate


def run_process(
    *argv: str, code: str | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Runs the task, or other code, in a fresh process from the root of the checkout."""
    command = ["-m", "trainer.task", *argv] if code is None else ["-c", code, *argv]
    return subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY_DIR,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_config_and_environment_reach_the_model(train):
    calls = []
    train(lambda config, environment: calls.append((config, environment)))
    environ = {"CLOUD_ML_TRIAL_ID": "3", "CLOUD_ML_HP_METRIC_FILE": "/t/x.metrics"}
    assert main(["--batch_size=96", "--job_dir=/j"], environ) == 0
    ((config, environment),) = calls
    assert config.training.batch_size == 96
    assert config.output.job_dir == "/j/3"
    assert (environment.trial_id, environment.metric_file) == ("3", "/t/x.metrics")


@pytest.mark.parametrize(("given", "expected"), [({}, "2"), ({"TF_CPP_MIN_LOG_LEVEL": "0"}, "0")])
def test_log_level_of_tensorflow_is_set_only_if_unset(train, given, expected):
    seen = []
    environ = dict(given)
    train(lambda *_: seen.append(environ["TF_CPP_MIN_LOG_LEVEL"]))
    assert main([], environ) == 0
    assert seen == [expected]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("data.train is empty"), 2, "error: data.train is empty\n"),
        (UserError("two\nlines"), 2, "error: two lines\n"),
        (TrainingFailed("loss is nan"), 3, "error: loss is nan\n"),
        (Interrupted("stopped at step 7"), 75, "interrupted: stopped at step 7\n"),
        (
            KeyboardInterrupt(),
            75,
            "interrupted: at once, nothing is saved; start again to go on\n",
        ),
    ],
)
def test_known_error_is_one_line_on_stderr_and_its_code(train, capsys, error, code, line):
    train(raises(error))
    assert main([], {}) == code
    assert capsys.readouterr().err == line


def test_unknown_error_keeps_its_traceback(train, capsys):
    train(raises(ZeroDivisionError("division by zero")))
    assert main([], {}) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert "in train_and_evaluate" in err
    assert "ZeroDivisionError: division by zero\n" in err
    assert err.splitlines()[-1].startswith("error: unexpected ZeroDivisionError: division by zero")


@pytest.mark.parametrize("is_cloud", [False, True])
def test_log_is_json_in_the_cloud_and_text_elsewhere(train, capsys, is_cloud):
    train(lambda *_: logging.getLogger("trainer.model").info("hello"))
    environ = {"CLOUD_ML_PROJECT_ID": "1", "AIP_MODEL_DIR": "gs://b/model/"} if is_cloud else {}
    assert main(["--seed=2"], environ) == 0
    settings, hello = capsys.readouterr().out.splitlines()
    if is_cloud:
        assert json.loads(hello) == {
            "severity": "INFO",
            "message": "hello",
            "logger": "trainer.model",
        }
        assert json.loads(settings)["message"].endswith(
            "taxifare_sample.yaml with --seed, AIP_MODEL_DIR"
        )
    else:
        assert hello.endswith(" hello")
        assert settings.endswith("taxifare_sample.yaml with --seed")


def test_printed_config_can_be_run(train, tmp_path, capsys):
    assert main(["--print_config", "--hidden_units=8,4", "--seed=9"], {}) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    configs = []
    train(lambda config, _: configs.append(config))
    assert main([f"--config={printed}"], {}) == 0
    assert main(["--hidden_units=8,4", "--seed=9"], {}) == 0
    assert configs[0] == configs[1]
    assert configs[0].model.hidden_units == (8, 4)


# --- in a process of its own ---


@pytest.mark.parametrize(
    "argv", [["--help"], ["--version"], ["--print_config"], ["--unknown_flag=1"]]
)
def test_answers_come_without_tensorflow(argv):
    code = (
        "import sys\n"
        "from trainer.task import main\n"
        "code = main(sys.argv[1:], {})\n"
        "slow = {'tensorflow', 'keras', 'numpy', 'pyarrow', 'google.cloud.storage', 'hypertune'}\n"
        "print(code, sorted(slow & set(sys.modules)), file=sys.stderr)\n"
    )
    done = run_process(*argv, code=code)
    expected = "2 []" if argv == ["--unknown_flag=1"] else "0 []"
    assert done.stderr.splitlines()[-1] == expected
    assert bool(done.stdout) == (expected == "0 []")


def test_settings_are_logged_first_when_run_as_a_module():
    code = (
        "import runpy, sys, types\n"
        "model = sys.modules['trainer.model'] = types.ModuleType('trainer.model')\n"
        "model.train_and_evaluate = lambda *_: print('trained')\n"
        "import trainer; trainer.model = model\n"
        "runpy.run_module('trainer.task', run_name='__main__')\n"
    )
    done = run_process("--seed=2", code=code)
    settings, trained = done.stdout.splitlines()
    assert settings.endswith("taxifare_sample.yaml with --seed")
    assert trained == "trained"
    assert (done.returncode, done.stderr) == (0, "")


def test_help_and_version_of_the_module():
    done = run_process("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m trainer.task ")
    assert run_process("--version").stdout == f"wide-and-deep-trainer {trainer.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "environ", "line"),
    [
        (["--batchsize=3"], {}, "error: --batchsize: unknown flag; did you mean '--batch_size'?"),
        (["--config=absent.yaml"], {}, "error: cannot read absent.yaml"),
        ([], {"CLOUD_ML_PROJECT_ID": "1"}, "error: baseOutputDirectory is missing"),
        ([], {"TF_CONFIG": "{"}, "error: TF_CONFIG is not valid JSON"),
    ],
)
def test_user_error_is_one_line_and_code_2(argv, environ, line):
    done = run_process(*argv, **environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(line)


def test_printed_config_of_the_module_names_the_flag():
    done = run_process("--print_config", "--seed", "11")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n  seed: 11\n" in done.stdout


def test_console_script_calls_console_main():
    scripts = importlib.metadata.entry_points(group="console_scripts", name="wide-deep-train")
    if not scripts:
        pytest.skip("the package is not installed in this environment")
    (script,) = scripts
    assert script.value == "trainer.task:console_main"
    assert callable(script.load())


ABORTING = """
import os, sys, types
model = types.ModuleType("trainer.model")
def train_and_evaluate(*_):
    from trainer.errors import Interrupted
    raise Interrupted("another process is gone")
model.train_and_evaluate = train_and_evaluate
sys.modules["trainer.model"] = model
from trainer import task
sys.exit(task.console_main())
"""


@pytest.mark.parametrize(
    ("workers", "environment", "code"),
    [(1, "cloud", -signal.SIGABRT), (0, "cloud", 75), (1, "laptop", 75)],
)
def test_an_interrupted_process_of_a_cluster_on_vertex_asks_to_be_started_again(
    workers, environment, code
):
    addresses = {"chief": ["a:1"], "worker": ["b:1"] * workers}
    spec = {
        "cluster": {role: hosts for role, hosts in addresses.items() if hosts},
        "task": {"type": "chief", "index": 0},
        "environment": environment,
    }
    done = run_process("--job_dir=/j", code=ABORTING, TF_CONFIG=json.dumps(spec))
    assert done.returncode == code
    assert "interrupted: another process is gone" in done.stdout + done.stderr
