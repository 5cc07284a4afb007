"""trainer.insight.run_comparison: runs side by side."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from planted_reports import EVIL, planted_report

from trainer import storage
from trainer.errors import UserError
from trainer.insight import run_comparison

ROOT = Path(__file__).parents[1]


def leave_run(folder, rate, rmse, units="[64, 32]"):
    """The files of a run that never was."""
    report = planted_report()
    report["metrics"]["test"] = {"rmse": rmse, "mae": 0.5}
    history = [{"step": s, "loss": 1 / s, "val_rmse": rmse + 1 / s} for s in (10, 20, 30)]
    config = f"label: {{column: fare}}\nmodel: {{hidden_units: {units}}}\n"
    config += f"training: {{seed: 1}}\noptimizer: {{deep_learning_rate: {rate}}}\n"
    config += f"output: {{job_dir: {folder}}}\n"
    storage.write_text(f"{folder}/report.json", json.dumps(report))
    storage.write_text(f"{folder}/metrics.jsonl", "".join(json.dumps(r) + "\n" for r in history))
    storage.write_text(f"{folder}/config.yaml", config)
    return str(folder)


@pytest.fixture
def job_dirs(tmp_path):
    return [
        leave_run(tmp_path / "a", 0.001, 1.5),
        leave_run(tmp_path / "b", 0.004, 1.25, units="[128]"),
    ]


def test_table_has_settings_that_differ_and_all_metrics(job_dirs):
    runs = run_comparison.read_runs(job_dirs)
    metrics, settings = run_comparison.metrics_of(runs), run_comparison.settings_of(runs)
    assert metrics.columns == settings.columns == ("what", "a", "b")
    rows = {row[0]: row[1:] for row in metrics.rows + settings.rows}
    assert rows["optimizer.deep_learning_rate"] == (0.001, 0.004)
    assert rows["model.hidden_units"] == ("[64, 32]", "[128]")
    assert rows["test rmse"] == (1.5, 1.25) and rows["seconds"] == (11.875, 11.875)
    assert rows["kept step"] == (840, 840)
    # What is equal, and where the runs lie, is not told.
    assert not {"training.seed", "label.column", "output.job_dir"} & set(rows)


def test_curves_of_all_runs_lie_in_one_chart(job_dirs):
    charts = run_comparison.charts_of(run_comparison.read_runs(job_dirs))
    assert [c.name for c in charts] == ["curve-val_rmse", "curve-loss"]
    lines = re.findall(
        r'd="([^"]+)" clip-path[^>]*stroke: var\(--(?:first|second)\)', charts[0].svg
    )
    heights = [np.array(re.findall(r"[\d.]+ ([\d.]+) \n", line), float) for line in lines]
    # The runs differ by 0.25 everywhere, and steps 10 and 30 by 1/10 - 1/30.
    first, second = heights
    np.testing.assert_allclose(second - first, second[0] - first[0], atol=1e-3)
    np.testing.assert_allclose(
        (second - first)[0] / (first[2] - first[0]), 0.25 / (1 / 10 - 1 / 30), rtol=1e-4
    )


def test_script_prints_the_table_and_writes_page_and_csv(job_dirs, tmp_path):
    out = tmp_path / "page.html"
    command = [sys.executable, str(ROOT / "scripts" / "compare_runs.py"), *job_dirs]
    run = subprocess.run([*command, f"--out={out}"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert re.search(r"^test rmse +1\.5 +1\.25$", run.stdout, re.MULTILINE)
    assert out.read_text().count("<figure>") == 2
    with open(tmp_path / "page.csv", newline="") as file:
        assert ["test rmse", "1.5", "1.25"] in list(csv.reader(file))
    wrong = subprocess.run([*command[:2], job_dirs[0], str(tmp_path)], capture_output=True)
    assert wrong.returncode == 2 and b"has no report.json" in wrong.stderr


def test_runs_of_a_bucket(emulator, tmp_path, capsys):
    remote = leave_run(f"{emulator}/runs/x", 0.002, 1.0)
    local = leave_run(tmp_path / "y", 0.002, 2.0)
    run_comparison.main([remote, local, f"--out={emulator}/page.html"])
    assert "test rmse" in capsys.readouterr().out
    assert "</html>" in storage.read_text(f"{emulator}/page.html")


def test_names_of_folders_are_texts(tmp_path):
    folder = tmp_path / "<script>"
    leave_run(folder, 0.1, 1.0)
    run_comparison.main([str(folder), str(folder), f"--out={tmp_path}/p.html"])
    text = (tmp_path / "p.html").read_text()
    assert "<script" not in text and "&lt;script&gt; (2)" in text and EVIL not in text


def test_mistakes_are_named(tmp_path, job_dirs):
    with pytest.raises(UserError, match="give 2 to 16 run folders to compare; received 1"):
        run_comparison.main(["a"])
    history = Path(job_dirs[1], "metrics.jsonl").read_text()
    Path(job_dirs[1], "metrics.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"b/metrics.jsonl is damaged: "):
        run_comparison.read_runs(job_dirs)
    Path(job_dirs[1], "metrics.jsonl").write_text(history)
    Path(job_dirs[0], "report.json").write_text("{")
    with pytest.raises(UserError, match=r"a/report.json is damaged: "):
        run_comparison.read_runs(job_dirs)
    Path(job_dirs[0], "report.json").write_text("[]")
    with pytest.raises(UserError, match="is not the report of a run: it has no metrics"):
        run_comparison.read_runs(job_dirs)
    Path(job_dirs[0], "report.json").unlink()
    with pytest.raises(UserError, match="the run has not ended; start its command again"):
        run_comparison.read_runs(job_dirs)


def test_of_folds_the_mean(job_dirs, tmp_path):
    parent = tmp_path / "five"
    for fold, rmse in ((1, 2.0), (2, 1.0)):
        leave_run(parent / f"fold_{fold}", 0.004, rmse, units="[128]")
    summary = {"mean": 1.5, "sd": 0.7071, "standard_error": 0.5, "values": [2.0, 1.0]}
    report = {"folds": 2, "task": "regression", "metrics": {"test": {"rmse": summary}}}
    (parent / "report.json").write_text(json.dumps(report | {"seconds": 9.5}))
    runs = run_comparison.read_runs([job_dirs[1], str(parent)])
    rows = {row[0]: row[1:] for row in run_comparison.metrics_of(runs).rows}
    assert rows["test rmse"] == (1.25, 1.5) and rows["folds"] == (None, 2)
    assert rows["test rmse, standard error over folds"] == (None, 0.5)
    assert rows["seconds"] == (11.875, 9.5)
    assert run_comparison.settings_of(runs).rows == []
    # At step 10 each has rmse + 1 / 10 of its own.
    assert runs[1].history[0]["val_rmse"] == pytest.approx((2.1 + 1.1) / 2)


def test_of_schemas_that_differ_the_terminal_shows_the_first_settings(tmp_path, capsys):
    folders = [leave_run(tmp_path / name, 0.1, 1.0) for name in "ab"]
    columns = "".join(f"  c{i}: {{kind: numeric, buckets: 3}}\n" for i in range(60))
    with open(tmp_path / "b" / "config.yaml", "a") as file:
        file.write(f"columns:\n{columns}")
    run_comparison.main([*folders, f"--out={tmp_path}/p.html"])
    printed = capsys.readouterr().out
    assert "columns.c39.kind" in printed and "columns.c40.kind" not in printed
    assert "and 20 settings more" in printed
    assert "columns.c0.buckets" not in printed  # It says no more than that the column is there.
    assert "columns.c59.kind" in (tmp_path / "p.html").read_text()
    assert "columns.c59.kind" in (tmp_path / "p.csv").read_text()
