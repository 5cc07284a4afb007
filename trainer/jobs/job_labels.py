"""The labels of a job: which version of the trainer it runs, and what the user adds."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from trainer import __version__
from trainer.errors import UserError

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


def parse_labels(text: str) -> dict[str, str]:
    """The labels of a command line, `KEY=VALUE,...`, for argparse.

    >>> parse_labels("team=ads,run=3")
    {'team': 'ads', 'run': '3'}
    """
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(separator for _, separator, _ in pairs):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE,...; received {text!r}")
    return {key: value for key, _, value in pairs}


def merge_labels(*layers: Mapping[str, str]) -> dict[str, str]:
    """All labels, later layers over earlier ones.

    Raises:
        UserError: a key or a value that the service refuses.

    Source: Google Cloud, "Requirements for labels": at most 63 characters; other than ASCII
    letters are allowed there, and refused here since gcloud and shells differ on them.
    """
    labels = {str(key): str(value) for layer in layers for key, value in layer.items()}
    for key, value in labels.items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not _is_label(value):
            raise UserError(
                f"label {key}={value}: key and value must be at most 63 of a-z, 0-9, _ and -, and "
                "a key begins with a letter"
            )
    return labels


def _is_label(text: str) -> bool:
    return re.fullmatch(r"[a-z0-9_-]{0,63}", text) is not None


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
