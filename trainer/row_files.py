"""Files of packed rows: the int32 words of one block after another, without a header.

What a reader must know besides, the length of each block and a checksum, is in a `Manifest`. Knows
local paths only. May not import TensorFlow.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trainer.data_files import Part
from trainer.row_stores import MEGABYTE, BlockStore, FileBlocks

CHUNK_BYTES = 8 << 20


class Damaged(Exception):
    """A file, or what is known of it, is not as it was written."""


@dataclass(frozen=True)
class RowFile:
    """What was written: bytes and their CRC-32, words of 32 bits in a row, rows of each block."""

    num_bytes: int
    crc32: int
    width: int
    block_rows: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """What was written together.

    Attributes:
        writer: the folder of the files, 32 hexadecimal digits.
        statistics_crc32: CRC-32 of statistics.json.
        parts: the rows of each part of the data, in <part>.rows.
        bad_rows: of each file set that had any: how many, and the first as texts.
    """

    writer: str
    statistics_crc32: int
    parts: dict[Part, RowFile]
    bad_rows: tuple[tuple[int, tuple[str, ...]], ...]

    @property
    def megabytes(self) -> float:
        """Of all rows."""
        return sum(rows.num_bytes for rows in self.parts.values()) / MEGABYTE

    def to_json(self) -> str:
        """A text from which `from_json` makes an equal object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """What `to_json` gave.

        Raises:
            Damaged: the text is another, or its numbers contradict each other.
        """
        try:
            values = json.loads(text)
            parts = {name: _row_file(**rows) for name, rows in values.pop("parts").items()}
            bad_rows = tuple((int(n), tuple(texts)) for n, texts in values.pop("bad_rows"))
            # It is a path that may be deleted, so it is nothing else.
            if not re.fullmatch("[0-9a-f]{32}", values["writer"]):
                raise ValueError(f"writer {values['writer']!r}")
            return cls(parts=parts, bad_rows=bad_rows, **values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(f"manifest.json: {type(error).__name__}: {error}") from error


def write_rows(path: Path, blocks: Iterable[np.ndarray]) -> RowFile:
    """Write (R, W) int32 blocks, empty ones included."""
    num_bytes = crc32 = width = 0
    block_rows = []
    with open(path, "wb") as file:
        for block in blocks:
            data = block.tobytes()
            file.write(data)
            num_bytes, crc32 = num_bytes + len(data), zlib.crc32(data, crc32)
            width = block.shape[1]
            block_rows.append(len(block))
    return RowFile(num_bytes, crc32, width, tuple(block_rows))


def open_rows(path: Path, expected: RowFile, *, in_memory: bool) -> BlockStore:
    """The rows of a file with the blocks that were written, checked as a whole.

    Args:
        path: of the file.
        expected: what was written.
        in_memory: read the file now; else it stays open, may be deleted, and a block is read when
            it is asked for.

    Raises:
        Damaged: the content is another.
        OSError: the file cannot be read.
    """
    if in_memory:
        with open(path, "rb") as stream:
            return BlockStore(_read_blocks(stream, expected), expected.block_rows, "memory")
    file = open(path, "rb")  # noqa: SIM115
    for _ in _checked(file, expected):
        pass
    return BlockStore(
        FileBlocks(file, expected.block_rows, expected.width), expected.block_rows, "disk"
    )


def _row_file(num_bytes: int, crc32: int, width: int, block_rows: Sequence[int]) -> RowFile:
    if not num_bytes or num_bytes != 4 * width * sum(block_rows):
        raise ValueError(f"{len(block_rows)} blocks do not make {num_bytes} bytes")
    return RowFile(num_bytes, crc32, width, tuple(block_rows))


def _read_blocks(stream: BinaryIO, expected: RowFile) -> list[np.ndarray]:
    words = np.empty(expected.num_bytes // 4, np.int32)
    octets = words.view(np.uint8)
    start = 0
    for chunk in _checked(stream, expected):
        octets[start : start + len(chunk)] = np.frombuffer(chunk, np.uint8)
        start += len(chunk)
    return np.split(words.reshape(-1, expected.width), np.cumsum(expected.block_rows)[:-1])


def _checked(stream: BinaryIO, expected: RowFile) -> Iterator[bytes]:
    """The content in chunks, never more than expected."""
    num_bytes = crc32 = 0
    while chunk := stream.read(CHUNK_BYTES):
        num_bytes, crc32 = num_bytes + len(chunk), zlib.crc32(chunk, crc32)
        if num_bytes > expected.num_bytes:
            break
        yield chunk
    if (num_bytes, crc32) != (expected.num_bytes, expected.crc32):
        raise Damaged(f"{Path(stream.name).name} is not as it was written")
