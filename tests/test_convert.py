"""trainer.convert: a table goes through every format and comes back as it was."""

import gzip
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from trainer.config import parse_config
from trainer.convert import convert, main
from trainer.errors import UserError

CONFIG = parse_config(
    {
        "columns": {
            "size": "numeric",
            "color": "categorical",
            "floor": {"kind": "identity", "size": 100},
            "v": {"kind": "vector", "size": 3},
            "tags": {"kind": "multi_hot", "delimiter": "|"},
        },
        "label": {"column": "answer", "task": "binary"},
    },
    "test",
)
TYPED = pa.table(
    {
        "size": pa.array([1.5, None, -0.1, 3e38] * 50, pa.float32()),
        "color": ['grün, "dunkel"', None, "日本\nzwei", "a"] * 50,
        "floor": pa.array([3, 0, None, 99] * 50, pa.int64()),
        "v": pa.array(
            [[0.1, -2.0, 1e-30], None, [1.0, 2.0, 3.0], [4.0, 5.5, 6.25]] * 50,
            pa.list_(pa.float32(), 3),
        ),
        "tags": ["a|b", "c", None, "d|d|e"] * 50,
        "answer": pa.array([0.0, 1.0, 1.0, 0.0] * 50, pa.float32()),
    }
)


def read_all(paths):
    return pa.concat_tables([pa.parquet.read_table(path) for path in paths])


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tfrecord", "tfrecord.gz", "parquet"])
def test_round_trip_with_a_config_gives_every_value_back(tmp_path, suffix):
    start, middle, end = tmp_path / "a.parquet", tmp_path / f"b.{suffix}", tmp_path / "c.parquet"
    pa.parquet.write_table(TYPED, start)

    convert([str(start)], str(middle), config=CONFIG)
    convert([str(middle)], str(end), config=CONFIG)

    assert pa.parquet.read_table(end).equals(TYPED)
    if suffix.endswith(".gz"):
        assert gzip.decompress(middle.read_bytes())


@pytest.mark.parametrize("suffix", ["tfrecord", "csv"])
def test_round_trip_without_a_config_keeps_numbers_texts_and_lists(tmp_path, suffix):
    table = TYPED.select(["size", "color", "floor", "v", "tags"])
    if suffix == "csv":  # which has no lists
        table = table.drop_columns(["v"])
    pa.parquet.write_table(table, tmp_path / "a.parquet")

    convert([str(tmp_path / "a.parquet")], str(tmp_path / f"b.{suffix}"))
    convert([str(tmp_path / f"b.{suffix}")], str(tmp_path / "c.parquet"))

    found = pa.parquet.read_table(tmp_path / "c.parquet").select(table.column_names)
    assert found.to_pylist() == (
        table.to_pylist()
        if suffix == "tfrecord"
        # A CSV has its numbers as float64 without a config.
        else table.set_column(0, "size", pa.array([1.5, None, -0.1, 3e38] * 50)).to_pylist()
    )


def test_shards_hold_the_rows_in_order(tmp_path):
    table = pa.table({"x": list(range(25)), "t": [["a", f"{i}"] for i in range(25)]})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    heard = []

    written = convert(
        [str(tmp_path / "a.parquet")],
        str(tmp_path / "out" / "s-*.parquet"),
        rows_per_shard=10,
        report=heard.append,
    )

    assert [os.path.basename(path) for path in written] == [f"s-{i:05d}.parquet" for i in range(3)]
    assert [pa.parquet.read_metadata(path).num_rows for path in written] == [10, 10, 5]
    assert read_all(written).to_pylist() == table.to_pylist()
    assert heard == [25]


def test_csv_is_written_as_training_reads_it(tmp_path):
    table = pa.table({"v": [[1.0, None], [0.5, 2.0], None], "t": [["a", "b"], [], None]})
    pa.parquet.write_table(table, tmp_path / "a.parquet")

    convert([str(tmp_path / "a.parquet")], str(tmp_path / "a.csv"))

    assert (tmp_path / "a.csv").read_text() == '"v","t"\n"[1, nan]","a|b"\n"[0.5, 2]",""\n,\n'


