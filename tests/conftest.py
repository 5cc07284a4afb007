"""Fixtures that several test files share."""

import logging
import os
import sys
import types
import warnings

import pytest
from hypothesis import HealthCheck, settings

from tests import warm_python
from trainer import cloud_files, parity


def pytest_addoption(parser):
    """`--fuzz_examples=N`: so many random inputs for each fuzz test, new ones each time."""
    parser.addoption("--fuzz_examples", type=int, default=0, help="inputs for each fuzz test")


def pytest_configure(config):
    """Hypothesis' profile of the fuzz tests; without the option, a few inputs that repeat."""
    num_examples = config.getoption("--fuzz_examples")
    settings.register_profile(
        "fuzz",
        max_examples=num_examples or 60,
        derandomize=not num_examples,
        database=None,
        deadline=None,  # tests/fuzzing.py has one that also ends a hang
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def emulator():
    """Cloud Storage in this process, with an empty `gs://bucket`."""
    server_module = pytest.importorskip("gcp_storage_emulator.server")
    server = server_module.create_server("localhost", 0, in_memory=True)
    server.start()
    patch = pytest.MonkeyPatch()
    patch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{server._api._httpd.server_port}")
    cloud_files.client.cache_clear()
    cloud_files.client().create_bucket("bucket")
    yield "gs://bucket"
    server.stop()
    patch.undo()
    cloud_files.client.cache_clear()


@pytest.fixture(autouse=True, scope="session")
def warm_proof():
    """Exports are proved by a process that need not import TensorFlow first; see `cold_proof`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "interpreter", warm_python.command)
        yield


@pytest.fixture
def cold_proof(monkeypatch):
    """Exports are proved as a user's are."""
    monkeypatch.setattr(parity, "interpreter", lambda: [sys.executable])


@pytest.fixture(autouse=True)
def unforgiving_report(monkeypatch):
    """A section of the report that fails, fails the test; a user's run would go on without it."""
    if insights := sys.modules.get("trainer.insight.insights"):
        monkeypatch.setattr(insights, "FORGIVEN", ())


@pytest.fixture
def no_export(monkeypatch):
    """Runs end without a SavedModel, most of their seconds; what each would have exported."""
    from trainer import model
    from trainer.export import ExportReport

    runs = []

    def export_run(config, datasets, program, model_dir, files):
        runs.append(types.SimpleNamespace(datasets=datasets, program=program, model_dir=model_dir))
        return ExportReport(0.0, 1, 0.0, model_dir)

    monkeypatch.setattr(model, "export_run", export_run)
    return runs


@pytest.fixture
def no_fsync(monkeypatch):
    """Nothing waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def restore_logging(monkeypatch):
    """Handlers, levels and warnings as they were, whatever a test sets up."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    levels = root.level, logging.getLogger("trainer").level
    yield
    root.setLevel(levels[0])
    logging.getLogger("trainer").setLevel(levels[1])
    logging.captureWarnings(False)


def pytest_terminal_summary(terminalreporter):
    """The table of faults: what was done to real processes, what had to happen, whether it did."""
    rows = []
    for outcome in ("passed", "failed", "error", "skipped"):
        for result in terminalreporter.stats.get(outcome, []):
            values = dict(getattr(result, "user_properties", ()))
            if "fault" in values and (result.when == "call" or outcome != "passed"):
                seconds = f"{result.duration:.0f} s"
                rows.append((outcome, values["fault"], values["expected"], seconds))
    if not rows:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    terminalreporter.section("faults")
    for row in sorted(rows, key=lambda row: row[1]):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        terminalreporter.write_line("  ".join(cells).rstrip())


@pytest.fixture(autouse=True)
def _note_the_fault(request):
    """Hand `@pytest.mark.faults(FAULT, EXPECTED)` to the summary, from whatever process."""
    mark = request.node.get_closest_marker("faults")
    if mark is not None:
        fault, expected = mark.args
        case = getattr(request.node, "callspec", None)
        request.node.user_properties += [
            ("fault", f"{fault} ({case.id})" if case else fault),
            ("expected", expected),
        ]
