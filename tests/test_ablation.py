import json

import pytest
import yaml
from comparison_table import make_config
from runs import run_script

from trainer.compare.ablation import PIECES


@pytest.mark.parametrize(
    ("piece", "key", "value"),
    [
        ("plain_edges", "columns.x.distinct_edges", False),
        ("plain_edges", "columns.way.numeric.distinct_edges", False),
        ("no_piecewise", "columns.x.piecewise_linear", 0),
        ("no_bucket_embedding", "columns.x.embedding_dim", 0),
        ("no_wide_buckets", "columns.way.numeric.wide_buckets", False),
        ("no_average", "optimizer.ema_decay", 0.0),
        ("no_wide", "model.towers", "deep"),
        ("mse", "model.loss", "mse"),
    ],
)
def test_a_piece_changes_what_it_says_and_nothing_else(tmp_path, piece, key, value):
    config, _ = make_config(tmp_path, num_rows=20)

    changed = PIECES[piece].change(config).model_dump()

    before = config.model_dump()
    differing = set(flat(changed)) ^ set(flat(before))
    assert (key, value) in differing
    names = {key.rpartition(".")[2]}
    assert {name.rpartition(".")[2] for name, _ in differing} == names


def flat(values, prefix=""):
    """(dotted key, value) of nested values."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.slow
def test_a_table_of_the_pieces_that_change_something(tmp_path):
    _, path = make_config(tmp_path)

    done = run_script(
        "ablate.py",
        f"--config={path}",
        "--seeds=1",
        "--draws=10",
        "--pieces=no_deep,mse,no_crosses",
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert "no_deep: the wide part alone\n  auc " in done.stdout
    # The task is binary and the table has no crosses.
    assert "mse:" not in done.stdout and "no_crosses:" not in done.stdout
    found = json.loads((tmp_path / "run" / "ablation.json").read_text())
    assert list(found) == ["recipe", "no_deep"]
    runs = {
        name: json.loads((tmp_path / "run" / name / "seed_1" / "report.json").read_text())
        for name in found
    }
    auc = {name: report["metrics"]["test"]["auc"] for name, report in runs.items()}
    assert found["recipe"]["auc"] == pytest.approx(auc["recipe"], abs=1e-6)
    assert found["no_deep"]["auc"]["value"] == pytest.approx(
        auc["no_deep"] - auc["recipe"], abs=1e-6
    )
    config = (tmp_path / "run" / "no_deep" / "seed_1" / "config.yaml").read_text()
    assert yaml.safe_load(config)["model"]["towers"] == "wide"


def test_an_unknown_piece_is_named_with_the_nearest(tmp_path):
    _, path = make_config(tmp_path, num_rows=20)
    done = run_script("ablate.py", f"--config={path}", "--pieces=no_depe", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: --pieces has no 'no_depe'")
