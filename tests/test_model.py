"""trainer.model: whole runs on small tables, in this process: each setting does what it says.

A row's value is 2 * size + 2 where the color is red, and noise of standard deviation 0.1; it is
missing in no row, the size in one of eleven, the color in one of thirteen.
"""

import csv
import gzip
import itertools
import json
import math
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import tensorflow as tf

from trainer import model
from trainer.blocks import open_parts
from trainer.config import parse_config
from trainer.errors import UserError

NAMES = ["id", "size", "color", "shape", "count", "value", "bought", "answer"]
COLUMNS = {
    "size": {"kind": "numeric", "buckets": 8},
    "color": {"kind": "categorical", "min_frequency": 1},
}
RUNS = itertools.count()


def make_rows(num_rows, seed=0):
    """Lists of texts in the order of NAMES; '' is missing."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(num_rows):
        size = round(float(rng.normal()), 3)
        color = ["red", "green", "blue"][rng.integers(3)]
        value = 2 * (size + (color == "red")) + 0.1 * rng.normal()
        rows.append(
            [
                f"r{seed}_{i}",
                "" if i % 11 == 5 else str(size),
                "" if i % 13 == 7 else color,
                ["round", "square"][rng.integers(2)],
                str(rng.integers(4)),
                f"{value:.4f}",
                str(int(value > 0.3)),
                "yes" if value > 0.3 else "no",
            ]
        )
    return rows


def write_csv(path, rows, names=NAMES):
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *rows])
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """train.csv of 320 rows, validation.csv of 96, test.csv of 64."""
    folder = tmp_path_factory.mktemp("tables")
    for seed, (part, num_rows) in enumerate({"train": 320, "validation": 96, "test": 64}.items()):
        write_csv(folder / f"{part}.csv", make_rows(num_rows, seed))
    return folder


def make_config(files, **sections):
    """A run of two epochs over the fixture's files; a section given is laid over the default."""
    values = {
        "columns": COLUMNS,
        "label": {"column": "value", "task": "regression"},
        "data": {part: f"{files}/{part}.csv" for part in ("train", "validation")},
        "model": {"hidden_units": [8]},
        "training": {"epochs": 2, "batch_size": 32},
        "optimizer": {"wide_learning_rate": 0.5, "deep_learning_rate": 0.02, "ema_decay": 0.5},
        # The report, 2 s a run, has tests of its own.
        "evaluation": {"baseline": "constant", "report": "none"},
        "output": {"job_dir": f"{files}/run{next(RUNS)}"},
    }
    for name, section in sections.items():
        is_layer = name in values and name not in ("columns", "label", "crosses")
        values[name] = values[name] | section if is_layer else section
    return parse_config(values, "test")


def train(files, callbacks=(), **sections):
    """The report and, under `history`, the records of the evaluations without their clocks."""
    config = make_config(files, **sections)
    report = model.train_and_evaluate(config, callbacks=callbacks)
    lines = Path(config.output.job_dir, "metrics.jsonl").read_text().splitlines()
    history = [{k: v for k, v in json.loads(line).items() if "seconds" not in k} for line in lines]
    return report | {"history": history, "job_dir": config.output.job_dir}


def learned(report, part="validation"):
    """Whether the model is clearly better than the constant."""
    monitor = report["monitor"]
    return report["metrics"][part][monitor] < 0.8 * report["baselines"]["constant"][part][monitor]


# ---- towers, schemas, tasks


@pytest.mark.parametrize("towers", ["wide", "deep", "both"])
def test_each_part_learns_alone_and_with_the_other(files, no_export, towers):
    report = train(files, model={"towers": towers})
    assert learned(report)
    assert report["metrics"]["validation"]["num_rows"] == 96


SCHEMAS = {
    "one_number": ({"size": "numeric"}, []),
    "one_category": ({"color": {"kind": "categorical", "min_frequency": 1}}, []),
    "no_number": ({"color": {"kind": "categorical", "hash_buckets": 9}, "bought": "boolean"}, []),
    "only_a_cross": (
        {
            "size": {"kind": "numeric", "buckets": 8, "towers": []},
            "color": {"kind": "categorical", "min_frequency": 1, "towers": []},
        },
        [{"columns": ["size", "color"], "towers": ["wide", "deep"]}],
    ),
    "every_kind": (
        {
            "id": "key",
            "size": "numeric",
            "cut": {"kind": "bucketized", "source": "size", "edges": [-1, 0, 1]},
            "color": {"kind": "categorical", "vocabulary": ["red", "blue"]},
            "shape": {"kind": "categorical", "hash_buckets": 3},
            "count": {"kind": "identity", "size": 4},
            "bought": "boolean",
            "answer": "ignore",
        },
        [{"columns": ["cut", "color", "count"], "towers": ["wide", "deep"]}],
    ),
}


