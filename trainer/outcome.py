"""How a process ends: an exit code, and a line that says why, with secrets hidden."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable

from trainer.errors import Interrupted, TrainingFailed, UserError, one_line
from trainer.redaction import shown


def say_on_stderr(level: int, text: str) -> None:
    """Print a text; the level has no effect."""
    print(shown(text), file=sys.stderr)


def exit_code_of(run: Callable[[], None], say: Callable[[int, str], None] = say_on_stderr) -> int:
    """Run to the end and give the exit code.

    0 done, 1 unexpected (a traceback), 2 a mistake of the user, 3 training failed, 75 interrupted
    (start again to go on). The last line says why, whatever the code.

    Args:
        run: the work.
        say: `say(level, text)` tells the reason, with a level of `logging`.
    """
    try:
        run()
    except (UserError, TrainingFailed) as error:
        say(logging.ERROR, f"error: {one_line(str(error))}")
        return error.exit_code
    except Interrupted as error:
        say(logging.WARNING, f"interrupted: {one_line(str(error))}")
        return error.exit_code
    except KeyboardInterrupt:
        say(logging.WARNING, "interrupted: at once, nothing is saved; start again to go on")
        return Interrupted.exit_code
    except Exception as error:  # noqa: BLE001  # the process ends here, and says why
        say(logging.ERROR, traceback.format_exc().rstrip())
        name = type(error).__name__
        say(
            logging.ERROR,
            f"error: unexpected {name}: {one_line(str(error)[:300])}; see the lines above",
        )
        return 1
    return 0
