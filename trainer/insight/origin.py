"""When a run was made, with which revision of the trainer, and from which config."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

from trainer.cli import config_yaml
from trainer.insight.evidence import Evidence, Sections

# A config of thousands of columns would be most of the page; config.yaml has it whole.
_MOST_CHARACTERS = 40_000
_SECONDS_FOR_GIT = 5
_ROWS = {
    *("train", "validation", "test", "validation_fraction", "test_fraction", "split_column"),
    *("folds", "fold", "negative_keep", "limit_rows"),
}


def produce(evidence: Evidence) -> Sections:
    """`origin`: when, from what, and with which trainer.

    started, finished (UTC); git_revision where there is one; towers; data: the settings that say
    which rows are trained on and which are held out; config as YAML, cut where it is long.
    """
    finished = datetime.now(timezone.utc)
    text = config_yaml(evidence.config)
    if len(text) > _MOST_CHARACTERS:
        text = text[:_MOST_CHARACTERS] + "\n... the rest is in config.yaml\n"
    seconds = evidence.report["seconds"]["total"]
    revision = git_revision(Path(__file__).parents[2])
    return {
        "origin": {
            "started": f"{finished - timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S} UTC",
            "finished": f"{finished:%Y-%m-%d %H:%M:%S} UTC",
            **({"git_revision": revision} if revision else {}),
            "towers": evidence.config.model.towers,
            "data": evidence.config.data.model_dump(mode="json", include=_ROWS),
            "config": text,
        }
    }


def git_revision(root: Path) -> str | None:
    """The commit that a checkout of the trainer stands at, `-dirty` where files have changed.

    None where `root` is no checkout: an installed trainer may lie within that of something else.
    """
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_SECONDS_FOR_GIT
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
