"""How a process ends: an exit code, and a line that says why; imports `errors` only."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from trainer.errors import Interrupted, TrainingFailed, UserError


def exit_code_of(run: Callable[[], None]) -> int:
    """Run to the end and give the exit code.

    0 done, 1 unexpected (a traceback), 2 a mistake of the user, 3 training failed, 75 interrupted
    (start again to go on). 2, 3 and 75 end with one line on stderr.
    """
    try:
        run()
    except (UserError, TrainingFailed, Interrupted) as error:
        kind = "interrupted" if isinstance(error, Interrupted) else "error"
        print(f"{kind}: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: at once, nothing is saved; start again to go on", file=sys.stderr)
        return Interrupted.exit_code
    except Exception:  # noqa: BLE001  # the process ends here, and says why
        traceback.print_exc()
        return 1
    return 0
