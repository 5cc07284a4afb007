import csv
from datetime import datetime

import numpy as np
import pytest
from comparison_table import make_config

from trainer import data_files
from trainer.blocks import open_parts
from trainer.compare.plain_table import PlainReader
from trainer.config import parse_config


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    config, _ = make_config(folder, num_rows=200)
    parts = open_parts(config, data_files.find_files(config.data, str(folder)))
    reader = PlainReader(config)
    rows = {
        name: list(csv.DictReader((folder / f"{name}.csv").open())) for name in ("train", "test")
    }
    return {name: reader.read(parts[name]) for name in ("train", "test")}, rows


def column(table, name):
    return table.values[:, table.names.index(name)]


def test_each_raw_column_stands_once(tables):
    train = tables[0]["train"]
    assert train.names == (
        *("x", "city", "member", "size"),
        *("seen.days", "seen.month", "seen.day_of_week", "seen.hour"),
        *("lat", "lon", "way.haversine", "way.manhattan", "way.bearing_sin", "way.bearing_cos"),
    )
    assert [n for n, c in zip(train.names, train.is_category, strict=True) if c] == [
        *("city", "member", "size")
    ]


def test_numbers_are_the_files_own_and_nan_where_missing(tables):
    for name, table in tables[0].items():
        texts = [row["x"] for row in tables[1][name]]
        expected = np.array([np.float32(text) if text else np.nan for text in texts])
        np.testing.assert_array_equal(column(table, "x"), expected)
        np.testing.assert_array_equal(table.label, [float(r["y"]) for r in tables[1][name]])


def test_codes_number_the_categories_by_their_first_training_row(tables):
    codes = {}
    for row in tables[1]["train"]:
        if row["city"]:
            codes.setdefault(row["city"], float(len(codes)))
    for name, table in tables[0].items():
        expected = [codes.get(row["city"], np.nan) for row in tables[1][name]]
        np.testing.assert_array_equal(column(table, "city"), expected)


def test_times_are_days_and_parts(tables):
    for row, days, weekday, hour in zip(
        tables[1]["test"],
        column(tables[0]["test"], "seen.days"),
        column(tables[0]["test"], "seen.day_of_week"),
        column(tables[0]["test"], "seen.hour"),
        strict=True,
    ):
        seen = datetime.fromisoformat(row["seen"])
        assert days == (seen - datetime(1970, 1, 1)).total_seconds() / 86400
        # Ids: 0 would be a missing time.
        assert (weekday, hour) == (seen.weekday() + 1, seen.hour + 1)


def test_a_category_that_training_has_not_seen_is_missing(tmp_path):
    config, _ = make_config(tmp_path, num_rows=60)
    text = (tmp_path / "test.csv").read_text().replace("Rome", "Bonn")
    (tmp_path / "test.csv").write_text(text)
    parts = open_parts(config, data_files.find_files(config.data, str(tmp_path)))
    reader = PlainReader(config)
    reader.read(parts["train"])

    city = column(reader.read(parts["test"]), "city")

    rows = list(csv.DictReader((tmp_path / "test.csv").open()))
    np.testing.assert_array_equal(np.isnan(city), [r["city"] in ("", "Bonn") for r in rows])


def test_values_of_a_row_are_flags_of_the_training_tokens_and_vectors_are_numbers(tmp_path):
    rows = ["a|b|a,Red wine!,0.5;1,1", "b,,2;3,0", ",red,4;5,1", "c | b,White,,0"]
    (tmp_path / "train.csv").write_text("\n".join(["tags,words,v,y", *rows]))
    (tmp_path / "test.csv").write_text("tags,words,v,y\nb|z,Wine wine,7;8,1\n")
    config = parse_config(
        {
            "columns": {"tags": "multi_hot", "words": "text", "v": {"kind": "vector", "size": 2}},
            "label": {"column": "y", "task": "binary"},
            "data": {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")},
        },
        "test",
    )
    parts = open_parts(config, data_files.find_files(config.data, str(tmp_path)))
    reader = PlainReader(config)

    train, test = (reader.read(parts[name]) for name in ("train", "test"))

    assert train.names == test.names
    assert set(train.names) == {
        *("v.0", "v.1", "tags.a", "tags.b", "tags.c"),
        *("words.red", "words.wine", "words.white"),
    }
    assert column(train, "tags.b").tolist() == [1, 1, 0, 1]
    assert column(train, "tags.a").tolist() == [1, 0, 0, 0]
    assert column(train, "words.red").tolist() == [1, 0, 1, 0]
    np.testing.assert_array_equal(column(train, "v.1"), [1, 3, 5, np.nan])
    assert [column(test, name)[0] for name in ("tags.b", "tags.c", "words.wine", "v.0")] == [
        *(1, 0, 1, 7)
    ]
