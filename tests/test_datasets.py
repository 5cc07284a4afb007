"""trainer.datasets: statistics of the training rows alone, every row encoded once."""

import re

import numpy as np
import pytest

from trainer import data_files
from trainer.config import Config
from trainer.datasets import build_datasets
from trainer.errors import UserError
from trainer.rows import labels_of, weights_of

TRAIN = "size,city,w,y\n1,oslo,1,10\n3,rome,2,20\n,oslo,1,30\n"
VALIDATION = "size,city,w,y\n500,lima,1,40\n"


def datasets_of(folder, *, train=TRAIN, validation=VALIDATION, **data):
    (folder / "train.csv").write_text(train)
    (folder / "valid.csv").write_text(validation)
    paths = {"train": f"{folder}/train.csv", "validation": f"{folder}/valid.csv"}
    config = Config.model_validate(
        {
            "data": {**paths, **data},
            "label": {"column": "y", "task": "regression"},
            "columns": {"size": "numeric", "city": "categorical", "w": "weight"},
        }
    )
    return build_datasets(config, data_files.find_files(config.data, ""))


def test_statistics_know_the_training_rows_only(tmp_path):
    statistics = datasets_of(tmp_path).statistics
    assert statistics.num_rows == 3
    assert statistics.numbers["size"].mean == 2.0
    assert statistics.tokens["city"] == (("oslo", 2), ("rome", 1))


def test_every_row_is_encoded_with_its_label_and_weight(tmp_path):
    stores = datasets_of(tmp_path).stores
    rows = {name: np.concatenate(list(store.in_order())) for name, store in stores.items()}
    assert labels_of(rows["train"]).tolist() == [[10], [20], [30]]
    assert weights_of(rows["train"]).tolist() == [1, 2, 1]
    assert labels_of(rows["validation"]).tolist() == [[40]]


@pytest.mark.parametrize(
    ("cells", "column", "message"),
    [
        (
            ["31.12.2020", "1.2.2021"],
            "datetime",
            "no training value of 'c' is columns.x.format '%Y-%m-%d %H:%M:%S'; received "
            "'31.12.2020' and the like. Set the format, or drop the column",
        ),
        (
            ["", "m"],
            "boolean",
            "no training value of 'c' is true or false; received 'm' and the like. Make it "
            "categorical, or drop the column",
        ),
        (["", "NA"], "datetime", "all are missing. Set the format, or drop the column"),
    ],
)
def test_a_column_that_its_format_never_reads_is_refused(tmp_path, cells, column, message):
    values = {
        "data": {"train": f"{tmp_path}/t.csv"},
        "label": {"column": "y", "task": "regression"},
        "columns": {"x": {"kind": column, "source": "c"}},
    }

    def build(lines):
        (tmp_path / "t.csv").write_text("c,y\n" + "".join(f"{cell},1\n" for cell in lines))
        config = Config.model_validate(values)
        return build_datasets(config, data_files.find_files(config.data, ""))

    with pytest.raises(UserError, match=re.escape(message)):
        build(cells)
    readable = "2020-12-31 10:00:00" if column == "datetime" else "No"
    assert build([*cells, readable]).stores["train"].num_rows == 3


def test_a_positive_class_that_no_row_has_is_refused_with_those_there_are(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1, >50K\n2, <=50K\n3, >50K\n")
    values = {
        "data": {"train": f"{tmp_path}/t.csv"},
        "label": {"column": "y", "task": "binary", "positive": ">50K"},
        "columns": {"x": "numeric"},
    }
    config = Config.model_validate(values)
    message = "'>50K' is in none of the 3 training rows of 'y', which have ' >50K', ' <=50K'"
    with pytest.raises(UserError, match=message):
        build_datasets(config, data_files.find_files(config.data, ""))


@pytest.mark.parametrize("part", ["train", "validation"])
def test_part_without_weight_is_named(tmp_path, part):
    text = "size,city,w,y\n1,oslo,0,10\n"
    with pytest.raises(
        UserError, match=f"the {part}\\w* data has no usable row, or all have weight 0"
    ):
        datasets_of(tmp_path, **{part: text})


def test_of_few_rows_a_small_fraction_may_hold_out_none(tmp_path):
    with pytest.raises(UserError, match=r"weight 0; a larger data.test_fraction may hold out some"):
        datasets_of(tmp_path, test_fraction=0.01)


def test_statistics_of_another_run_are_taken_as_they_are(tmp_path):
    first = datasets_of(tmp_path).statistics
    (tmp_path / "known.json").write_text(first.to_json())
    other = TRAIN.replace("3,rome", "9,rome")
    again = datasets_of(tmp_path, train=other, statistics_path=f"{tmp_path}/known.json")
    assert again.statistics.to_json() == first.to_json()
