"""trainer.blocks: finding files, reading them once or again, splitting, packing."""

import dataclasses
import itertools
import os

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer import blocks, csv_files, parallel
from trainer.blocks import (
    BlockReader,
    DataPart,
)
from trainer.config import parse_config
from trainer.errors import UserError
from trainer.features import FeatureEncoder
from trainer.input_columns import read_columns
from trainer.reader import Source
from trainer.row_stores import Budget, store_rows
from trainer.splits import Split, splits_of

COLORS = ["red", "green", "", "blue"]


def make_config(**sections):
    values = {
        "columns": {
            "x": "numeric",
            "color": {"kind": "categorical", "min_frequency": 1},
            "ride": {
                "kind": "geo",
                "from_point": ["a", "b"],
                "to_point": ["c", "d"],
                "distances": ["haversine"],
            },
            "id": "key",
            "w": "weight",
        },
        "label": {"column": "y", "task": "regression"},
    }
    return parse_config(values | sections, "test")


def make_table(num_rows, seed=0):
    """Rows as tuples of text, as they stand in a file: x, color, a, b, c, d, id, w, y, unused."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(num_rows):
        x = "" if i % 7 == 3 else f"{rng.normal():.3f}"
        places = [f"{v:.2f}" for v in rng.uniform(40, 41, 4)]
        color = COLORS[rng.integers(4)]
        rows.append(
            (x, color, *places, f"ride-{seed}-{i}", f"{1 + i % 3}", f"{rng.normal():.3f}", "_")
        )
    return rows


HEADER = "x,color,a,b,c,d,id,w,y,unused"


def write_files(folder, tables):
    paths = []
    for number, rows in enumerate(tables):
        path = folder / f"part-{number}.csv"
        path.write_text("\n".join([HEADER, *(",".join(row) for row in rows)]) + "\n")
        paths.append(str(path))
    return tuple(paths)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of two or three rows instead of thousands."""
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 150)


def make_reader(config, files, **options):
    source = Source(files=files, columns=read_columns(config), limit_rows=config.data.limit_rows)
    return BlockReader(source, **{"max_bad_rows": 0} | options)


def ids_of(found):
    return [row for block in found for row in block.columns["id"].to_pylist()]


def places_of(found):
    return [
        (block.file_index, int(number)) for block in found for number in block.row_numbers.tolist()
    ]


TABLES = [make_table(9, 1), make_table(4, 2), make_table(11, 3)]
ALL_IDS = [row[6] for table in TABLES for row in table]


@pytest.fixture
def files(tmp_path):
    """Three files of 9, 4 and 11 rows."""
    return write_files(tmp_path, TABLES)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("retain_bytes", [0, 10**9])
def test_blocks_are_the_same_in_every_pass(files, retain_bytes):
    reader = make_reader(make_config(), files, retain_bytes=retain_bytes)
    first = list(reader.read())
    assert len(first) > 6
    assert ids_of(first) == ALL_IDS
    expected = [(f, r) for f, table in enumerate(TABLES) for r in range(len(table))]
    assert places_of(first) == expected
    again = list(reader.read())
    assert [b.columns for b in again] == [b.columns for b in first]
    assert places_of(again) == expected
    # File by file, in another order.
    by_unit = [list(reader.read([unit])) for unit in (2, 0, 1)]
    assert ids_of(itertools.chain(*(by_unit[i] for i in (1, 2, 0)))) == ALL_IDS
    assert places_of(by_unit[0]) == [(2, r) for r in range(11)]
    assert places_of(reader.read([1, 0])) == [(1, r) for r in range(4)] + [(0, r) for r in range(9)]


@pytest.mark.parametrize(("retain_bytes", "num_reads"), [(10**9, 1), (0, 3)])
def test_files_are_parsed_once_where_blocks_can_be_kept(
    files, monkeypatch, retain_bytes, num_reads
):
    seen = []
    read_blocks = blocks.read_blocks

    def spy(source, bad_rows):
        seen.append(source.files)
        return read_blocks(source, bad_rows)

    monkeypatch.setattr(blocks, "read_blocks", spy)
    reader = make_reader(make_config(), files, retain_bytes=retain_bytes)
    for _ in range(2):
        list(reader.read())
    list(reader.read([0]))
    list(reader.read([1, 2]))
    assert len(seen) == 3 * num_reads
    reader.release()
    assert ids_of(reader.read()) == ALL_IDS
    assert len(seen) == 3 * num_reads + 3


