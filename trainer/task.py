"""The process: arguments and environment in, exit code out.

Exit codes: 0 done, 1 unexpected (a traceback), 2 a mistake of the user, 3 training failed, 75
interrupted after a checkpoint (start again to go on). 2, 3 and 75 end with one line on stderr. On
Vertex AI an interrupted process of a cluster ends by SIGABRT instead of 75.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping, MutableMapping, Sequence

from trainer import cli, flags, logs
from trainer.errors import Interrupted, UserError
from trainer.outcome import exit_code_of
from trainer.quick_imports import quick_imports
from trainer.vertex import VertexEnvironment, read_environment

logger = logging.getLogger("trainer.task")  # __name__ is __main__ here


def main(argv: Sequence[str], environ: MutableMapping[str, str]) -> int:
    """Run what the arguments say and give the exit code.

    Nothing else reads os.environ. TF_CPP_MIN_LOG_LEVEL is set in `environ`, if it is not, before
    TensorFlow is imported: 2 keeps errors and drops TensorFlow's notes.
    """
    return exit_code_of(lambda: _run(argv, environ), logs.say_last)


def _run(argv: Sequence[str], environ: MutableMapping[str, str]) -> None:
    if (text := flags.information(argv)) is not None:
        return print(text)
    invocation = cli.load_config(argv, environ)
    if invocation.print_config:
        return print(cli.config_yaml(invocation.config), end="")
    logs.set_up_logging(as_json=invocation.environment.is_cloud)
    logger.info("settings: %s", cli.describe_sources(invocation))
    if invocation.ignored:
        logger.warning("no meaning here, ignored: %s", ", ".join(invocation.ignored))
    environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with logs.without_native_notes(), quick_imports():
        from trainer import folds, model  # imports TensorFlow, seconds

    data = invocation.config.data
    run = folds.cross_validate if data.folds and not data.fold else model.train_and_evaluate
    run(invocation.config, invocation.environment)


def console_main() -> int:
    """Run the console script."""
    # Until training begins, which saves first. Not by an Exception: imports swallow those.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    exit_code = main(sys.argv[1:], os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    environment = _environment(os.environ)
    is_interrupted = exit_code == Interrupted.exit_code
    if is_interrupted and environment.is_distributed_on_vertex:
        # There any exit code but 134 and 139 of one replica is the end of the job, and those two
        # start it again: what one that lost its peer, or stopped with it, wants.
        # Source: Vertex AI, "Understand the custom training service", section on failures.
        os.abort()
    addresses = environment.cluster.addresses
    if "ps" in addresses or (is_interrupted and addresses):
        # Threads of TensorFlow wait for a lost process for ever, and Python's normal end for them.
        # Not after a synchronous run's good end: the others may still be hearing of it.
        os._exit(exit_code)
    return exit_code


def _environment(environ: Mapping[str, str]) -> VertexEnvironment:
    """The replica's environment; that of no replica where it is malformed, which was said."""
    try:
        return read_environment(environ)
    except UserError:
        return VertexEnvironment()


if __name__ == "__main__":
    sys.exit(console_main())
