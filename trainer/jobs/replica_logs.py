"""What the replicas of a local job print: tagged on the terminal, whole in a file for each."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import TextIO

# Cyan, green, magenta, blue, and their bright variants: red and yellow are for severities.
_TAG_COLOURS = (36, 32, 35, 34, 96, 92, 95, 94)
_SEVERITY_COLOURS = {"WARNING": 33, "ERROR": 31, "CRITICAL": 31}


class LogView:
    """Lines of several processes on one stream, each with the name of its replica before it."""

    def __init__(self, stream: TextIO, names: Sequence[str], *, use_colour: bool):
        """Lines go to `stream`; `names` are all replicas, in the order of their colours."""
        self._stream = stream
        self._width = max(map(len, names), default=0)
        self._colours = {name: _TAG_COLOURS[i % len(_TAG_COLOURS)] for i, name in enumerate(names)}
        self._use_colour = use_colour
        self._lock = threading.Lock()

    def show(self, name: str, line: str, *, is_stderr: bool) -> None:
        """Print a line of a replica as `worker-1 | WARNING message`."""
        severity, message = read_line(line, is_stderr=is_stderr)
        tag = self._paint(f"{name:<{self._width}} |", self._colours[name])
        colour = _SEVERITY_COLOURS.get(severity or "")
        prefix = f"{severity} " if severity else ""
        parts = message.splitlines() or [""]
        self._print("\n".join(f"{tag} {self._paint(prefix + part, colour)}" for part in parts))

    def note(self, text: str) -> None:
        """Print a line about the job itself."""
        self._print(self._paint(text, 1))

    def _paint(self, text: str, colour: int | None) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._use_colour and colour else text

    def _print(self, text: str) -> None:
        with self._lock:
            print(text, file=self._stream, flush=True)


def read_line(line: str, *, is_stderr: bool) -> tuple[str | None, str]:
    """Severity, where there is one, and message of a line, as Cloud Logging shows it.

    A line on stderr is an error, as Vertex AI takes it.

    >>> read_line('{"severity": "WARNING", "message": "slow"}', is_stderr=False)
    ('WARNING', 'slow')
    >>> read_line("slow", is_stderr=False), read_line("slow", is_stderr=True)
    ((None, 'slow'), ('ERROR', 'slow'))
    """
    if line.startswith("{"):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        if isinstance(record, dict) and isinstance(record.get("message"), str):
            default = "ERROR" if is_stderr else None
            return record.get("severity", default), record["message"]
    return "ERROR" if is_stderr else None, line