def test_a_pass_that_was_given_up_keeps_nothing(files):
    reader = make_reader(make_config(), files, retain_bytes=10**9)
    next(reader.read())
    assert ids_of(reader.read()) == ALL_IDS


def test_limited_rows_are_the_first_of_the_whole_set(files):
    reader = make_reader(make_config(data={"limit_rows": 11}), files)
    assert reader.units == [files]
    assert ids_of(reader.read([0])) == ALL_IDS[:11]
    assert places_of(reader.read())[8:] == [(0, 8), (1, 0), (1, 1)]


def damage(path, line):
    lines = path.read_text().splitlines()
    lines[line - 1] = lines[line - 1].replace("ride-", "ride,")  # one field too many
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def damaged_files(tmp_path, files):
    """One bad row in each of the three files, in line 3."""
    for file in files:
        damage(tmp_path / os.path.basename(file), 3)
    return files


@pytest.mark.parametrize("retain_bytes", [0, 10**9])
@pytest.mark.parametrize("file_by_file", [False, True])
def test_bad_rows_are_counted_once_over_all_files(damaged_files, retain_bytes, file_by_file):
    reader = make_reader(make_config(), damaged_files, max_bad_rows=3, retain_bytes=retain_bytes)
    for _ in range(3):
        if file_by_file:
            found = [block for unit in range(3) for block in reader.read([unit])]
        else:
            found = list(reader.read())
        bad = {"ride-1-1", "ride-2-1", "ride-3-1"}
        assert ids_of(found) == [name for name in ALL_IDS if name not in bad]
        assert reader.bad_rows.count == 3
        assert [e.rpartition("/")[2].split()[0] for e in reader.bad_rows.examples] == [
            "part-0.csv:3",
            "part-1.csv:3",
            "part-2.csv:3",
        ]


@pytest.mark.parametrize("file_by_file", [False, True])
def test_the_limit_of_bad_rows_is_that_of_all_files_together(damaged_files, file_by_file):
    reader = make_reader(make_config(), damaged_files, max_bad_rows=2)
    with pytest.raises(
        UserError, match=r"3 bad rows so far, data.max_bad_rows is 2: .*part-0.csv:3"
    ):
        for units in [[0], [1], [2]] if file_by_file else [None]:
            list(reader.read(units))


def parts_of(config, reader):
    shares = splits_of(config.data)
    return {part: DataPart(reader, config, split) for part, split in shares.items()}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("split_column", [None, "id", "color"])
def test_every_row_is_in_one_part_whatever_the_order_of_reading(files, split_column):
    config = make_config(
        data={
            "validation_fraction": 0.3,
            "test_fraction": 0.2,
            "split_column": split_column,
            "split_modulus": 10,
        }
    )
    parts = parts_of(config, make_reader(config, files))
    found = {name: ids_of(part.blocks()) for name, part in parts.items()}
    assert sorted(itertools.chain(*found.values())) == sorted(ALL_IDS)
    for name, part in parts.items():
        assert sorted(ids_of(part.blocks([2, 0, 1]))) == sorted(found[name])
    if split_column == "color":
        colors = {row[6]: row[1] for table in TABLES for row in table}
        seen = [{colors[i] for i in ids} for ids in found.values()]
        assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    if split_column is None:
        assert all(found.values())


def test_shares_have_about_their_size(tmp_path):
    files = write_files(tmp_path, [make_table(2000)])
    config = make_config(data={"validation_fraction": 0.2, "test_fraction": 0.1})
    parts = parts_of(config, make_reader(config, files))
    sizes = {name: len(ids_of(part.blocks())) for name, part in parts.items()}
    assert sum(sizes.values()) == 2000
    # Standard deviations are 18 and 13 rows.
    assert abs(sizes["validation"] - 400) < 72
    assert abs(sizes["test"] - 200) < 54