@pytest.mark.parametrize(("columns", "crosses"), SCHEMAS.values(), ids=list(SCHEMAS))
def test_schemas_from_one_column_to_every_kind(files, no_export, columns, crosses):
    report = train(files, columns=columns, crosses=crosses, training={"epochs": 6, "patience": 0})
    metrics, constant = report["metrics"]["validation"], report["baselines"]["constant"]
    assert metrics["rmse"] < 0.99 * constant["validation"]["rmse"]


def test_constant_column_changes_nothing_but_a_warning(files, no_export, tmp_path, caplog):
    rows = [[*row, "7"] for row in make_rows(320)]
    path = write_csv(tmp_path / "constant.csv", rows, [*NAMES, "seven"])
    data = {"train": path, "validation": "", "validation_fraction": 0.3}
    report = train(files, data=data, columns={**COLUMNS, "seven": "numeric"})
    assert learned(report)
    assert "seven has the value 7 in every training row" in caplog.text


def test_unseen_category_in_validation_is_out_of_vocabulary(files, no_export, tmp_path):
    rows = make_rows(96, seed=1)
    paths = []
    for color in ("violet", "cyan"):
        other = [[*row[:2], color, *row[3:]] for row in rows]
        paths.append(write_csv(tmp_path / f"{color}.csv", other))
    reports = [train(files, data={"validation": path}) for path in paths]
    # Both unseen colors share the one bucket for them, so that every prediction is the same.
    assert reports[0]["history"] == reports[1]["history"]
    assert reports[0]["metrics"]["validation"]["num_rows"] == 96


def test_fewer_rows_than_a_batch_would_like(files, no_export, tmp_path):
    path = write_csv(tmp_path / "two.csv", [row for row in make_rows(20) if row[1]][:2])
    report = train(
        files, data={"train": path}, training={"batch_size": "auto"}, columns={"size": "numeric"}
    )
    assert report["rows"]["train"] == 2
    assert report["last_step"] == 2
    with pytest.raises(UserError, match=r"batch_size 3 is larger than the training set of 2 rows"):
        train(files, data={"train": path}, training={"batch_size": 3}, columns={"size": "numeric"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": lambda i: ""}, "every training value of 'size' is missing"),
        ({"color": lambda i: "NA"}, "every training value of 'color' is missing"),
        ({"value": lambda i: "" if i == 6 else "1"}, r"table.csv:8 label value is missing"),
    ],
)
def test_tables_that_cannot_be_learned_are_refused(files, tmp_path, change, message):
    (name, make) = next(iter(change.items()))
    place = NAMES.index(name)
    rows = [[*r[:place], make(i), *r[place + 1 :]] for i, r in enumerate(make_rows(40))]
    path = write_csv(tmp_path / "table.csv", rows)
    with pytest.raises(UserError, match=message):
        train(files, data={"train": path})


def test_a_positive_class_that_no_row_has_is_refused(files):
    with pytest.raises(UserError, match=r"label.positive 'Yes' is in none of the 320 training"):
        train(files, label={"column": "answer", "task": "binary", "positive": "Yes"})


def test_positive_text_and_0_1_are_the_same_label(files, no_export):
    reports = [
        train(files, label={"task": "binary", **label})
        for label in ({"column": "answer", "positive": "yes"}, {"column": "bought"})
    ]
    assert reports[0]["history"] == reports[1]["history"]
    assert reports[0]["metrics"] == reports[1]["metrics"]
    assert reports[0]["metrics"]["validation"]["auc"] > 0.9


# ---- weights


def weighted(files, tmp_path, name, weights, rows):
    path = write_csv(
        tmp_path / name,
        [[*r, w] for r, w in zip(rows, weights, strict=True)],
        [
            *NAMES,
            "importance",
        ],
    )
    columns = {**COLUMNS, "importance": "weight"}
    data = {"train": path, "validation": path}
    return train(files, data=data, columns=columns, training={"batch_size": 40})


