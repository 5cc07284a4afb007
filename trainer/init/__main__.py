"""`python -m trainer.init`: arguments in, exit code out, as `trainer.task` does."""

from __future__ import annotations

import sys

from trainer.init import init_command
from trainer.outcome import exit_code_of

if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: init_command.main(sys.argv[1:])))
