"""The labels of a job: which version of the trainer it runs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from trainer import __version__

_CHECKOUT = Path(__file__).resolve().parents[2]


def make_labels(environ: Mapping[str, str], checkout: Path = _CHECKOUT) -> dict[str, str]:
    """trainer_version and, where the code is from a git checkout, git_revision.

    A label has lower-case letters, digits, _ and - only, so 0.1.0 becomes 0-1-0. A checkout with
    uncommitted changes has -dirty after its revision.

    Args:
        environ: of the process, for git.
        checkout: the folder that the code is in.
    """
    labels = {"trainer_version": __version__.lower().replace(".", "-").replace("+", "-")}
    # Not the revision of a folder that merely surrounds an installed package.
    if _git(checkout, environ, "ls-files", "trainer/__init__.py"):
        revision = _git(checkout, environ, "rev-parse", "--short=12", "HEAD")
        is_dirty = _git(checkout, environ, "status", "--porcelain", "--untracked-files=no")
        if revision:
            labels["git_revision"] = f"{revision}-dirty" if is_dirty else revision
    return labels


def _git(checkout: Path, environ: Mapping[str, str], *arguments: str) -> str:
    """What git prints; '' where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments],
            env=dict(environ),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
