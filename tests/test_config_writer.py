"""trainer.init.config_writer: a config that the trainer reads, with its reasons."""

import re

import numpy as np
import pytest
from planted_tables import SHOP_KINDS, shop, study

from trainer.config import parse_config
from trainer.init.config_writer import config_text, constant_score, flow, looked_at
from trainer.yaml_text import load_yaml


def test_the_text_reads_back_as_what_was_decided():
    text = config_text(study(shop(), "spent"), "shop.yaml", "shop.tuning.yaml")
    config = parse_config(load_yaml(text, "shop.yaml"), "shop.yaml")
    assert config.label.model_dump(exclude_defaults=True) == {
        "column": "spent",
        "task": "regression",
    }
    kinds = {name: column.kind for name, column in config.columns.items()}
    assert kinds == SHOP_KINDS
    assert config.columns["day"].parts == ("year", "month", "day_of_week")
    assert (config.data.train, config.data.split_column) == (("t.csv",), "row")
    assert config.crosses == ()


def test_every_column_says_why_and_the_head_says_what_to_run():
    text = config_text(study(shop(), "spent"), "shop.yaml", "shop.tuning.yaml")
    lines = text.splitlines()
    assert lines[0].startswith("# spent (regression) from 7 of 10 columns; made by python -m")
    assert "#   python -m trainer.task --config=shop.yaml" in lines
    assert "  city: categorical # 4 values" in lines
    assert re.search(r"  zip: categorical # 30 values; digits with leading zeros are codes", text)
    assert re.search(r"age: numeric # 72 whole numbers, 18 to 89; \d+\.\d% missing", text)
    assert "  country: ignore # is 'DE' in every row" in lines
    assert re.search(
        r"# Look: tells (?:99\.\d|100\.0)% of the target by itself: a copy of it", text
    )
    assert re.search(r"instead: numeric\n  net: ignore|net: ignore # .*instead: numeric", text)
    assert max(map(len, lines)) <= 100


def test_proposed_crosses_can_be_uncommented():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-1, 1, (2, 4000))
    shade = np.array(["red", "blue"])[rng.integers(0, 2, 4000)]
    target = 3 * x * y + 2 * x * (shade == "red") + rng.normal(0, 0.5, 4000)
    columns = {"x": np.round(x, 4), "y": np.round(y, 4), "shade": shade, "z": np.round(target, 3)}
    text = config_text(study(columns, "z"), "c.yaml", "c.tuning.yaml")
    cells = re.findall(r"^#   (\w+_cell: .*)$", text, re.M)
    entries = re.findall(r"^#   (- \{columns: .*)$", text, re.M)
    assert len(cells) == 2 and len(entries) >= 2
    text = text.replace("columns:\n", "columns:\n" + "".join(f"  {cell}\n" for cell in cells), 1)
    text += "crosses:\n" + "".join(f"  {entry}\n" for entry in entries)
    config = parse_config(load_yaml(text, "c.yaml"), "c.yaml")
    assert {frozenset(cross.columns) for cross in config.crosses} >= {
        frozenset(("x_cell", "y_cell")),
        frozenset(("x_cell", "shade")),
    }


def test_names_and_texts_of_any_kind_survive():
    rng = np.random.default_rng(2)
    names = ["on", "a: b", "# c", "'q\"", "mean radius", "5", "x,y", "{z}"]
    columns = {name: np.round(rng.normal(0, 1, 200), 3) for name in names}
    columns["y: n"] = np.where(rng.random(200) < 0.5, " >50K: yes", "no")
    found = study(columns, "y: n", positive=" >50K: yes")
    config = parse_config(load_yaml(config_text(found, "c.yaml", "t"), "c"), "c")
    assert list(config.columns) == names
    assert config.label.column == "y: n" and config.label.positive == " >50K: yes"


def test_scores_of_the_constant():
    regression = study({"x": [i // 2 for i in range(50)], "y": [1.0, 4.0] * 24 + [2, 3]}, "y")
    assert constant_score(regression) == ("rmse", pytest.approx(np.std([1, 4] * 24 + [2, 3])))
    binary = study({"x": np.arange(80) % 7, "y": [1, 0, 0, 0] * 20}, "y")
    entropy = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    assert constant_score(binary) == ("log_loss", pytest.approx(entropy))


def test_what_was_looked_at_is_said():
    assert looked_at(study(shop(), "spent")) == "all 2,000 rows of 1 file"
    sampled = looked_at(study(shop(), "spent", total_rows=90_000))
    assert sampled == "2,000 of about 90,000 rows, from 7 places spread over 1 file"


def test_flow_quotes_what_yaml_would_take_for_something_else():
    value = {"no": "1", "a b": ["0755", None, True, 1.5, "x-1.csv"], "%Y": "gs://b/*.csv"}
    assert load_yaml(f"v: {flow(value)}", "t") == {"v": value}
