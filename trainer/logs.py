"""What the process logs and how: lines for people, or JSON for Cloud Logging.

Everything goes to stdout: Vertex AI marks whatever comes on stderr as an error. On stderr stands
only the line that says why a run failed, and that only where logs are text. Secrets are hidden in
every line, see `redaction.py`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator

from trainer.redaction import shown

_NATIVE_NOTE = re.compile(r"I\d{4} |WARNING: All log messages before absl::InitializeLog\(\)")


class _StdoutHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in stubs only
    """Ours, so that a second set-up replaces it and leaves the handlers of others alone."""


class _JsonFormatter(logging.Formatter):
    """One object a line; Cloud Logging lifts `severity` out and shows `message`.

    Source: Vertex AI, "Training code requirements", section on structured logs.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        return json.dumps(
            {"severity": record.levelname, "message": shown(message), "logger": record.name}
        )


class _TextFormatter(logging.Formatter):
    """`12:34:56 message`, with the level before the message from warning on."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        if record.levelno >= logging.WARNING:
            record.message = f"{record.levelname.lower()}: {record.message}"
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))  # with the traceback


def set_up_logging(*, as_json: bool) -> None:
    """Log this package from INFO and other libraries from WARNING on, to stdout.

    Python warnings become log lines of one line each. May be called again.

    Args:
        as_json: for Vertex AI; else text.
    """
    handler = _StdoutHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter() if as_json else _TextFormatter())
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _StdoutHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("trainer").setLevel(logging.INFO)
    logging.captureWarnings(True)
    warnings.formatwarning = _format_warning


def say_last(level: int, text: str) -> None:
    """Say why the process ends: on stderr, or as one JSON entry where logs are JSON.

    A traceback on stderr would be an error of its own on each of its lines on Vertex AI.
    """
    handlers = logging.getLogger().handlers
    if any(isinstance(handler.formatter, _JsonFormatter) for handler in handlers):
        logging.getLogger("trainer").log(level, text)
    else:
        print(shown(text), file=sys.stderr)


@contextlib.contextmanager
def without_native_notes() -> Iterator[None]:
    """Hold back what native code writes on stderr, and let go what is more than a note.

    TensorFlow's C++ prints `I0000 ... oneDNN custom operations are on` while it is imported,
    whatever TF_CPP_MIN_LOG_LEVEL says (TensorFlow 2.21), and stderr is error on Vertex AI.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if not _NATIVE_NOTE.match(line):
                    print(shown(line), file=sys.stderr)


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Without the source line that Python adds."""
    return f"{category.__name__}: {' '.join(str(message).split())} ({filename}:{lineno})"
