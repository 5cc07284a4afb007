"""trainer.row_files: rows come back in the blocks that were written, or not at all."""

import json
import os
import zlib

import numpy as np
import pytest
from tiny_table import cut

from trainer.row_files import Damaged, Manifest, RowFile, open_rows, write_rows

LENGTHS = (3, 0, 5, 2, 0)
WRITER = "0123456789abcdef" * 2


@pytest.fixture
def rows():
    """(10, 4) words, among them the bit patterns of NaN and -0.0."""
    words = np.random.default_rng(1).integers(-(2**31), 2**31, (10, 4)).astype(np.int32)
    words[:2, 3] = np.array([np.nan, -0.0], np.float32).view(np.int32)
    return words


@pytest.fixture
def written(tmp_path, rows):
    path = tmp_path / "train.rows"
    return path, write_rows(path, cut(rows, LENGTHS))


def test_file_is_the_words_and_its_description_says_how_they_are_cut(written, rows):
    path, file = written
    content = rows.astype("<i4").tobytes()
    assert path.read_bytes() == content
    assert file == RowFile(160, zlib.crc32(content), 4, LENGTHS)


@pytest.mark.parametrize("in_memory", [True, False])
def test_blocks_come_back_one_by_one_empty_ones_included(written, rows, in_memory):
    store = open_rows(*written, in_memory=in_memory)
    assert (store.kind, store.num_rows) == ("memory" if in_memory else "disk", 10)
    blocks = list(store.in_order())
    assert [len(block) for block in blocks] == list(LENGTHS)
    assert {(block.dtype, block.shape[1]) for block in blocks} == {(np.dtype(np.int32), 4)}
    assert np.concatenate(blocks).tolist() == rows.tolist()


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_file_may_be_deleted_once_it_is_open(written, rows, in_memory):
    store = open_rows(*written, in_memory=in_memory)
    written[0].unlink()
    assert np.concatenate(list(store.in_order())).tolist() == rows.tolist()


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: content + b"\0",
        lambda content: content[:77] + bytes([content[77] ^ 1]) + content[78:],
    ],
    ids=["short", "empty", "long", "one bit"],
)
def test_another_content_is_refused(written, damage, in_memory):
    path, file = written
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Damaged, match=r"^train.rows is not as it was written$"):
        open_rows(path, file, in_memory=in_memory)


def test_large_file_is_checked_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.row_files.CHUNK_BYTES", 1000)
    rows = np.arange(4000, dtype=np.int32).reshape(-1, 2)
    file = write_rows(tmp_path / "a", cut(rows, [999, 1001]))
    assert np.concatenate(
        list(open_rows(tmp_path / "a", file, in_memory=True).in_order())
    ).tolist() == (rows.tolist())
    os.truncate(tmp_path / "a", 15_000)
    with pytest.raises(Damaged):
        open_rows(tmp_path / "a", file, in_memory=True)


MANIFEST = Manifest(
    WRITER,
    7,
    {"train": RowFile(160, 5, 4, LENGTHS), "test": RowFile(16, 6, 4, (1,))},
    ((2, ("a.csv:3 bad", "a.csv:9 bad")),),
)


def test_manifest_is_read_as_it_was_written():
    again = Manifest.from_json(MANIFEST.to_json())
    assert again == MANIFEST
    assert list(again.parts) == ["train", "test"]
    assert again.megabytes == 176 / 2**20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"writer": ""}, "writer ''"),
        ({"writer": "../../elsewhere"}, "writer '../../elsewhere'"),
        ({"writer": 3}, "TypeError"),
        ({"parts": []}, "AttributeError"),
        ({"parts": {"train": {"num_bytes": 160}}}, "missing 3 required"),
        ({"bad_rows": [1]}, "TypeError"),
        ({"more": 1}, "more"),
    ],
)
def test_rubbish_is_no_manifest(change, message):
    text = json.dumps(json.loads(MANIFEST.to_json()) | change)
    with pytest.raises(Damaged, match=message):
        Manifest.from_json(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", MANIFEST.to_json()[:-20]])
def test_half_a_manifest_is_none(text):
    with pytest.raises(Damaged, match=r"^manifest.json: "):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 5}, "5 blocks do not make 160 bytes"),
        ({"num_bytes": 0}, "5 blocks do not make 0 bytes"),
        ({"block_rows": [3, 5]}, "2 blocks do not make 160 bytes"),
        ({"block_rows": 10}, "TypeError"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(change, message):
    values = json.loads(MANIFEST.to_json())
    values["parts"]["train"] |= change
    with pytest.raises(Damaged, match=message):
        Manifest.from_json(json.dumps(values))
