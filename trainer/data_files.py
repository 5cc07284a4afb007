"""The files of a run: which they are, and how to know them again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Literal

from trainer import sample, storage
from trainer.data_config import DataConfig
from trainer.errors import UserError

Part = Literal["train", "validation", "test"]


SAMPLE_PREFIX = "sample:"


def find_files(data: DataConfig, sample_dir: str) -> dict[Part, tuple[str, ...]]:
    """Files of each part of the data that the config names; writes the embedded sample if asked.

    Args:
        data: the patterns.
        sample_dir: where the sample goes; a remote one is replaced by a local scratch folder.

    Raises:
        UserError: a pattern matches nothing.
    """
    patterns: dict[Part, tuple[str, ...]] = {
        "train": data.train,
        "validation": data.validation,
        "test": data.test,
    }
    if any(p.startswith(SAMPLE_PREFIX) for found in patterns.values() for p in found):
        if storage.is_remote(sample_dir):
            sample_dir = str(Path(data.scratch_dir or tempfile.gettempdir()) / "trainer-sample")
        sample.write_sample(sample_dir)
    files: dict[Part, tuple[str, ...]] = {}
    for part, found in patterns.items():
        if found:
            local = (_sample_pattern(p, sample_dir) for p in found)
            files[part] = tuple(file for p in local for file in storage.list_files(p))
    return files


def _sample_pattern(pattern: str, sample_dir: str) -> str:
    if not pattern.startswith(SAMPLE_PREFIX):
        return pattern
    name = pattern.removeprefix(SAMPLE_PREFIX)
    if name not in ("train", "valid", "test"):
        raise UserError(
            f"the embedded sample has sample:train, sample:valid and sample:test; received "
            f"{pattern!r}"
        )
    return storage.join(sample_dir, f"{name}*.csv")


def fingerprints(data: DataConfig, files: dict[Part, tuple[str, ...]]) -> dict[str, str]:
    """What is in each file, by path: the same for a copy on another machine.

    A file of the embedded sample goes by its name, for each run writes it to a place of its own.
    """
    found = {}
    for part, paths in files.items():
        has_sample = any(p.startswith(SAMPLE_PREFIX) for p in getattr(data, part))
        for path in paths:
            name = os.path.basename(path)
            is_sample = has_sample and name in sample.NUM_ROWS_BY_FILE
            key = f"{SAMPLE_PREFIX}{name}" if is_sample else path
            found[key] = storage.content_fingerprint(path)
    return found
