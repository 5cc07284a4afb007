"""The errors that end a run with a line instead of a traceback, and their exit codes.

Only `task.py` turns these into an exit code; every other module raises them or lets them pass.
Any other exception keeps its traceback and exits 1. Imports the standard library only.
"""

import difflib
from collections.abc import Iterable
from itertools import islice

# Room for ten bad rows with their paths. What a file has in a cell may be megabytes.
MAX_CHARACTERS = 2000


class UserError(Exception):
    """A mistake the user can mend: one line that says what is wrong, expected, received, to do.

    Example of form: `training.batch_size must be a multiple of 8 replicas; received 100.
    Use 96 or 104.`
    """

    exit_code = 2

    def __init__(self, message: str):
        """Take the message as one printable line, whatever a file or a library put into it."""
        super().__init__(one_line(message))


class TrainingFailed(Exception):
    """Training ran and failed honestly (non-finite loss, export parity): nothing is exported."""

    exit_code = 3


class Interrupted(Exception):
    """The run stopped after a checkpoint (SIGTERM, lost peer): started again, it goes on.

    75 is EX_TEMPFAIL, "temporary failure, try again". Source: sysexits.h.
    """

    exit_code = 75


def one_line(text: str) -> str:
    r"""The text on one line, what cannot be printed escaped, the middle of a long one left out.

    >>> one_line("no column \x1b[2J\n  in a.csv")
    'no column \\x1b[2J in a.csv'
    """
    if len(text) > MAX_CHARACTERS:
        text = f"{text[: MAX_CHARACTERS * 3 // 4]} ... {text[-MAX_CHARACTERS // 5 :]}"
    words = " ".join(text.split())
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in words)


def quoted(value: object, limit: int = 60) -> str:
    """`repr(value)` for a message, cut where it is long.

    >>> quoted("a" * 10, limit=5), quoted([1, 2])
    ("'aaaa...", '[1, 2]')
    """
    if isinstance(value, str | bytes):
        value = value[: limit + 1]  # the escapes of megabytes would take seconds
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def listed(names: Iterable[str]) -> str:
    """The first twenty names for a message, each cut where it is long.

    >>> listed(["a", "b" * 50])
    'a, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb...'
    """
    first = list(islice(names, 21))
    shown = [name if len(name) <= 40 else f"{name[:30]}..." for name in first[:20]]
    return ", ".join([*shown, "..."] if len(first) > 20 else shown)


def nearest(name: str, valid: Iterable[str]) -> str:
    """Give the closest valid name as a phrase to append to an error, or '' when none is close.

    One that differs by case or by spaces around it alone is the closest. The answer does not depend
    on the order of `valid`, so a set may be passed.

    >>> nearest("batchsize", ["learning_rate", "batch_size"])
    "; did you mean 'batch_size'?"
    >>> nearest("zzz", ["learning_rate", "batch_size"])
    ''
    """
    names = sorted(valid)
    folded = name.strip().casefold()
    close = [other for other in names if other.strip().casefold() == folded]
    close = close or difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