def test_twice_the_weights_are_the_same_run(files, no_export, tmp_path):
    rows = make_rows(120)
    once = weighted(files, tmp_path, "once.csv", [1 + i % 3 for i in range(120)], rows)
    twice = weighted(files, tmp_path, "twice.csv", [2 + 2 * (i % 3) for i in range(120)], rows)
    assert twice["metrics"]["validation"].pop("sum_weight") == 2 * once["metrics"][
        "validation"
    ].pop("sum_weight")
    assert twice["metrics"] == once["metrics"]
    assert [r["loss"] for r in twice["history"]] == [r["loss"] for r in once["history"]]


def test_weight_0_leaves_the_row_out(files, no_export, tmp_path):
    rows = make_rows(160)
    wrong = [[*row[:5], "1000", *row[6:]] for row in rows]
    is_used = [i % 4 != 1 for i in range(160)]
    mixed = [row if used else bad for row, bad, used in zip(rows, wrong, is_used, strict=True)]
    with_zeros = weighted(files, tmp_path, "zeros.csv", [float(u) for u in is_used], mixed)
    kept = [row for row, used in zip(rows, is_used, strict=True) if used]
    without = weighted(files, tmp_path, "kept.csv", [1] * 120, kept)
    assert with_zeros["history"] == without["history"]
    with pytest.raises(UserError, match="all have weight 0"):
        weighted(files, tmp_path, "none.csv", [0] * 160, rows)


# ---- options


OPTIONS = {
    "adam": {"optimizer": {"wide_optimizer": "adam", "deep_optimizer": "adam"}},
    "adagrad": {"optimizer": {"wide_optimizer": "adagrad", "deep_optimizer": "adagrad"}},
    "sgd": {
        "optimizer": {
            "wide_optimizer": "sgd",
            "deep_optimizer": "sgd",
            "wide_learning_rate": 0.01,
            "deep_learning_rate": 0.01,
        }
    },
    "adamw": {"optimizer": {"wide_optimizer": "adamw", "wide_learning_rate": 0.02}},
    "penalties": {
        "optimizer": {
            "wide_l1": 1e-3,
            "wide_l2": 1e-3,
            "wide_l2_shrinkage": 1e-3,
            "deep_l1": 1e-4,
            "deep_l2": 1e-4,
            "clip_norm": 1.0,
        }
    },
    "cosine": {"optimizer": {"schedule": "cosine", "warmup_steps": 3}},
    "exponential": {"optimizer": {"schedule": "exponential", "decay_steps": 20}},
    "plain": {
        "optimizer": {"ema_decay": 0},
        "model": {"output_offset": "none", "standardize_target": False},
    },
    "dropout": {"model": {"dropout": 0.1, "input_dropout": 0.05, "activation": "gelu"}},
    "huber": {"model": {"loss": "huber", "huber_delta": 0.5}},
    "mae": {"model": {"loss": "mae", "embedding_dim": 3}},
}


@pytest.mark.parametrize("sections", OPTIONS.values(), ids=list(OPTIONS))
def test_every_way_to_learn_learns(files, no_export, sections):
    base = {"wide_learning_rate": 0.5, "deep_learning_rate": 0.02, "ema_decay": 0.5}
    optimizer = base | sections.get("optimizer", {})
    report = train(
        files, **sections | {"optimizer": optimizer}, training={"epochs": 5, "patience": 0}
    )
    assert learned(report)
    assert report["history"][-1]["loss"] < report["history"][0]["loss"]


def test_schedule_is_what_the_records_say(files, no_export):
    report = train(
        files,
        optimizer={"schedule": "cosine", "warmup_steps": 4},
        training={"epochs": None, "steps": 20, "eval_steps": 2},
    )
    rates = [record["deep_learning_rate"] for record in report["history"]]
    # The rate of step s (from 0) is 0.02 * (s + 1) / 4, then half a cosine over the steps to 20.
    assert rates[0] == pytest.approx(0.02 * 2 / 4, rel=1e-5)
    assert max(rates) <= 0.02
    assert rates[-1] < 0.1 * max(rates)


@pytest.mark.parametrize("missing", ["mean", "median", "constant", "indicator"])
def test_missing_numbers_have_a_policy(files, no_export, missing):
    columns = COLUMNS | {"size": {"kind": "numeric", "missing": missing}}
    assert learned(train(files, columns=columns))


def test_missing_numbers_can_be_errors(files):
    columns = COLUMNS | {"size": {"kind": "numeric", "missing": "error"}}
    with pytest.raises(UserError, match=r"train.csv:7 column size is missing"):
        train(files, columns=columns)


