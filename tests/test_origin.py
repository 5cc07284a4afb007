"""trainer.insight.origin: when, from which revision, from which config."""

import subprocess
from datetime import datetime, timezone
from types import SimpleNamespace

from tiny_table import make_config

from trainer.insight import origin
from trainer.yaml_text import load_yaml


def test_config_and_times():
    config = make_config()
    evidence = SimpleNamespace(config=config, report={"seconds": {"total": 3600.0}})
    found = origin.produce(evidence)["origin"]
    assert load_yaml(found["config"], "test")["label"]["column"] == "y"
    assert found["towers"] == "both" and found["data"]["train"] == list(config.data.train)
    started, finished = (
        datetime.strptime(found[key], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=timezone.utc)
        for key in ("started", "finished")
    )
    assert (finished - started).total_seconds() == 3600
    assert abs((datetime.now(timezone.utc) - finished).total_seconds()) < 60


def test_a_long_config_is_cut(monkeypatch):
    monkeypatch.setattr(origin, "_MOST_CHARACTERS", 20)
    evidence = SimpleNamespace(config=make_config(), report={"seconds": {"total": 1.0}})
    text = origin.produce(evidence)["origin"]["config"]
    assert text.endswith("\n... the rest is in config.yaml\n") and len(text) < 60


def test_revision_of_a_checkout_and_of_none(tmp_path):
    assert origin.git_revision(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@e"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert origin.git_revision(tmp_path) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert origin.git_revision(tmp_path) == commit[:12]
    (tmp_path / "a").write_text("2")
    assert origin.git_revision(tmp_path) == f"{commit[:12]}-dirty"
    # A folder within that checkout, as of an installed trainer, is not at its revision.
    (tmp_path / "site-packages").mkdir()
    assert origin.git_revision(tmp_path / "site-packages") is None
