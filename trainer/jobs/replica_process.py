"""One process of a local job: started so that it never outlives this one, its output read."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from trainer.jobs.replica_logs import read_line

# Runs before the command, in its process: the kernel kills it when the thread that started it ends,
# however that happens. A preexec_fn would do the same, but may hang where there are threads.
# 1 is PR_SET_PDEATHSIG, Linux only.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(137)
os.execv(sys.argv[2], sys.argv[2:])
"""
# The rest of the output of a process that ended; longer only where another process holds the pipe.
_DRAIN_SECONDS = 5.0


class ReplicaProcess:
    """A process in a group of its own; Ctrl-C on the terminal does not reach it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        cwd: str,
        log_path: str,
        show: Callable[[str, bool], None],
    ):
        """Start.

        Args:
            command: the program's path and its arguments.
            environ: its whole environment.
            cwd: the folder that it starts in.
            log_path: what it prints is put at the end of this file.
            show: gets each line, and whether it came on stderr, from threads. What a process that
                is told to end has to say about that is in the file alone, but for the line that
                begins with `interrupted:`.
        """
        self._show = show
        self._lock = threading.Lock()
        self._last_error: str | None = None
        self._is_ending = False
        # Unbuffered: what was printed before this process is killed is in the file.
        self._log = open(log_path, "ab", buffering=0)  # noqa: SIM115  # closed in poll()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _DIE_WITH_PARENT, str(os.getpid()), *command],
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, is_stderr), daemon=True)
            for stream, is_stderr in (
                (self._process.stdout, False),
                (self._process.stderr, True),
            )
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Process id, and id of its group."""
        return self._process.pid

    @property
    def last_error(self) -> str | None:
        """The last message of severity ERROR, the cause where the process failed."""
        return self._last_error

    def poll(self) -> int | None:
        """Exit code once it has ended, of a signal as a shell gives it (137: SIGKILL), else None.

        What it left running is killed then.
        """
        code = self._process.poll()
        if code is None:
            return None
        if not self._log.closed:
            self._signal(signal.SIGKILL)
            for reader in self._readers:
                reader.join(_DRAIN_SECONDS)
            self._log.close()
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM)."""
        if self._process.poll() is None:
            self._is_ending = True
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it started; returns when it has ended."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self.poll()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _read(self, stream: IO[bytes], is_stderr: bool) -> None:
        with stream:
            for raw in stream:
                with self._lock, contextlib.suppress(ValueError):  # closed: it ended long ago
                    self._log.write(raw)
                line = raw.decode(errors="replace").rstrip("\r\n")
                severity, message = read_line(line, is_stderr=is_stderr)
                if severity in ("ERROR", "CRITICAL") and message.strip():
                    self._last_error = message.strip().splitlines()[-1]
                if not (self._is_ending and is_stderr) or message.startswith("interrupted:"):
                    self._show(line, is_stderr)