@pytest.mark.parametrize(
    ("switch", "difference"), [({"xla": True}, 1e-3), ({"precision": "bfloat16"}, 0.05)]
)
def test_switches_of_speed_give_close_results(files, no_export, switch, difference):
    plain = train(files)["metrics"]["validation"]["rmse"]
    fast = train(files, training=switch)["metrics"]["validation"]["rmse"]
    assert fast == pytest.approx(plain, rel=difference)


# ---- the loop


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("begin")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append((epoch, logs["val_rmse"]))

    def on_train_end(self, logs=None):
        self.calls.append("end")


def test_callbacks_see_evaluations_as_epochs(files, no_export):
    recorder = Recorder()
    report = train(files, callbacks=[recorder])
    values = [(i, record["val_rmse"]) for i, record in enumerate(report["history"])]
    assert len(values) == 2
    assert recorder.calls == ["begin", *values, "end"]


def test_early_stopping_of_keras_ends_the_run(files, no_export):
    stopping = keras.callbacks.EarlyStopping("val_rmse", min_delta=100, patience=1, mode="min")
    report = train(files, callbacks=[stopping], training={"epochs": 50, "patience": 0})
    assert report["stopped_by"] == "callback"
    assert len(report["history"]) == 2


def test_seconds_are_a_budget(files, no_export):
    report = train(files, training={"epochs": None, "seconds": 0.5, "patience": 0})
    assert report["stopped_by"] == "budget"
    assert report["last_step"] == report["history"][-1]["step"] > 0


def test_num_evals_spread_over_the_budget(files, no_export):
    training = {"epochs": None, "num_train_examples": 960, "num_evals": 5, "patience": 0}
    report = train(files, training=training)
    # 960 examples are 30 batches of 32.
    assert [record["step"] for record in report["history"]] == [6, 12, 18, 24, 30]


def test_last_weights_are_kept_on_request(files, no_export, tmp_path):
    # What is learned is wrong in this validation set: the first evaluation is the best.
    upside_down = [[*r[:5], str(-float(r[5])), *r[6:]] for r in make_rows(96, seed=1)]
    data = {"validation": write_csv(tmp_path / "upside_down.csv", upside_down)}
    kept = {}
    for keep in ("best", "last"):
        report = train(files, data=data, training={"keep_weights": keep})
        values = {record["step"]: record["val_rmse"] for record in report["history"]}
        kept[keep] = report["kept_step"]
        assert report["metrics"]["validation"]["rmse"] == pytest.approx(values[kept[keep]], 1e-6)
    assert kept == {"best": 10, "last": 20}


def test_without_validation_the_last_weights_are_kept(files, no_export, caplog):
    data = {"validation": "", "test": f"{files}/test.csv"}
    report = train(files, data=data, training={"patience": 1, "epochs": 5})
    assert list(report["metrics"]) == ["test"]
    assert learned(report, "test")
    assert report["kept_step"] == report["last_step"] == 50
    assert "no validation rows" in caplog.text


def test_wide_only_baseline_of_a_compiled_run_takes_longer_calls(files, no_export):
    training = {"epochs": 3, "num_evals": 6, "keep_weights": "last", "patience": 0}
    plain, compiled = (
        train(files, evaluation={"baseline": "wide"}, training={**training, "xla": xla})
        for xla in (False, True)
    )
    wide_only = compiled["baselines"]["wide_only"]["validation"]
    assert wide_only["rmse"] == pytest.approx(
        plain["baselines"]["wide_only"]["validation"]["rmse"], 1e-4
    )


def test_wide_only_baseline_is_a_wide_model_of_as_many_steps(files, no_export):
    training = {"epochs": 3, "keep_weights": "last", "patience": 0}
    report = train(files, evaluation={"baseline": "wide"}, training=training)
    wide = train(files, model={"towers": "wide"}, training=training)
    assert report["baselines"]["wide_only"]["validation"] == wide["metrics"]["validation"]
    assert report["baselines"]["constant"] == wide["baselines"]["constant"]
    values = [float(row[5]) for row in make_rows(320)]
    other = np.array([float(row[5]) for row in make_rows(96, seed=1)])
    expected = math.sqrt(np.mean((other - np.mean(values)) ** 2))
    assert wide["baselines"]["constant"]["validation"]["rmse"] == pytest.approx(expected, 1e-6)


# ---- the data


