"""trainer.memory_tables: runs on tables in memory, against runs on files of the same rows."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from trainer import model
from trainer.cluster import Cluster
from trainer.config import parse_config
from trainer.convert import convert
from trainer.data_files import find_files, with_tables
from trainer.errors import UserError
from trainer.memory_tables import BATCH_ROWS, memory_table
from trainer.reader import BadRows, ReadColumn, Source, read_blocks
from trainer.vertex import VertexEnvironment

pytestmark = pytest.mark.usefixtures("no_export")


def make_frame(num_rows, seed=0):
    """size, color, answer; one in eleven sizes and one in thirteen colors are missing."""
    rng = np.random.default_rng(seed)
    size = np.round(rng.normal(size=num_rows), 3)
    color = np.array(["red", "grün", "blue"], object)[rng.integers(3, size=num_rows)]
    answer = (size + (color == "red") + 0.3 * rng.normal(size=num_rows) > 0.3).astype(np.int64)
    size[5::11] = np.nan
    color[7::13] = None
    return pd.DataFrame({"size": size, "color": color, "answer": answer})


def make_config(job_dir, **data):
    return parse_config(
        {
            "columns": {"size": "numeric", "color": {"kind": "categorical", "min_frequency": 1}},
            "label": {"column": "answer", "task": "binary"},
            "data": data,
            "model": {"hidden_units": [8]},
            "training": {"epochs": 3, "batch_size": 32},
            "evaluation": {"baseline": "none", "report": "none"},
            "output": {"job_dir": str(job_dir)},
        },
        "test",
    )


def validation_logits(run):
    """Of its first 64 validation rows, from their raw cells."""
    _, columns = run.datasets.parts["validation"].sample(64)
    encoded = run.datasets.encoder.encode_block(columns)
    return run.program.model(encoded.ids, encoded.numbers).numpy()


def read(table, columns, limit=0):
    bad_rows = BadRows(limit)
    source = Source(files=(memory_table("table:train", table),), columns=columns)
    return list(read_blocks(source, bad_rows)), bad_rows


def test_model_of_a_table_is_that_of_its_files_of_any_format_bit_for_bit(tmp_path, no_export):
    train, validation = make_frame(400), make_frame(96, seed=1)
    train.to_csv(tmp_path / "train.csv", index=False)
    validation.to_csv(tmp_path / "validation.csv", index=False)
    pa.parquet.write_table(pa.Table.from_pandas(train), tmp_path / "train.parquet")
    pa.parquet.write_table(pa.Table.from_pandas(validation), tmp_path / "validation.parquet")
    for part in ("train", "validation"):
        convert([f"{tmp_path}/{part}.csv"], f"{tmp_path}/{part}.tfrecord")
    tables = {"train": train, "validation": validation}
    arrow = {part: pa.Table.from_pandas(frame) for part, frame in tables.items()}

    reports = [
        model.train_and_evaluate(
            make_config(
                tmp_path / f"run_{suffix}",
                train=[str(tmp_path / f"train.{suffix}")],
                validation=[str(tmp_path / f"validation.{suffix}")],
            )
        )
        for suffix in ("csv", "parquet", "tfrecord")
    ]
    reports += [
        model.train_and_evaluate(make_config(tmp_path / f"run_{i}"), tables=given)
        for i, given in enumerate((tables, arrow))
    ]

    for run, report in zip(no_export, reports, strict=True):
        np.testing.assert_array_equal(validation_logits(run), validation_logits(no_export[0]))
        assert report["metrics"] == reports[0]["metrics"]
    assert "table:train" in (tmp_path / "run_0" / "config.yaml").read_text()


def test_split_fractions_hold_out_the_same_rows_of_a_table_as_of_a_file(tmp_path, no_export):
    frame = make_frame(300)
    frame.to_csv(tmp_path / "all.csv", index=False)
    split = {"validation_fraction": 0.2, "test_fraction": 0.1}
    by_file = make_config(tmp_path / "file", train=[str(tmp_path / "all.csv")], **split)
    by_table = make_config(tmp_path / "table", **split)

    reports = [
        model.train_and_evaluate(by_file),
        model.train_and_evaluate(by_table, tables={"train": frame}),
    ]

    np.testing.assert_array_equal(*map(validation_logits, no_export))
    assert reports[0]["metrics"] == reports[1]["metrics"]


def test_folder_of_a_table_refuses_another_table_and_knows_the_same_again(tmp_path):
    config, tables = make_config(tmp_path), {"train": make_frame(200), "validation": make_frame(64)}
    first = model.train_and_evaluate(config, tables=tables)

    again = model.train_and_evaluate(config, tables={n: t.copy() for n, t in tables.items()})
    (tmp_path / "COMPLETE").unlink()
    changed = tables["train"].assign(answer=lambda frame: 1 - frame["answer"])

    assert again == json.loads(json.dumps(first))
    with pytest.raises(UserError, match="another data file: table:train was"):
        model.train_and_evaluate(config, tables=tables | {"train": changed})


def test_fingerprint_follows_cells_and_types_and_not_chunks_or_the_index():
    frame = make_frame(BATCH_ROWS + 10)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    cut = pa.concat_tables([table[:100], table[100:70_000], table[70_000:]])
    other = frame.copy()
    other.loc[BATCH_ROWS + 3, "size"] = 1.25

    prints = [
        memory_table("t", t).fingerprint
        for t in (frame, table, cut, frame.set_index(np.arange(len(frame)) + 7))
    ]

    assert len(set(prints)) == 1
    for differing in (other, frame.iloc[:-1], frame.rename(columns={"size": "s"})):
        assert memory_table("t", differing).fingerprint != prints[0]
    assert memory_table("t", frame.astype({"answer": "int32"})).fingerprint != prints[0]


def test_blocks_are_those_of_a_parquet_file_wherever_the_table_is_cut(tmp_path):
    table = pa.table({"x": pa.array(np.arange(150_000, dtype=np.float64))})
    pa.parquet.write_table(table, tmp_path / "x.parquet")
    columns = (ReadColumn("x", "float"),)
    cut = pa.concat_tables([table[:1], table[1:65_537], table[65_537:]])

    blocks, _ = read(cut, columns)

    source = Source(files=(str(tmp_path / "x.parquet"),), columns=columns)
    expected = list(read_blocks(source, BadRows(0)))
    assert [b.num_rows for b in blocks] == [65_536, 65_536, 18_928]
    for block, other in zip(blocks, expected, strict=True):
        np.testing.assert_array_equal(block.row_numbers, other.row_numbers)
        assert block.columns["x"].equals(other.columns["x"])


def test_bad_rows_are_named_by_table_and_row():
    frame = pd.DataFrame({"x": ["1.5", "two", None, " 4 "], "c": ["a", "", None, "b"]})
    columns = (ReadColumn("x", "float"), ReadColumn("c", "dictionary"))

    (block,), bad_rows = read(frame, columns, limit=1)

    assert bad_rows.examples == ["table:train:2 column x: 'two' is not a number"]
    assert block.row_numbers.tolist() == [0, 2, 3]
    assert block.columns["x"].to_pylist() == [1.5, None, 4.0]
    assert block.columns["c"].to_pylist() == ["a", None, "b"]
    with pytest.raises(UserError, match="table:train:2 column x: 'two' is not a number"):
        read(frame, columns)


@pytest.mark.parametrize(
    "frame, values",
    [
        (pd.DataFrame({"x": pd.array([1, None, 3], "Int64")}), [1.0, None, 3.0]),
        (pd.DataFrame({"x": [True, False, True]}), [1.0, 0.0, 1.0]),
        (pa.record_batch({"x": pa.array([1, None, 3])}), [1.0, None, 3.0]),
    ],
)
def test_numbers_of_any_type_are_read_as_numbers(frame, values):
    (block,), _ = read(frame, (ReadColumn("x", "float"),))

    assert block.columns["x"].to_pylist() == values


def test_categories_of_pandas_are_texts():
    frame = pd.DataFrame({"c": pd.Categorical(["b", None, "a"])})

    (block,), _ = read(frame, (ReadColumn("c", "dictionary"),))

    assert block.columns["c"].to_pylist() == ["b", None, "a"]


def test_intervals_and_periods_of_pandas_are_texts():
    frame = pd.DataFrame(
        {
            "band": pd.cut(pd.Series([1.0, 9.0, np.nan]), [0, 5, 10]),
            "year": pd.period_range("2020", "2022", freq="Y"),
        }
    )
    columns = (ReadColumn("band", "dictionary"), ReadColumn("year", "string"))
    ((block,), _) = read(frame, columns)
    cells = [line.rsplit(",", 1) for line in frame.to_csv(index=False).splitlines()[1:]]
    assert [
        [text or "" for text in row.values()] for row in pa.table(block.columns).to_pylist()
    ] == [[band.strip('"'), year] for band, year in cells]
    assert block.columns["year"].to_pylist() == ["2020", "2021", "2022"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            pd.DataFrame({"y": [1]}, index=pd.Index([3], name="x")),
            r"The index \(x\) is no column; re",
        ),
        (pd.DataFrame({"x": [1, "a"]}), r'tried to convert to int64.*astype\("string"\)'),
        (pd.Series([1], name="x"), "received Series. pandas.DataFrame"),
        ([{"x": 1}], "received list. pandas.DataFrame"),
        (pd.DataFrame({"x": pd.to_timedelta([1], "h")}), r"duration.*; give its seconds"),
    ],
)
def test_frames_that_have_not_the_column_say_what_to_do(frame, message):
    with pytest.raises(UserError, match=message):
        read(frame, (ReadColumn("x", "float"),))


def test_what_is_no_table_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"table:train must be a pandas .*; received list"):
        memory_table("table:train", [1, 2])
    with pytest.raises(UserError, match=r"table:train is no table that Arrow can read: .*x"):
        memory_table("table:train", pd.DataFrame({"x": [1, "a"]}))
    twice = pd.DataFrame([[1, 2]], columns=["x", "x"])
    with pytest.raises(UserError, match="table:train is no table that Arrow can read: Duplicate"):
        memory_table("table:train", twice)


def test_tables_need_train_and_one_process(tmp_path):
    config, frame = make_config(tmp_path), make_frame(10)
    cluster = Cluster(addresses={"chief": ("a:1",), "worker": ("b:1",)}, num_workers=2)

    with pytest.raises(UserError, match="train at least; received validation"):
        with_tables(config, {"validation": frame}, Cluster())
    with pytest.raises(UserError, match="received train, valid"):
        with_tables(config, {"train": frame, "valid": frame}, Cluster())
    with pytest.raises(UserError, match="train in one process"):
        model.train_and_evaluate(
            config, VertexEnvironment(cluster=cluster), tables={"train": frame}
        )
    held_out = make_config(tmp_path, validation_fraction=0.2)
    with pytest.raises(UserError, match=r"data.validation or data.validation_fraction, not both"):
        with_tables(held_out, {"train": frame, "validation": frame}, Cluster())


def test_a_mapping_is_no_config():
    with pytest.raises(
        UserError, match=r"config must be what trainer.config.parse_config.* a dict"
    ):
        model.train_and_evaluate({"columns": {}}, tables={"train": make_frame(10)})


def test_config_of_a_run_on_tables_cannot_be_run_without_them(tmp_path):
    config = make_config(tmp_path, train=["table:train"])

    with pytest.raises(UserError, match=r"data.train: table:train stands for a table in memory"):
        find_files(config.data, "")
