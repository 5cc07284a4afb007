"""An object of Cloud Storage as a stream of bytes, for `storage.open_read`.

Imports cloud_files and the standard library.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from trainer import cloud_files


class RemoteFile(io.BufferedIOBase):
    """Reads one version of an object: one that is replaced meanwhile fails, and is never mixed."""

    def __init__(
        self, path: str, chunk_bytes: int, access: Callable[[], AbstractContextManager[None]]
    ):
        """Look the object up.

        Args:
            path: gs://...
            chunk_bytes: of a request, at least.
            access: turns the errors of the Google client into those of the project; whoever reads
                the stream, Arrow too, gets these.
        """
        self._access = access
        with access():
            blob = cloud_files.find_blob(path)  # It carries its generation.
            self._size = int(blob.size)
            self._stream: Any = blob.open("rb", chunk_size=chunk_bytes, **cloud_files.patience())

    def read(self, size: int | None = -1) -> bytes:
        """That many bytes, fewer only at the end; all the rest without a size."""
        wanted = self._size - self.tell()
        if size is not None and size >= 0:
            wanted = min(size, wanted)
        with self._access():
            data: bytes = self._stream.read(wanted) if wanted > 0 else b""
            if len(data) < wanted:
                # The oldest urllib3 does not notice that an answer was cut.
                raise ConnectionError(f"{wanted - len(data)} bytes of the answer are missing")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go there, at most to the end."""
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        """Bytes from the start."""
        return int(self._stream.tell())

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True
