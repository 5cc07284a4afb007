"""The errors that end a run with a line instead of a traceback, and their exit codes.

Only `task.py` turns these into an exit code; every other module raises them or lets them pass.
Any other exception keeps its traceback and exits 1. Imports the standard library only.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend: one line that says what is wrong, expected, received, to do.

    Example of form: `training.batch_size must be a multiple of 8 replicas; received 100.
    Use 96 or 104.`
    """

    exit_code = 2


class TrainingFailed(Exception):
    """Training ran and failed honestly (non-finite loss, export parity): nothing is exported."""

    exit_code = 3


class Interrupted(Exception):
    """The run stopped after a checkpoint (SIGTERM, lost peer): started again, it goes on.

    75 is EX_TEMPFAIL, "temporary failure, try again". Source: sysexits.h.
    """

    exit_code = 75


def nearest(name: str, valid: Iterable[str]) -> str:
    """Give the closest valid name as a phrase to append to an error, or '' when none is close.

    The answer does not depend on the order of `valid`, so a set may be passed.

    >>> nearest("batchsize", ["learning_rate", "batch_size"])
    "; did you mean 'batch_size'?"
    >>> nearest("zzz", ["learning_rate", "batch_size"])
    ''
    """
    close = difflib.get_close_matches(name, sorted(valid), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
