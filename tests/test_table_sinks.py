"""trainer.table_sinks: what is written, against TensorFlow's own reading of it."""

import datetime
import decimal

import pyarrow as pa
import tensorflow as tf

from trainer.table_sinks import open_sink


def written_examples(path):
    return [
        {
            name: (
                feature.WhichOneof("kind"),
                list(getattr(feature, feature.WhichOneof("kind")).value),
            )
            for name, feature in tf.train.Example.FromString(record).features.feature.items()
        }
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]


def test_each_type_has_its_list_and_null_is_no_feature(tmp_path):
    table = pa.table(
        {
            "i": pa.array([1, None], pa.int16()),
            "b": [True, None],
            "f": pa.array([0.5, None]),
            "m": pa.array([decimal.Decimal("2.5"), None]),
            "s": ["ä", None],
            "c": pa.array(["x", None]).dictionary_encode(),
            "d": pa.array([datetime.date(2024, 2, 3), None]),
            "l": pa.array([[1.0, None], None]),
            "t": pa.array([["p", "q"], None], pa.list_(pa.large_string())),
        }
    )
    sink = open_sink(str(tmp_path / "a.tfrecord"), table.schema)

    sink.write(table)
    sink.close()

    first, second = written_examples(tmp_path / "a.tfrecord")
    missing = first.pop("l")
    assert first == {
        "i": ("int64_list", [1]),
        "b": ("int64_list", [1]),
        "f": ("float_list", [0.5]),
        "m": ("float_list", [2.5]),
        "s": ("bytes_list", ["ä".encode()]),
        "c": ("bytes_list", [b"x"]),
        "d": ("bytes_list", [b"2024-02-03"]),
        "t": ("bytes_list", [b"p", b"q"]),
    }
    assert missing[1][0] == 1.0 and missing[1][1] != missing[1][1]
    assert second == {}


def test_csv_of_several_writes_has_one_header(tmp_path):
    table = pa.table({"x": [1, 2], "c": pa.array(["a", None]).dictionary_encode()})
    sink = open_sink(str(tmp_path / "a.csv"), table.schema)

    sink.write(table)
    sink.write(table)
    sink.close()

    assert (tmp_path / "a.csv").read_text() == '"x","c"\n1,"a"\n2,\n1,"a"\n2,\n'