def test_row_numbers_keep_a_split_apart_from_bad_rows(tmp_path):
    """A row keeps its part when a row before it is found bad: its number in the file counts."""
    config = make_config(data={"validation_fraction": 0.5})
    files = write_files(tmp_path, [make_table(40)])
    part = parts_of(config, make_reader(config, files))["validation"]
    before = ids_of(part.blocks())
    damage(tmp_path / "part-0.csv", 3)
    part = parts_of(config, make_reader(config, files, max_bad_rows=1))["validation"]
    assert ids_of(part.blocks()) == [name for name in before if name != "ride-0-1"]


def numbers_of(column):
    return np.array([float(row[column] or "nan") for table in TABLES for row in table])


@pytest.mark.usefixtures("small_blocks")
def test_statistics_are_those_of_the_rows_of_the_part(files):
    config = make_config()
    found = DataPart(make_reader(config, files), config).statistics()
    x, label, weight = numbers_of(0), numbers_of(8), numbers_of(7)
    assert found.num_rows == 24
    assert found.mean_weight == weight.mean()
    assert found.label.mean == pytest.approx(label.mean(), rel=1e-6)
    assert found.numbers["x"].missing == np.isnan(x).sum()
    assert found.numbers["x"].mean == pytest.approx(np.nanmean(x), rel=1e-6)
    colors = [row[1] for table in TABLES for row in table]
    assert dict(found.tokens["color"]) == {c: colors.count(c) for c in set(colors) - {""}}
    # Great circle by the haversine formula, with a mean radius of 6371.0088 km.
    a, b, c, d = (np.radians(numbers_of(i)) for i in (2, 3, 4, 5))
    h = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
    distance = 2 * 6371.0088 * np.arcsin(np.sqrt(h))
    assert found.numbers["ride.haversine"].mean == pytest.approx(distance.mean(), rel=1e-3)
    config = make_config(data={"validation_fraction": 0.5})
    part = parts_of(config, make_reader(config, files))["train"]
    kept = set(ids_of(part.blocks()))
    chosen = [row for table in TABLES for row in table if row[6] in kept]
    assert part.statistics().label.mean == pytest.approx(
        np.mean([float(row[8]) for row in chosen]), rel=1e-6
    )


def test_rows_of_weight_0_are_left_out(tmp_path):
    table = [[*row[:7], str(i % 2), *row[8:]] for i, row in enumerate(make_table(8))]
    config = make_config()
    part = DataPart(make_reader(config, write_files(tmp_path, [table])), config)
    assert places_of(part.blocks()) == [(0, 1), (0, 3), (0, 5), (0, 7)]
    assert part.statistics().num_rows == 4


def test_rows_weigh_one_without_a_weight_column(files):
    columns = make_config().model_dump()["columns"]
    columns.pop("w")
    config = make_config(columns=columns)
    part = DataPart(make_reader(config, files), config)
    (block, *_) = part.blocks()
    assert part.weight(block).tolist() == [1.0] * block.num_rows


def test_a_positive_class_makes_labels_of_zero_and_one(files):
    config = make_config(label={"column": "unused", "task": "binary", "positive": "_"})
    part = DataPart(make_reader(config, files), config)
    (block, *_) = part.blocks()
    labels = part.labels(block)
    assert (labels.dtype, labels.tolist()) == (np.float32, [[1.0]] * block.num_rows)
    config = make_config(
        label={"column": "color", "task": "binary", "positive": "red"},
        columns={"x": "numeric", "id": "key"},
    )
    part = DataPart(make_reader(config, files, max_bad_rows=24), config)
    (block, *_) = part.blocks()
    expected = [float(row[1] == "red") for row in TABLES[0] if row[1]]
    assert part.labels(block)[:, 0].tolist() == expected


def part_with_classes(files, **options):
    """A part whose label is the colour, as if no training row were green, and what it knows."""
    config = make_config(
        label={"column": "color", "task": "multiclass"}, columns={"x": "numeric", "id": "key"}
    )
    reader = make_reader(config, files, **options)
    part = DataPart(reader, config)
    statistics = part.statistics()
    known = dataclasses.replace(
        statistics, classes=tuple(pair for pair in statistics.classes if pair[0] != "green")
    )
    part.know_classes(known)
    return config, reader, part, known


