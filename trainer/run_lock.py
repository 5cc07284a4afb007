"""One run at a time in one folder.

A local folder is locked through the system (flock), which lets go when the process dies, however it
dies. In a bucket an object LOCK is made, on condition that there is none, and renewed by a thread;
one that is not renewed any more is taken over. No clocks are compared: a newcomer watches whether
the object changes, and counts only looks that were answered, so that an outage of the bucket is not
taken for the holder's silence. A job that Vertex AI starts again knows its own lock and does not
wait.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from trainer import cloud_files, storage
from trainer.errors import UserError

logger = logging.getLogger(__name__)

RENEWAL_SECONDS = 15.0
# Four renewals missed: more than a slow request, less than a user waits for.
PATIENCE_SECONDS = 60.0


def owner_name(job_id: str | None) -> str:
    """What a lock calls this process: a job of Vertex AI by its id, else process and machine."""
    return f"job {job_id}" if job_id else f"process {os.getpid()} on {platform.node()}"


class RunLock:
    """The right to write in a folder, held within a `with` block."""

    def __init__(
        self,
        path: str,
        owner: str,
        *,
        renewal_seconds: float = RENEWAL_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ):
        """Prepare; nothing is taken yet.

        Args:
            path: of the lock, local or gs://.
            owner: who holds it, for the message to others. One that begins with `job ` is the same
                run in whatever process.
            renewal_seconds: between renewals of a lock in a bucket.
            patience_seconds: without a renewal after which it counts as left behind.
        """
        self._path, self._owner = path, owner
        self._renewal_seconds, self._patience_seconds = renewal_seconds, patience_seconds
        self._file: TextIO | None = None
        self._writer = uuid.uuid4().hex  # A restarted job has its owner's name, and is another.
        self._generation = 0
        self._renewed_at = 0.0
        self._renewing = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_lost = False

    def __enter__(self) -> RunLock:
        """Take the lock.

        Raises:
            UserError: another run has it; names it.
        """
        if storage.is_remote(self._path):
            self._take_object()
            self._thread = threading.Thread(target=self._renew, name="run lock", daemon=True)
            self._thread.start()
        else:
            self._take_file()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock back."""
        if self._file is not None:
            Path(self._path).unlink(missing_ok=True)
            self._file.close()
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            if not self._is_lost:
                _ignoring_refusals(
                    lambda: cloud_files.delete(
                        self._path, self._generation, seconds=self._renewal_seconds
                    )
                )

    def check(self) -> None:
        """Make sure that the lock is still held; call it before anything is written.

        Raises:
            UserError: another run has taken it over.
            Interrupted: the bucket does not answer.
        """
        is_late = time.monotonic() - self._renewed_at > 2 * self._renewal_seconds
        if self._thread is not None and is_late:
            # This process, or the bucket, was away: somebody may have taken over meanwhile.
            with storage.access("write", self._path):
                self._write_again(seconds=None)
        if self._is_lost:
            raise UserError(
                f"{self._path.rpartition('/')[0]} was taken over by another run, since this one "
                f"could not renew its lock for {self._patience_seconds:g} s; nothing more is "
                "written. Use another --job_dir"
            )

    def _take_file(self) -> None:
        with storage.access("write", self._path):
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            self._file = self._lock_file()

    def _lock_file(self) -> TextIO:
        while True:
            file = open(self._path, "a+", encoding="utf-8")  # noqa: SIM115  # held until __exit__
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read() or "another process"
                file.close()
                raise self._refusal(holder) from error
            except OSError:  # A file system without locks, such as a mounted bucket.
                logger.warning("%s cannot be locked; start no second run there", self._path)
            if _is_same_file(file, self._path):
                file.truncate(0)
                file.write(self._owner)
                file.flush()
                return file
            file.close()  # Its holder has just removed it.

    def _take_object(self) -> None:
        with storage.access("write", self._path):
            taken = self._write(generation=0)
            if taken is None:
                taken = self._write(generation=self._wait_for_silence())
        if taken is None:
            raise self._refusal("another run")
        self._generation, self._renewed_at = taken, time.monotonic()

    def _write(self, generation: int, seconds: float | None = None) -> int | None:
        content = json.dumps({"owner": self._owner}).encode()
        return cloud_files.upload_if(
            self._path, content, generation=generation, writer=self._writer, seconds=seconds
        )

    def _wait_for_silence(self) -> int:
        """Wait until the holder has stopped renewing, if it is not this very job.

        Returns:
            The generation of what it left behind; 0 where that is gone.

        Raises:
            UserError: it has renewed its lock.
        """
        holder, generation = self._read_holder()
        if not generation or (self._owner.startswith("job ") and holder == self._owner):
            return generation
        logger.info(
            "%s is held by %s; waiting up to %.0f s for a sign of it",
            self._path,
            holder,
            self._patience_seconds,
        )
        pause = min(self._renewal_seconds, self._patience_seconds) / 3
        for _look in range(round(self._patience_seconds / pause)):
            time.sleep(pause)
            _, now = self._read_holder()
            if now not in (0, generation):
                raise self._refusal(holder)
            if not now:
                return 0
        return generation

    def _read_holder(self) -> tuple[str, int]:
        """The holder and the generation of the lock; '' and 0 where there is none."""
        try:
            generation = int(cloud_files.find_blob(self._path).generation)
            with storage.access("read", self._path):
                # Of whatever generation: it may be renewed at this moment.
                blob = cloud_files.new_blob(self._path)
                text = blob.download_as_text(**cloud_files.patience())
            return str(json.loads(text)["owner"]), generation
        except FileNotFoundError:
            return "", 0
        except (UserError, ValueError, KeyError, TypeError):
            # Gone between the two requests, or nothing that a run has written.
            return "another run", generation

    def _renew(self) -> None:
        while not self._over.wait(self._renewal_seconds) and not self._is_lost:
            # Not for longer: after an outage the next try must come before a newcomer's patience
            # is over.
            _ignoring_refusals(lambda: self._write_again(seconds=self._renewal_seconds))

    def _write_again(self, seconds: float | None) -> None:
        with self._renewing:
            if self._is_lost:
                return
            kept = self._write(self._generation, seconds)
            self._is_lost = kept is None
            if kept is not None:
                self._generation, self._renewed_at = kept, time.monotonic()

    def _refusal(self, holder: str) -> UserError:
        folder = self._path.rpartition("/")[0]
        return UserError(
            f"{folder} is being written by {holder}; wait for its end, or use another --job_dir"
        )


def _is_same_file(file: TextIO, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _ignoring_refusals(request: Callable[[], None]) -> None:
    """A request that may fail: the next renewal, or the patience of others, makes up for it."""
    try:
        request()
    except Exception as error:
        is_known = cloud_files.refusal(error) or cloud_files.absence(error)
        if not is_known and not isinstance(error, (OSError, UserError)):
            raise
        logger.warning("the run lock was not renewed or given back: %s", error)
