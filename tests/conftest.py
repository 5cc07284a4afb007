"""Fixtures that several test files share."""

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