COLORED = [
    [(f"{i}", color, *"12345", "1", "0", "_") for i, color in enumerate(colors)]
    for colors in (["red", "green", "red"], ["blue", "blue", "green", "red", "red"])
]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_a_row_of_an_unknown_class_is_a_bad_row_counted_once(tmp_path, storage):
    files = write_files(tmp_path, COLORED)
    config, reader, part, known = part_with_classes(files, max_bad_rows=2)
    assert known.classes == (("red", 4), ("blue", 2))
    encoder = FeatureEncoder(config, known)
    store = store_rows(part.packed(encoder), 2, storage, Budget(1, 1, None))
    for _ in range(2):
        rows = np.concatenate(list(store.in_order()))
        assert rows.view(np.float32)[:, -2].tolist() == [0, 0, 1, 1, 0, 0]
    assert reader.bad_rows.count == 2
    # Lines of the files, of which the first is the header.
    assert [text.split(" is no")[0] for text in reader.bad_rows.examples] == [
        f"{files[0]}:3 label color: 'green'",
        f"{files[1]}:4 label color: 'green'",
    ]


def test_more_rows_of_unknown_classes_than_allowed_end_the_run(tmp_path):
    files = write_files(tmp_path, COLORED)
    _, _, part, _ = part_with_classes(files, max_bad_rows=1)
    with pytest.raises(UserError, match=r"2 bad rows so far, data.max_bad_rows is 1: .*'green'"):
        list(part.blocks())


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_packed_rows_are_the_encoded_ones_with_label_and_weight(files, storage):
    config = make_config()
    part = DataPart(make_reader(config, files), config)
    encoder = FeatureEncoder(config, part.statistics())
    store = store_rows(part.packed(encoder), 3, storage, Budget(1, 1, None))
    rows = np.concatenate(list(store.in_order()))
    floats = rows.view(np.float32)
    num_ids, num_numbers = len(encoder.layout.ids), len(encoder.layout.numbers)
    assert rows.shape == (24, num_ids + num_numbers + 2)
    np.testing.assert_allclose(floats[:, -2], numbers_of(8), rtol=1e-6)
    np.testing.assert_array_equal(floats[:, -1], numbers_of(7))
    raw = {
        "x": numbers_of(0).astype(np.float32),
        "color": np.array([row[1] for table in TABLES for row in table], object),
        **{name: numbers_of(2 + i).astype(np.float32) for i, name in enumerate("abcd")},
    }
    encoded = encoder({name: tf.constant(values) for name, values in raw.items()})
    np.testing.assert_array_equal(rows[:, :num_ids], encoded.ids)
    np.testing.assert_allclose(floats[:, num_ids:-2], encoded.numbers, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("num_rows", [1, 5, 24, 100])
def test_sample_is_the_first_rows_as_a_request(files, num_rows):
    config = make_config()
    instances, columns = DataPart(make_reader(config, files), config).sample(num_rows)
    expected = [row for table in TABLES for row in table][:num_rows]
    assert [i["id"] for i in instances] == [row[6] for row in expected]
    assert list(instances[0]) == ["x", "color", "a", "b", "c", "d", "id"]
    assert [i["x"] for i in instances] == [
        None if not row[0] else pytest.approx(float(row[0])) for row in expected
    ]
    assert [i["color"] or "" for i in instances] == [row[1] for row in expected]
    assert columns["a"].to_pylist() == [i["a"] for i in instances]
    assert all(isinstance(column, pa.Array) for column in columns.values())


def test_sample_skips_blocks_without_rows_of_the_part(files):
    config = make_config()
    nothing = Split(None, 0, 0, 10)
    part = DataPart(make_reader(config, files), config, nothing)
    instances, _ = part.sample(5)
    assert instances == []


@pytest.mark.usefixtures("small_blocks")
def test_no_bit_depends_on_the_number_of_threads(tmp_path, monkeypatch):
    files = write_files(tmp_path, [make_table(300, 4), make_table(70, 5)])
    config = make_config(data={"validation_fraction": 0.3, "split_column": "id"})
    found = []
    for num_cores in (1, 5):
        monkeypatch.setattr(parallel.os, "cpu_count", lambda n=num_cores: n)
        part = DataPart(make_reader(config, files), config, splits_of(config.data)["train"])
        statistics = part.statistics()
        rows = list(part.packed(FeatureEncoder(config, statistics))([1, 0]))
        found.append((statistics, [block.tolist() for block in rows]))
    assert len(found[0][1]) > 100
    assert 200 < sum(map(len, found[0][1])) < 300  # 70% of 370
    assert found[0] == found[1]