def test_texts_of_csv_that_are_no_numbers_stay_as_they_are(tmp_path):
    (tmp_path / "a.csv").write_text("d,b,x\n2024-01-02,True,1\n2024-01-03,false,2\n")

    convert([str(tmp_path / "a.csv")], str(tmp_path / "a.tfrecord"))
    convert([str(tmp_path / "a.tfrecord")], str(tmp_path / "b.csv"))

    assert pa.csv.read_csv(
        tmp_path / "b.csv", convert_options=pa.csv.ConvertOptions(column_types={"b": pa.string()})
    )["b"].to_pylist() == ["True", "false"]
    assert '"2024-01-03"' in (tmp_path / "b.csv").read_text()


def test_nothing_is_left_of_a_conversion_that_fails(tmp_path):
    (tmp_path / "a.csv").write_text("x\n" + "1\n" * 600_000 + "one\n")

    with pytest.raises(UserError, match=r"cannot read .*a.csv: .*; a --config says delimiter"):
        convert([str(tmp_path / "a.csv")], str(tmp_path / "out" / "a.parquet"))

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "table, suffix, reason",
    [
        (pa.table({"s": [{"a": 1}]}), "tfrecord", "which a tf.Example cannot hold"),
        (pa.table({"t": [["a", None]]}), "tfrecord", "has no null within a list"),
        (pa.table({"t": [["a|b", "c"]]}), "csv", r"has the delimiter '\|' within"),
        (pa.table({"s": [{"a": 1}]}), "csv", "which no format but Parquet has"),
        (pa.table({"x": pa.array([], pa.int64())}), "csv", "has no rows to convert"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, table, suffix, reason):
    pa.parquet.write_table(table, tmp_path / "a.parquet")

    with pytest.raises(UserError, match=reason):
        convert([str(tmp_path / "a.parquet")], str(tmp_path / f"b.{suffix}"))

    assert not (tmp_path / f"b.{suffix}").exists()


def test_bad_rows_of_a_config_and_unknown_names_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("size,color,floor,v,tags,answer\n1,a,3,1;2,b,0\n")

    with pytest.raises(UserError, match=r"a.csv:2 column v: 2 values instead of 3"):
        convert([str(tmp_path / "a.csv")], str(tmp_path / "b.parquet"), config=CONFIG)
    with pytest.raises(UserError, match=r"--to must end in one of .csv.*received 'b.json'"):
        convert([str(tmp_path / "a.csv")], "b.json")
    with pytest.raises(UserError, match="need each other"):
        convert([str(tmp_path / "a.csv")], "b-*.csv", rows_per_shard=-5)
    with pytest.raises(UserError, match="need each other"):
        convert([str(tmp_path / "a.csv")], "b.csv", rows_per_shard=5)
    with pytest.raises(UserError, match="no file"):
        main([str(tmp_path / "none-*.csv"), "--to=b.csv"])


def test_lists_of_different_lengths_need_a_config(tmp_path):
    pa.parquet.write_table(pa.table({"x": [[1.0], [1.0, 2.0]]}), tmp_path / "a.parquet")
    convert([str(tmp_path / "a.parquet")], str(tmp_path / "a.tfrecord"))

    with pytest.raises(UserError, match="feature 'x' has lists of 1 to 2 numbers"):
        convert([str(tmp_path / "a.tfrecord")], str(tmp_path / "b.parquet"))


def test_whole_numbers_of_different_lengths_are_joined_as_texts_are(tmp_path):
    pa.parquet.write_table(pa.table({"ids": [[7], [], [1, -20, 3]]}), tmp_path / "a.parquet")
    convert([str(tmp_path / "a.parquet")], str(tmp_path / "a.tfrecord"))
    convert([str(tmp_path / "a.tfrecord")], str(tmp_path / "b.csv"))
    assert (tmp_path / "b.csv").read_text().splitlines() == ['"ids"', '"7"', "", '"1|-20|3"']


def test_command_shows_progress_and_says_what_it_wrote(tmp_path):
    pa.parquet.write_table(TYPED, tmp_path / "a.parquet")

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "trainer.convert",
            str(tmp_path / "a.parquet"),
            f"--to={tmp_path}/b.tfrecord.gz",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f"200 rows written to {tmp_path}/b.tfrecord.gz\n"
    assert "200/200" in done.stderr
