"""What the README shows works as it stands there."""

import itertools
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from runs import ROOT, read_report, run_python, run_task

from trainer import compat
from trainer.columns import COLUMN_KINDS
from trainer.config import SECTIONS

README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The README's own config, trained on a table that it fits, by the README's command."""
    folder = tmp_path_factory.mktemp("people")
    (folder / "people.yaml").write_text(blocks("yaml")[0])
    rng = np.random.default_rng(3)
    for part in range(2):
        lines = ["name,age,income,city,zip,member,visits,joined,bought"]
        for i in range(800):
            age, city = rng.integers(18, 90), ["Rome", "Oslo", "Lima"][rng.integers(3)]
            income = "" if rng.random() < 0.1 else f"{rng.lognormal(10, 1):.2f}"
            bought = "yes" if (age > 45) ^ (city == "Oslo") ^ (rng.random() < 0.05) else "no"
            member = ["true", "false"][rng.integers(2)]
            joined = f"20{rng.integers(10, 25)}-0{rng.integers(1, 10)}-1{rng.integers(10)}"
            fields = (f"p{part}-{i}", age, income, city, rng.integers(10**4), member, i % 20)
            lines.append(",".join(map(str, (*fields, joined, bought))))
        (folder / f"people-{part}.csv").write_text("\n".join(lines) + "\n")
    command = next(line for line in README.splitlines() if "--config=people.yaml" in line)
    flags = command.removeprefix("python -m trainer.task ").split()
    done = run_task(*flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_own_table_learns_what_was_planted(trained):
    report = read_report(trained / "runs" / "people")
    assert report["metrics"]["test"]["auc"] > 0.75
    assert report["rows"]["test"] == pytest.approx(160, rel=0.3)


def test_the_config_that_init_writes_for_it_trains_as_it_stands(trained, tmp_path):
    for path in trained.glob("people-*.csv"):
        shutil.copy(path, tmp_path)
    command = next(line for line in README.splitlines() if "-m trainer.init" in line)
    arguments = shlex.split(command)[3:]
    done = run_python("-m", "trainer.init", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "people.tuning.yaml").exists()

    done = run_task("--config=people.yaml", "--baseline=none", "--report=none", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    report = read_report(tmp_path / "runs" / "people")
    assert report["metrics"]["test"]["auc"] > 0.75


def test_the_model_is_served_by_the_lines_shown(trained, capsys):
    code = next(b for b in blocks("python") if "saved_model" in b).replace(
        "runs/taxifare_sample", str(trained / "runs" / "people")
    )
    exec(compile(code, "README.md", "exec"), {})
    assert "probability" in capsys.readouterr().out


def test_the_lines_for_python_train_and_predict(trained, tmp_path, monkeypatch, capsys):
    for path in trained.glob("people-*.csv"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    code = next(block for block in blocks("python") if "import pandas" in block)
    exec(compile(code, "README.md", "exec"), {})
    assert "probability" in capsys.readouterr().out


def test_the_workflows_parameters_describe_a_table(trained, tmp_path):
    shutil.copy(trained / "people-0.csv", tmp_path / "people.csv")
    # Every other piece between fences is a block.
    block = next(piece for piece in README.split("```")[1::2] if "--compat" in piece)
    arguments = shlex.split(block.replace("\\\n", " "))[3:]
    done = run_task(*arguments, "--max_steps=60", "--report=none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = read_report(tmp_path / "runs" / "google_wide_and_deep")
    assert report["last_step"] == 60


def test_files_of_a_run_are_those_that_are_listed(trained):
    table = README.split("## What a run leaves")[1].split("The exported model")[0]
    named = re.findall(r"`([\w./]+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))
    assert {"model/", "report.json", "COMPLETE"} <= set(named)
    for name in named:
        assert Path(trained, "runs", "people", name).exists(), name


def test_every_kind_of_column_is_in_the_table():
    table = README.split("### Columns")[1].split("Every column takes")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(COLUMN_KINDS)


def test_every_flag_that_is_named_exists():
    known = {name for section in SECTIONS.values() for name in section.model_fields}
    known |= {"config", "help", "print_config", "version", *compat.NAMES}
    packages = ((ROOT / "trainer" / name).glob("*.py") for name in ("jobs", "init", "compare", ""))
    scripts = (ROOT / "scripts").glob("*.[ps][yh]")
    for command in itertools.chain(*packages, scripts):
        known |= set(re.findall(r"--(\w+)", command.read_text()))
    assert set(re.findall(r"--(\w+)", README)) - known == set()
