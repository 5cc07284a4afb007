"""Fixtures that several test files share."""

import logging
import warnings

import pytest

from trainer import cloud_files


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
