"""trainer.tfrecord_files: records of tf.Example against what was written into them."""

import gzip
import io
import logging

import numpy as np
import pytest
import tensorflow as tf

from trainer import tfrecord_files
from trainer.errors import UserError
from trainer.reader import BadRows, ReadColumn, Source, read_blocks
from trainer.tfrecord_files import TFRecordFile

COLUMNS = (
    ReadColumn("size", "float"),
    ReadColumn("color", "dictionary"),
    ReadColumn("floor", "int"),
    ReadColumn("v", "vector", size=2),
)


def feature(values):
    """A list of a tf.Example by the type of its first value."""
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(
        bytes_list=tf.train.BytesList(
            value=[v if isinstance(v, bytes) else v.encode() for v in values]
        )
    )


def record(**features):
    """A serialized tf.Example; [] is a feature without values."""
    found = {
        name: feature(values) if values else tf.train.Feature(float_list=tf.train.FloatList())
        for name, values in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=found)).SerializeToString()


def write(path, records):
    kind = "GZIP" if str(path).endswith(".gz") else ""
    with tf.io.TFRecordWriter(str(path), kind) as writer:
        for one in records:
            writer.write(one)
    return str(path)


def read(path, columns=COLUMNS, limit=0):
    """Columns of all blocks as Python lists, and the account of bad rows."""
    bad_rows = BadRows(limit)
    source = Source(files=(str(path),), columns=columns, open_tfrecord=TFRecordFile)
    blocks = list(read_blocks(source, bad_rows))
    found = {
        c.name: [value for b in blocks for value in b.columns[c.name].to_pylist()] for c in columns
    }
    found["row"] = [int(number) for b in blocks for number in b.row_numbers]
    return found, bad_rows


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecords.gz", "a.tfrecord-00000-of-00002"])
def test_features_are_read_and_missing_ones_are_missing(tmp_path, name):
    path = write(
        tmp_path / name,
        [
            record(size=[1.5], color=["grün"], floor=[3], v=[0.25, -1.0]),
            record(color=["red"], v=[2.0, 3.0]),
            record(size=[], color=[""], floor=[]),
            record(),
        ],
    )

    found, _ = read(path)

    assert found == {
        "size": [1.5, None, None, None],
        "color": ["grün", "red", None, None],
        "floor": [3, None, None, None],
        "v": [[0.25, -1.0], [2.0, 3.0], None, None],
        "row": [0, 1, 2, 3],
    }


def test_numbers_may_be_whole_and_categories_numbers(tmp_path):
    path = write(
        tmp_path / "a.tfrecord",
        [record(size=[2], color=[7], floor=[4.0], v=[1, 2]), record(size=[-3], color=[0])],
    )

    found, _ = read(path)

    assert found["size"] == [2.0, -3.0]
    assert found["color"] == ["7", "0"]
    assert found["floor"] == [4, None]
    assert found["v"] == [[1.0, 2.0], None]


def test_types_that_change_between_records_are_read_as_if_they_stood_alone(tmp_path):
    rows = [
        record(size=[1.5], color=["a"], floor=[2**62]),
        record(size=[2], color=[5], floor=[3.0]),
    ] * 3

    found, _ = read(write(tmp_path / "a.tfrecord", rows), COLUMNS[:3], limit=3)

    assert found["size"] == [1.5, 2.0] * 3
    assert found["color"] == ["a", "5"] * 3


def test_bad_records_have_their_number_and_reason(tmp_path):
    path = write(
        tmp_path / "a.tfrecord",
        [
            record(size=[1.0]),
            record(size=["1.5"]),
            record(color=[1.5]),
            b"\xff\xff no example",
            record(size=[1.0, 2.0]),
            record(v=[1.0, 2.0, 3.0]),
            record(floor=[1.5]),
            record(v=[float("inf"), 0.0]),
            record(color=[b"\xff"]),
            record(size=[float("-inf")]),
            record(size=[7.0]),
        ],
    )

    found, bad_rows = read(path, limit=9)

    assert found["size"] == [1.0, 7.0]
    assert found["row"] == [0, 10]
    assert [example.removeprefix(path) for example in bad_rows.examples] == [
        ":2 column size: a bytes_list instead of a float_list or int64_list",
        ":3 column color: a float_list instead of a bytes_list or int64_list",
        ":4 is no tf.Example",
        ":5 column size: 2 values instead of 1",
        ":6 column v: 3 values instead of 2",
        ":7 column floor: '1.5' is not a whole number",
        ":8 column v: [inf, 0.0] is not finite",
        ":9 column color: b'\\xff' is not UTF-8",
        ":10 column size: -inf is not a finite number",
    ]
    with pytest.raises(UserError, match=r"4 bad rows so far.*a.tfrecord:2 column size: a bytes_li"):
        read(path, (ReadColumn("size", "float"),))


