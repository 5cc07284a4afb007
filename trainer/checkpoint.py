"""Save, find, restore and retire checkpoints: a folder each, complete or invisible.

A checkpoint `step-000000120/` holds TensorFlow's variables, `state.json` (what Python knows) and
`manifest.json` (names, sizes and CRC-32 of the others), which is committed last: a folder without
it, or whose files do not match it, is passed over with a warning. Works on local folders, /gcs/
and gs://.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from trainer import storage

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_STEP_DIR = re.compile(r"step-(\d{9})$")
_CHUNK_BYTES = 1 << 24


class CheckpointFolder:
    """The checkpoints of one run."""

    def __init__(
        self, directory: str, keep: int = 2, before_save: Callable[[], None] = lambda: None
    ):
        """Use `directory`, which need not exist yet, and keep the newest `keep` checkpoints.

        `before_save` may raise to prevent a checkpoint.
        """
        self.directory = directory
        self._before_save = before_save
        self._keep = keep

    def steps(self) -> list[int]:
        """Steps of the committed checkpoints, oldest first."""
        matches = (_STEP_DIR.match(name.rstrip("/")) for name in storage.list_dir(self.directory))
        steps = sorted(int(match[1]) for match in matches if match)
        return [s for s in steps if storage.exists(storage.join(self._path(s), MANIFEST))]

    def save(self, step: int, variables: tf.train.Checkpoint, state: dict[str, Any]) -> None:
        """Write a checkpoint, then retire the oldest, and any of later steps.

        Raises:
            UserError: the disk is full or the folder cannot be written; older checkpoints stay.
        """
        self._before_save()
        with tempfile.TemporaryDirectory(prefix="trainer-checkpoint-") as temporary:
            folder = Path(temporary)
            variables.write(str(folder / "variables"))
            (folder / "state.json").write_text(json.dumps(state, sort_keys=True))
            manifest = {file.name: [file.stat().st_size, _crc32(file)] for file in folder.iterdir()}
            (folder / MANIFEST).write_text(json.dumps(manifest, sort_keys=True))
            storage.commit_dir(str(folder), self._path(step), last=MANIFEST)
        steps = self.steps()
        # Later ones are damaged, since the run went on from before them; counted as the newest,
        # they would push this one out.
        kept = [s for s in steps if s <= step][-self._keep :]
        for name in storage.list_dir(self.directory):
            # Of later steps, too old, or left half-written by a kill.
            match = _STEP_DIR.match(name.rstrip("/"))
            if match and int(match[1]) not in kept:
                storage.remove(self._path(int(match[1])))

    def restore_latest(self, variables: tf.train.Checkpoint) -> dict[str, Any] | None:
        """Restore the newest intact checkpoint; its state, or None where there is none."""
        for step in reversed(self.steps()):
            with tempfile.TemporaryDirectory(prefix="trainer-checkpoint-") as temporary:
                folder = Path(temporary)
                storage.fetch_dir(self._path(step), temporary)
                problem = _problem(folder)
                if problem:
                    logger.warning(
                        "checkpoint %s is damaged: %s; trying the one before",
                        self._path(step),
                        problem,
                    )
                    continue
                variables.read(str(folder / "variables")).assert_consumed()
                return json.loads((folder / "state.json").read_text())
        return None

    def _path(self, step: int) -> str:
        return storage.join(self.directory, f"step-{step:09d}")


def _problem(folder: Path) -> str:
    """What is wrong with a fetched checkpoint; '' if nothing is."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except ValueError:
        return f"{MANIFEST} is not JSON"
    for name, (size, checksum) in manifest.items():
        file = folder / name
        if not file.exists():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes instead of {size}"
        if _crc32(file) != checksum:
            return f"{name} does not match its checksum"
    return ""


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
    return checksum
