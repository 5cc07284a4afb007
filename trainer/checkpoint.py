"""Save, find, restore and retire checkpoints: a folder each, complete or invisible.

A checkpoint `step-000000120/` holds TensorFlow's variables, `state.json` (what Python knows) and
`manifest.json` (names, sizes and CRC-32 of the others), which is committed last and deleted first:
a folder without it, or whose files do not match it, is passed over with a warning. Works on local
folders, /gcs/ and gs://.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from trainer import storage
from trainer.distribution import local_cpu, os_errors
from trainer.errors import UserError

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_STEP_DIR = re.compile(r"step-(\d{9})$")
_CHUNK_BYTES = 1 << 24


class CheckpointFolder:
    """The checkpoints of one run."""

    def __init__(
        self,
        directory: str,
        keep: int = 2,
        before_save: Callable[[], None] | None = None,
        scratch_dir: str | None = None,
    ):
        """Use `directory`, which need not exist yet, and keep the newest `keep` checkpoints.

        Args:
            directory: local or gs://.
            keep: how many.
            before_save: may raise to prevent a checkpoint; None for one who only reads.
            scratch_dir: for local copies on their way; None means the system's temporary folder.
        """
        self.directory = directory
        self._before_save = before_save
        self._keep = keep
        self._scratch_dir = scratch_dir

    def steps(self) -> list[int]:
        """Steps of the committed checkpoints, oldest first."""
        steps = self._folders()
        return [s for s in steps if storage.exists(storage.join(self._path(s), MANIFEST))]

    def save(self, step: int, variables: tf.train.Checkpoint, state: dict[str, Any]) -> None:
        """Write a checkpoint, then retire the oldest, and any of later steps.

        Raises:
            UserError: the disk is full or the folder cannot be written; older checkpoints stay.
        """
        if self._before_save is not None:
            self._before_save()
        with self._scratch_folder("save") as folder:
            _write(variables, str(folder / "variables"))
            (folder / "state.json").write_text(json.dumps(state, sort_keys=True))
            manifest = {file.name: [file.stat().st_size, _crc32(file)] for file in folder.iterdir()}
            (folder / MANIFEST).write_text(json.dumps(manifest, sort_keys=True))
            storage.commit_dir(str(folder), self._path(step), last=MANIFEST)
        steps = self.steps()
        # Later ones are damaged, since the run went on from before them; counted as the newest,
        # they would push this one out.
        kept = [s for s in steps if s <= step][-self._keep :]
        for found in self._folders():
            # Of later steps, too old, or left half-written by a kill.
            if found not in kept:
                self._remove(found)

    def discard(self) -> None:
        """Delete all checkpoints, and nothing else that is in the folder."""
        for step in self._folders():
            self._remove(step)
        storage.remove_if_empty(self.directory)

    def restore_latest(self, variables: tf.train.Checkpoint) -> dict[str, Any] | None:
        """Restore the newest intact checkpoint; its state, or None where there is none at all.

        Raises:
            UserError: all checkpoints are damaged: to begin again would throw away what may be
                mended, which is the user's to decide.
        """
        steps = self.steps()
        if self._before_save is not None:
            self._warn_of_incomplete(steps)
        problem = ""
        for step in reversed(steps):
            with self._scratch_folder("restore") as folder:
                problem = self._fetch(step, folder)
                if not problem:
                    _read(variables, str(folder / "variables"))
                    return json.loads((folder / "state.json").read_text())
            logger.warning(
                "checkpoint %s is damaged: %s; trying the one before", self._path(step), problem
            )
        if steps != self.steps():  # They were retired while they were read.
            return self.restore_latest(variables)
        if steps:
            raise UserError(
                f"no checkpoint in {self.directory} can be used, the last one tried is "
                f"{self._path(steps[0])}: {problem}. Put an intact copy there, or begin again from "
                "step 0 with --resume=restart"
            )
        return None

    def _remove(self, step: int) -> None:
        storage.remove(storage.join(self._path(step), MANIFEST))
        storage.remove(self._path(step))

    def _folders(self) -> list[int]:
        """Steps of all checkpoints, committed or not, oldest first."""
        matches = (_STEP_DIR.match(name.rstrip("/")) for name in storage.list_dir(self.directory))
        return sorted(int(match[1]) for match in matches if match)

    def _warn_of_incomplete(self, committed: list[int]) -> None:
        for step in self._folders():
            if step > max(committed, default=-1):
                logger.warning(
                    "checkpoint %s is incomplete: it has no %s, as after a kill while it was "
                    "written; it is not used",
                    self._path(step),
                    MANIFEST,
                )

    def _fetch(self, step: int, folder: Path) -> str:
        """Copy a checkpoint here; what is wrong with it, or '' if nothing is."""
        try:
            storage.fetch_dir(self._path(step), str(folder))
        except UserError as error:
            if step in self.steps():
                raise
            return str(error)  # It was retired meanwhile.
        return _problem(folder)

    @contextmanager
    def _scratch_folder(self, purpose: str) -> Iterator[Path]:
        """An empty local folder; a full disk beneath it is the user's to mend.

        A killed process leaves its folder, as large as a checkpoint. Who saves has the run's lock,
        so what it finds of an earlier save of the same run is nobody's any more.
        """
        parent = Path(self._scratch_dir or tempfile.gettempdir())
        is_remote = storage.is_remote(self.directory)
        place = self.directory if is_remote else os.path.abspath(self.directory)
        checksum = zlib.crc32(place.encode())
        prefix = f"trainer-{purpose}-{checksum:08x}-"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            if purpose == "save":
                for left in parent.glob(f"{prefix}*"):
                    shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder:
                yield Path(folder)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(
                f"cannot {purpose} a checkpoint by way of {parent}: {reason}; make room there, or "
                "name another data.scratch_dir"
            ) from error

    def _path(self, step: int) -> str:
        return storage.join(self.directory, f"step-{step:09d}")


def _write(variables: tf.train.Checkpoint, prefix: str) -> None:
    with os_errors():
        variables.write(prefix, tf.train.CheckpointOptions(experimental_io_device=local_cpu()))


def _read(variables: tf.train.Checkpoint, prefix: str) -> None:
    options = tf.train.CheckpointOptions(experimental_io_device=local_cpu())
    variables.read(prefix, options).assert_consumed()


def _problem(folder: Path) -> str:
    """What is wrong with a fetched checkpoint; '' if nothing is."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (ValueError, RecursionError):
        return f"{MANIFEST} is not JSON"
    try:
        entries = [(name, size, checksum) for name, (size, checksum) in manifest.items()]
    except (AttributeError, TypeError, ValueError):
        return f"{MANIFEST} does not list names, sizes and checksums"
    for name in ("state.json", "variables.index"):
        if name not in manifest:
            return f"{MANIFEST} does not list {name}"
    for name, size, checksum in entries:
        file = folder / name
        if not os.path.isfile(file):  # Path.exists raises for names that no file can have
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
