"""trainer.remote_file: an object of an emulator as a stream."""

import io
import os

import numpy as np
import pytest

from trainer import cloud_files, storage
from trainer.errors import Interrupted, UserError
from trainer.remote_file import RemoteFile

CONTENT = np.random.default_rng(2).bytes(10_000)


@pytest.fixture
def path(emulator, tmp_path):
    path = f"{emulator}/{tmp_path.name}/a.bin"
    storage.write_bytes(path, CONTENT)
    return path


def open_remote(path, chunk_bytes=1024):
    return RemoteFile(path, chunk_bytes, lambda: storage.access("read", path))


def test_any_walk_through_it_reads_what_a_local_file_reads(path):
    rng = np.random.default_rng(3)
    local, remote = io.BytesIO(CONTENT), open_remote(path)
    for _ in range(60):
        place = int(rng.integers(0, len(CONTENT) + 1))
        whence = [os.SEEK_SET, os.SEEK_END][rng.integers(2)]
        offset = place if whence == os.SEEK_SET else place - len(CONTENT)
        assert remote.seek(offset, whence) == local.seek(offset, whence)
        for size in rng.integers(0, 3000, 2).tolist():
            assert remote.read(size) == local.read(size)
            assert remote.tell() == local.tell()
    assert remote.seek(7) == 7
    assert remote.read() == CONTENT[7:]
    assert remote.read() == remote.read(5) == b""
    assert remote.readable() and remote.seekable() and not remote.writable()
    remote.close()
    assert remote.closed


def test_absent_object_is_named(emulator):
    with pytest.raises(UserError, match=r"cannot read gs://bucket/none: it does not exist"):
        open_remote("gs://bucket/none")


def test_object_that_is_replaced_meanwhile_is_not_mixed(monkeypatch):
    flaky_storage = pytest.importorskip("flaky_storage")
    with flaky_storage.FlakyStorage() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        cloud_files.client.cache_clear()
        storage.write_bytes("gs://bucket/a", CONTENT)
        stream = open_remote("gs://bucket/a")
        assert stream.read(10) == CONTENT[:10]
        storage.write_bytes("gs://bucket/a", CONTENT[::-1])
        stream.seek(5000)
        with pytest.raises(UserError, match=r"cannot read gs://bucket/a: .* does not exist"):
            stream.read(10)
    cloud_files.client.cache_clear()


def test_answer_that_is_too_short_is_no_end_of_file(path, monkeypatch):
    stream = open_remote(path)
    monkeypatch.setattr(stream._stream, "read", lambda size: CONTENT[: size - 3])
    with pytest.raises(Interrupted, match=r"a.bin: .*3 bytes of the answer are missing"):
        stream.read(100)
