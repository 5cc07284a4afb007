import json

import numpy as np
import pytest
from comparison_table import make_class_config, make_config
from runs import run_script

from trainer.compare.comparison import describe, describe_difference
from trainer.compare.intervals import Interval


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    _, path = make_config(folder)
    done = run_script(
        "compare.py", f"--config={path}", "--seeds=1,2", "--group=day", "--draws=20", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.mark.slow
def test_one_table_of_all_contenders(compared):
    folder, output = compared
    found = json.loads((folder / "run" / "compare.json").read_text())
    assert list(found["contenders"]) == ["model", "boosted trees", "linear", "constant"]
    assert (found["part"], found["rows"], found["groups"]) == ("test", 300, 10)
    assert describe(found, "day") in output
    assert "300 rows; model: mean of 2 seed(s)" in output


@pytest.mark.slow
def test_the_models_figures_are_those_of_its_served_form(compared):
    folder, _ = compared
    found = json.loads((folder / "run" / "compare.json").read_text())["contenders"]["model"]
    for seed, metrics in zip((1, 2), found["by_seed"], strict=True):
        report = json.loads((folder / "run" / f"seed_{seed}" / "report.json").read_text())
        assert metrics["auc"] == pytest.approx(report["metrics"]["test"]["auc"], abs=1e-6)
        assert metrics["log_loss"] == pytest.approx(report["metrics"]["test"]["log_loss"], abs=1e-5)
    means = {name: np.mean([m[name] for m in found["by_seed"]]) for name in found["metrics"]}
    assert found["metrics"] == pytest.approx(means)


@pytest.mark.slow
def test_models_of_classes_are_compared(tmp_path):
    _, path = make_class_config(tmp_path)
    done = run_script("compare.py", f"--config={path}", "--seeds=1", "--tuned=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run" / "compare.json").read_text())["contenders"]
    assert list(found) == ["model", "boosted trees", "tuned trees", "linear", "constant"]
    report = json.loads((tmp_path / "run" / "seed_1" / "report.json").read_text())
    for name, value in found["model"]["metrics"].items():
        assert value == pytest.approx(report["metrics"]["test"][name], rel=1e-5)
    assert found["model"]["metrics"]["log_loss"] < 0.6 * found["constant"]["metrics"]["log_loss"]


@pytest.mark.parametrize(
    ("metric", "interval", "verdict"),
    [
        ("auc", Interval(0.02, 0.01, 0.03), "better"),
        ("auc", Interval(-0.02, -0.03, -0.01), "worse"),
        ("rmse", Interval(-0.02, -0.03, -0.01), "better"),
        ("rmse", Interval(-0.02, -0.03, 0.01), "not distinguishable"),
    ],
)
def test_verdicts_know_which_way_is_better(metric, interval, verdict):
    assert describe_difference(metric, interval).endswith(f"]  {verdict}")


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path):
    done = run_script("compare.py", "--config=absent.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("error: ") and "absent.yaml" in done.stderr
