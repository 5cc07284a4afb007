"""Tables of odd shapes train, export and answer: each case is a run of a few steps.

20,000 classes are in test_sampled_softmax.
"""

import numpy as np
import pandas as pd
import pytest

from trainer import model
from trainer.config import parse_config

NUM_ROWS = 300
RNG = np.random.default_rng(3)
CITY = RNG.choice(["Rome", "Oslo", "Lima"], NUM_ROWS)
AGE = RNG.normal(40, 9, NUM_ROWS)
WORDS = [" ".join(RNG.choice(["good", "bad", "red", "wine"], 3)) for _ in range(NUM_ROWS)]
LABEL = RNG.integers(0, 2, NUM_ROWS)
NONE = [None] * NUM_ROWS


def train(job_dir, columns, rows, *, task="binary", crosses=(), report="full", **sections):
    """Predictions for the rows, by the exported model of a run on them."""
    config = parse_config(
        {
            "columns": columns,
            "crosses": list(crosses),
            "label": {"column": "y", "task": task},
            "data": {"validation_fraction": 0.2},
            "model": {"hidden_units": [8]} | sections.get("model", {}),
            "evaluation": {"report": report},
            "training": {"steps": 8, "batch_size": 32},
            "output": {"job_dir": str(job_dir)},
        },
        "test",
    )
    model.train_and_evaluate(config, tables={"train": rows})
    return model.load(str(job_dir)).predict(rows)


CASES = {
    "no_numeric": ({"city": "categorical"}, {"city": CITY}),
    "no_categorical": ({"age": "numeric"}, {"age": AGE}),
    "one_boolean": ({"member": "boolean"}, {"member": RNG.choice(["yes", "no"], NUM_ROWS)}),
    "only_text": ({"note": "text"}, {"note": WORDS}),
    "only_tags": ({"tags": "multi_hot"}, {"tags": [w.replace(" ", "|") for w in WORDS]}),
    "only_vectors": (
        {"v": {"kind": "vector", "size": 3}},
        {"v": list(RNG.normal(size=(NUM_ROWS, 3)))},
    ),
    "one_value": ({"age": "numeric", "city": "categorical"}, {"age": AGE * 0, "city": "Rome"}),
}


@pytest.mark.parametrize("name", CASES)
def test_few_kinds_of_columns_are_enough(tmp_path, name):
    columns, values = CASES[name]
    report = "full" if name in ("no_numeric", "no_categorical", "one_value") else "none"
    predicted = train(tmp_path, columns, pd.DataFrame({**values, "y": LABEL}), report=report)
    assert predicted["probability"].between(0, 1).all()


def test_crosses_alone_are_enough_for_the_wide_part(tmp_path):
    hidden = {"kind": "categorical", "towers": []}
    rows = pd.DataFrame({"city": CITY, "team": CITY[::-1], "y": LABEL})
    predicted = train(
        tmp_path,
        {"city": hidden, "team": hidden},
        rows,
        crosses=[{"columns": ["city", "team"], "bins": 100}],
        model={"towers": "wide"},
    )
    # A linear model of one cross has one probability for each pair.
    assert predicted.groupby([rows["city"], rows["team"]])["probability"].nunique().max() == 1
    assert predicted["probability"].nunique() > 3


def test_rows_in_which_everything_is_missing_are_rows(tmp_path):
    rows = pd.DataFrame({"age": AGE, "city": CITY, "note": WORDS, "y": LABEL})
    rows.loc[::3, ["age", "city", "note"]] = None
    columns = {"age": "numeric", "city": "categorical", "note": "text"}
    predicted = train(tmp_path, columns, rows)
    assert predicted["probability"][::3].nunique() == 1
    assert predicted["probability"].nunique() > 100


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_label_of_one_value_gives_that_value(tmp_path, task, caplog):
    rows = pd.DataFrame({"age": AGE, "y": 1})
    predicted = train(tmp_path, {"age": "numeric"}, rows, task=task)
    if task == "regression":
        # The deep part starts at random, in units of 1 where there is no deviation.
        assert predicted["prediction"].mean() == pytest.approx(1, abs=0.2)
    else:
        assert (predicted["probability"] > 0.9).all()
    assert "has one value, 1, in all" in caplog.text


@pytest.mark.slow
def test_two_thousand_numbers(tmp_path):
    values = RNG.normal(size=(NUM_ROWS, 2000)).astype(np.float32)
    names = [f"f_{i:04d}" for i in range(2000)]
    rows = pd.DataFrame(values, columns=names).assign(y=LABEL)
    predicted = train(tmp_path, {"f_{0000..1999}": "numeric"}, rows)
    assert predicted["probability"].nunique() > 100


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "hashed"])
def test_a_vocabulary_of_five_million(tmp_path, kind):
    size = 5_000_000
    column = {"kind": "categorical", "hash_buckets": size}
    if kind == "file":
        path = tmp_path / "tokens.txt"
        path.write_text("\n".join(map(str, range(size))))
        column = {"kind": "categorical", "vocabulary_file": str(path)}
    ids = RNG.integers(0, size, 20_000)
    rows = pd.DataFrame({"id": ids.astype(str), "y": ids % 2})
    predicted = train(tmp_path, {"id": column}, rows)
    assert predicted["probability"].nunique() > 1000