def test_lists_of_texts_are_joined(tmp_path):
    path = write(
        tmp_path / "a.tfrecord",
        [record(tags=["a", "b"]), record(), record(tags=["c|d"]), record(tags=[3, 4])],
    )

    found, _ = read(path, (ReadColumn("tags", "string", delimiter="|"),))

    assert found["tags"] == ["a|b", None, "c|d", "3|4"]


def test_batches_depend_on_the_records_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecord_files, "BATCH_BYTES", 1)
    sizes = [float(i) for i in range(600)]
    path = write(tmp_path / "a.tfrecord", [record(size=[size]) for size in sizes])
    source = Source(files=(path,), columns=COLUMNS[:1], open_tfrecord=TFRecordFile)

    blocks = list(read_blocks(source, BadRows(0)))

    assert [b.num_rows for b in blocks] == [256, 256, 88]
    assert read(path, COLUMNS[:1])[0] == {"size": sizes, "row": list(range(600))}


def test_damage_is_one_line(tmp_path):
    path = write(tmp_path / "a.tfrecord", [record(size=[float(i)]) for i in range(50)])
    whole = (tmp_path / "a.tfrecord").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    damages = {
        whole[:-3]: "truncated record at",
        bytes(flipped): "corrupted record at",
        b"size\n1\n2\n3\n" * 9: "corrupted record at",
        gzip.compress(whole): "it is gzipped; name it .gz",
    }

    for content, reason in damages.items():
        (tmp_path / "b.tfrecord").write_bytes(content)
        with pytest.raises(UserError, match=reason) as caught:
            read(tmp_path / "b.tfrecord")
        assert "b.tfrecord is damaged, or no TFRecord file, within records 1 to" in str(
            caught.value
        )
        assert "\n" not in str(caught.value)
    (tmp_path / "c.tfrecord.gz").write_bytes(whole)
    with pytest.raises(UserError, match=r"it is not gzipped; drop the .gz"):
        read(tmp_path / "c.tfrecord.gz")
    (tmp_path / "d.tfrecord.gz").write_bytes(gzip.compress(whole)[:-30])
    with pytest.raises(UserError, match=r"d.tfrecord.gz is damaged"):
        read(tmp_path / "d.tfrecord.gz")
    assert path  # the whole one is untouched
    assert read(path)[0]["size"] == [float(i) for i in range(50)]


def test_no_records_and_unknown_features_are_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        found, _ = read(write(tmp_path / "empty.tfrecord", []))
        read(write(tmp_path / "b.tfrecord", [record(sice=[1.0])]), COLUMNS[:1])

    assert found["row"] == []
    assert "empty.tfrecord has no rows" in caplog.text
    assert "none of the first 1 records has a feature 'size'" in caplog.text
    assert "sice" in caplog.text


def test_remote_file_is_read_by_way_of_this_machine(tmp_path, monkeypatch):
    write(tmp_path / "a.tfrecord", [record(size=[4.0])])
    monkeypatch.setattr(tfrecord_files.storage, "is_remote", lambda path: path.startswith("gs://"))
    content = (tmp_path / "a.tfrecord").read_bytes()
    monkeypatch.setattr(tfrecord_files.storage, "open_read", lambda _: io.BytesIO(content))

    (rows,) = TFRecordFile("gs://bucket/a.tfrecord", COLUMNS[:1]).read()

    np.testing.assert_array_equal(rows.columns["size"].to_numpy(), np.float32([4.0]))