def test_statistics_of_an_earlier_run_give_the_same_model(files, no_export):
    first = train(files)
    second = train(files, data={"statistics_path": f"{first['job_dir']}/statistics.json"})
    assert second["history"] == first["history"]
    with pytest.raises(UserError, match=r"data.statistics_path .*train.csv: not a statistics.json"):
        train(files, data={"statistics_path": f"{files}/train.csv"})


def test_storage_does_not_change_what_is_learned(files, no_export):
    reports = {kind: train(files, data={"storage": kind}) for kind in ("memory", "disk", "stream")}
    for kind, report in reports.items():
        assert report["storage"]["train"] == kind
        assert report["history"] == reports["memory"]["history"]


@pytest.fixture(scope="module")
def formats(files, tmp_path_factory):
    """train and validation as CSV, gzip CSV, CSV without a header, Parquet, and three CSV files."""
    folder = tmp_path_factory.mktemp("formats")
    for part in ("train", "validation"):
        content = (files / f"{part}.csv").read_bytes()
        (folder / f"{part}.csv").write_bytes(content)
        (folder / f"{part}.csv.gz").write_bytes(gzip.compress(content))
        (folder / f"{part}.bare").write_bytes(content.split(b"\n", 1)[1])
        nulls = pa.csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
        table = pa.csv.read_csv(files / f"{part}.csv", convert_options=nulls)
        pa.parquet.write_table(table, folder / f"{part}.parquet")
        lines = content.decode().splitlines(keepends=True)
        for number in range(3):
            piece = [lines[0], *lines[1 + number :: 3]]
            (folder / f"{part}-{number}.csv").write_text("".join(piece))
    return folder


def test_formats_are_read_alike(files, formats, no_export):
    history = {}
    for suffix, more in {
        ".csv": {},
        ".csv.gz": {},
        ".bare": {"column_names": NAMES},
        ".parquet": {},
    }.items():
        data = {part: f"{formats}/{part}{suffix}" for part in ("train", "validation")}
        history[suffix] = train(files, data=data | more)["history"]
    for suffix in (".csv.gz", ".bare", ".parquet"):
        assert history[suffix] == history[".csv"], suffix


def test_many_files_are_one_table(files, formats, no_export):
    data = {part: f"{formats}/{part}-*.csv" for part in ("train", "validation")}
    several, one = train(files, data=data), train(files)
    assert several["rows"] == one["rows"]
    assert several["baselines"]["constant"]["validation"] == pytest.approx(
        one["baselines"]["constant"]["validation"]
    )
    assert learned(several)
    texts = [Path(r["job_dir"], "statistics.json").read_text() for r in (several, one)]
    found, expected = (json.loads(text)["numbers"]["size"] for text in texts)
    assert found["quantiles"] == expected["quantiles"]
    assert found["mean"] == pytest.approx(expected["mean"], rel=1e-9)


def used_rows(files, monkeypatch, **data):
    """Keys of the rows of each part."""
    config = make_config(files, data=data, columns={**COLUMNS, "id": "key"})
    parts = open_parts(config, model.data_files.find_files(config.data, ""))
    return {
        name: [key for block in part.blocks() for key in block.columns["id"].to_pylist()]
        for name, part in parts.items()
    }


@pytest.mark.parametrize("column", [None, "id"])
def test_splits_are_disjoint_and_of_the_size_that_was_asked(files, tmp_path, monkeypatch, column):
    path = write_csv(tmp_path / "big.csv", make_rows(4000))
    fractions = {"validation_fraction": 0.2, "test_fraction": 0.1}
    data = {"train": path, "validation": "", "split_column": column, **fractions}
    parts = used_rows(files, monkeypatch, **data)
    sizes = {name: len(keys) for name, keys in parts.items()}
    assert sum(sizes.values()) == 4000
    assert len(set().union(*parts.values())) == 4000
    # Four standard deviations of a binomial of 4000 rows.
    assert sizes["validation"] == pytest.approx(800, abs=4 * math.sqrt(4000 * 0.2 * 0.8))
    assert sizes["test"] == pytest.approx(400, abs=4 * math.sqrt(4000 * 0.1 * 0.9))


def test_split_by_a_column_follows_the_row_wherever_it_stands(files, tmp_path, monkeypatch):
    rows = make_rows(400)
    data = {"validation": "", "split_column": "id", "validation_fraction": 0.3}
    parts = [
        used_rows(files, monkeypatch, train=write_csv(tmp_path / name, table), **data)
        for name, table in (("a.csv", rows), ("b.csv", rows[::-1]))
    ]
    for name in ("train", "validation"):
        assert sorted(parts[0][name]) == sorted(parts[1][name])


