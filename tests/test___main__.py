"""`python -m trainer.init` in a process of its own, and what its files are good for."""

import re

import pytest
from planted_tables import shop, write_csv
from runs import ROOT, read_report, run_python, run_task


def run_init(*argv, cwd):
    return run_python("-m", "trainer.init", *argv, cwd=cwd)


def test_the_config_trains_unchanged_and_the_study_passes_the_check(tmp_path):
    """Missing targets, missing numbers, a key, dates, codes: nothing has to be mended by hand."""
    columns = shop(1500)
    columns["spent"] = ["" if i % 50 == 7 else v for i, v in enumerate(columns["spent"])]
    write_csv(tmp_path / "shop.csv", columns)
    done = run_init("--csv=shop.csv", "--target=spent", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    trained = run_task("--config=shop.yaml", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    report = read_report(tmp_path / "runs" / "shop")
    # 3 a visit is planted with noise of 8, and 40 for Rome: the constant is at 39.
    assert report["metrics"]["test"]["rmse"] < 15
    assert sum(report["rows"].values()) == 1500 - 30
    checked = run_python(
        ROOT / "scripts/check_job.py", "shop.tuning.yaml", "--offline", cwd=tmp_path
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow
def test_the_study_runs_on_this_machine(tmp_path):
    write_csv(tmp_path / "shop.csv", shop(1500))
    assert run_init("--csv=shop.csv", "--target=member", cwd=tmp_path).returncode == 0
    argv = ["shop.tuning.yaml", "--max_trials=2", "--", "--config=shop.yaml", "--epochs=1"]
    done = run_python(ROOT / "scripts/tune_locally.py", *argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"val_log_loss", done.stdout) and "best: trial" in done.stdout


@pytest.mark.parametrize(
    ("content", "argv", "reason"),
    [
        (None, ["--target=y"], "no file matches t.csv"),
        (b"", ["--target=y"], "t.csv is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", ["--target=y"], "t.csv is a binary file"),
        (b"y\n1\n2\n", ["--target=y"], "t.csv has one column"),
        (b"a,b\n1,2\n" * 30, ["--target=3"], "there is no column '3'"),
        (b"income,b\n" + b"1,2\n3,4\n" * 30, ["--target=incone"], "did you mean 'income'?"),
        (b"y,b\n" + b"1,2\n1,3\n" * 30, ["--target=y"], "'y' is '1' in every row"),
        (b"y,b\n" + b",2\nNA,3\n" * 30, ["--target=y"], "'y' is missing in every row"),
        (b"y,b\n" + b"k,2\nl,3\nm,4\n" * 30, ["--target=y"], "b: a likely leak, it alone explains"),
        (
            b"y,b\n" + b"1,2\n4,2\n4,3\n" * 30,
            ["--target=y", "--output=/dev/null/x.yaml"],
            "cannot write",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, content, argv, reason):
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    done = run_init("--csv=t.csv", *argv, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert reason in done.stderr
    assert not list(tmp_path.glob("*.yaml"))


def test_tensorflow_is_not_imported(tmp_path):
    write_csv(tmp_path / "shop.csv", shop(300))
    code = (
        "import sys; from trainer.init.init_command import main; "
        "main(['--csv=shop.csv', '--target=spent']); "
        "print({'tensorflow', 'keras', 'sklearn'} & set(sys.modules))"
    )
    assert run_python("-c", code, cwd=tmp_path).stdout.endswith("\nset()\n")