def test_row_limits(files, no_export, tmp_path):
    limited = train(files, data={"limit_rows": 64})
    small = {
        part: write_csv(tmp_path / f"{part}.csv", make_rows(num_rows, seed)[:64])
        for part, num_rows, seed in (("train", 320, 0), ("validation", 96, 1))
    }
    assert limited["history"] == train(files, data=small)["history"]


def test_bad_rows_up_to_a_limit_are_left_out(files, no_export, tmp_path, caplog):
    good = make_rows(320)
    bad = [good[0][:3], [*good[1][:5], "dear", *good[1][6:]]]
    path = write_csv(tmp_path / "bad.csv", [*good[:100], *bad, *good[100:]])
    with pytest.raises(UserError, match=r"bad.csv:102 3 fields instead of 8"):
        train(files, data={"train": path, "max_bad_rows": 1})
    tolerant = train(files, data={"train": path, "max_bad_rows": 2})
    assert tolerant["history"] == train(files)["history"]
    assert "2 bad rows are left out" in caplog.text
    assert "bad.csv:103 label value: 'dear' is not a number" in caplog.text


# ---- the served model and the folder


def serve(model_dir, rows, names):
    """Scores of raw rows by the SavedModel."""
    served = tf.saved_model.load(model_dir).signatures["serving_default"]
    inputs = {}
    for name, spec in served.structured_input_signature[1].items():
        cells = [row[names.index(name)] for row in rows]
        if spec.dtype == tf.float32:
            cells = [float(cell) if cell else math.nan for cell in cells]
        inputs[name] = tf.constant(cells, spec.dtype)
    return {name: value.numpy() for name, value in served(**inputs).items()}


def test_served_model_scores_the_raw_test_rows_as_training_did(files):
    report = train(files, data={"test": f"{files}/test.csv"}, columns={**COLUMNS, "id": "key"})
    rows = make_rows(64, seed=2)
    answer = serve(report["model_dir"], rows, NAMES)
    assert sum(not row[1] or not row[2] for row in rows) == 11
    assert answer["key"].astype(str).tolist() == [row[0] for row in rows]
    values = np.array([float(row[5]) for row in rows])
    rmse = math.sqrt(np.mean((answer["prediction"].astype(float) - values) ** 2))
    assert report["metrics"]["test"]["rmse"] == pytest.approx(rmse, rel=1e-5)
    alone = serve(report["model_dir"], rows[:1], NAMES)
    assert alone["prediction"] == pytest.approx(answer["prediction"][:1], rel=1e-5)


def test_scratch_folder_may_be_relative(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = train(files, data={"scratch_dir": "scratch"}, training={"epochs": 1})
    assert Path(report["model_dir"], "saved_model.pb").exists()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_served_classes_are_the_texts_of_the_label(files):
    label = {"column": "answer", "task": "binary", "positive": "yes"}
    report = train(files, label=label, data={"test": f"{files}/test.csv"})
    rows = make_rows(64, seed=2)
    answer = serve(report["model_dir"], rows, NAMES)
    is_yes = answer["probability"] >= 0.5
    assert (answer["class"] == b"yes").tolist() == is_yes.tolist()
    accuracy = np.mean([yes == (row[7] == "yes") for yes, row in zip(is_yes, rows, strict=True)])
    assert report["metrics"]["test"]["accuracy"] == pytest.approx(accuracy)


def test_folder_of_a_run_belongs_to_its_settings_and_data(files, no_export, tmp_path):
    content = (files / "train.csv").read_text()
    path = tmp_path / "mine.csv"
    path.write_text(content)
    own = {"data": {"train": str(path)}, "output": {"job_dir": str(tmp_path / "run")}}
    first = train(files, **own)

    again = train(files, **own, callbacks=[Recorder()])
    assert again == first
    with pytest.raises(UserError, match=r"another setting: model.hidden_units was \[8\], now \[9"):
        train(files, **own, model={"hidden_units": [9]})
    path.write_text(content + ",".join(make_rows(1, seed=9)[0]) + "\n")
    with pytest.raises(
        UserError, match=r"another data file: .*mine.csv was '\d+-\w{8}', now '\d+-\w{8}'"
    ):
        train(files, **own)
    restarted = train(files, **own, training={"resume": "restart"})
    assert restarted["rows"]["train"] == 321
    assert restarted["seconds"] != first["seconds"]
