"""trainer.insight.importance: equal to shuffling rows by hand, through the exported model."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from trainer import data_files
from trainer.config import parse_config
from trainer.datasets import build_datasets
from trainer.insight.held_out_rows import RawRows, read_held_out
from trainer.insight.importance import partial_dependence, permutation_importance
from trainer.model import load, train_and_evaluate


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose label is 3 a + the hour of the day at 12 o'clock, and its folder."""
    folder = tmp_path_factory.mktemp("importance")
    random = np.random.default_rng(1)
    a, noise = random.normal(size=(2, 1500))
    hour = random.integers(0, 24, 1500)
    table = {
        "a": a,
        "noise": noise,
        "at": [f"2026-01-{1 + h % 9:02} {h:02}:30:00" for h in hour],
        "kind": np.array(["x", "y", "z"])[hour % 3],
        "label": 3 * a + 2.0 * (hour >= 12),
    }
    pa.csv.write_csv(pa.table(table), folder / "rows.csv")
    config = parse_config(
        {
            "data": {"train": str(folder / "rows.csv"), "validation_fraction": 0.3},
            "columns": {
                "a": "numeric",
                "noise": "numeric",
                "at": {"kind": "datetime", "parts": ["hour"]},
                "kind": {"kind": "categorical"},
            },
            "label": {"column": "label", "task": "regression"},
            "model": {"hidden_units": [8], "dropout": 0.0, "input_dropout": 0.0},
            "training": {"steps": 300, "batch_size": 64},
            "evaluation": {"baseline": "none"},
            "output": {"job_dir": str(folder / "run")},
        },
        "test",
    )
    report = train_and_evaluate(config)
    datasets = build_datasets(config, data_files.find_files(config.data, str(folder)))
    return report, load(str(folder / "run")), read_held_out(datasets, seed=1).sample


def _rmse(label, prediction):
    return np.sqrt(np.mean((label - prediction) ** 2))


def test_importance_is_what_shuffling_by_hand_costs(run):
    """The same shuffles of rows that the exported model is then asked for, and numpy's RMSE."""
    report, model, rows = run
    label = rows.labels[:, 0].astype(np.float64)
    names = ["a", "noise", "at", "kind"]
    base = _rmse(label, model.answer(rows.columns)["prediction"])
    random, expected = np.random.default_rng(1), {}
    for name in names:
        losses = []
        for _ in range(5):
            order = pa.array(random.permutation(len(label)))
            shuffled = {**rows.columns, name: rows.columns[name].take(order)}
            losses.append(_rmse(label, model.answer(shuffled)["prediction"]) - base)
        expected[name] = (np.mean(losses), np.std(losses))

    found = {item["column"]: item for item in report["importance"]}

    assert list(found) == sorted(names, key=lambda name: -expected[name][0])
    assert list(found)[:2] == ["a", "at"]
    for name, (mean, sd) in expected.items():
        assert found[name]["mean"] == pytest.approx(mean, rel=1e-3, abs=1e-5)
        assert found[name]["sd"] == pytest.approx(sd, rel=1e-2, abs=1e-5)
        assert found[name]["metric"] == "rmse"


def test_partial_dependence_is_the_mean_with_one_value_for_all_rows(run):
    report, model, rows = run
    for name, curve in report["partial_dependence"].items():
        for i, value in enumerate(curve["values"]):
            changed = {n: c[:512] for n, c in rows.columns.items()}
            if name in ("a", "noise"):
                # The report has six digits of the value.
                near = rows.columns[name].to_numpy()
                value = near[np.abs(near - value).argmin()]
            places = np.flatnonzero(np.array(rows.columns[name].to_pylist()) == value)
            place = pa.array(np.full(len(changed[name]), places[0]))
            changed[name] = rows.columns[name].take(place)
            answer = model.answer(changed)["prediction"]
            assert curve["prediction"][i] == pytest.approx(answer.mean(), rel=1e-3, abs=1e-3)
            assert curve["low"][i] == pytest.approx(np.quantile(answer, 0.1), rel=1e-3, abs=1e-3)
            assert curve["high"][i] == pytest.approx(np.quantile(answer, 0.9), rel=1e-3, abs=1e-3)
    curve = report["partial_dependence"]["a"]
    slope = np.polyfit(curve["values"], curve["prediction"], 1)[0]
    assert slope == pytest.approx(3, abs=0.3)
    assert set(report["partial_dependence"]["kind"]["values"]) == {"x", "y", "z"}


def _rows(num_rows):
    column = pa.array(np.arange(num_rows, dtype=np.float32))
    return RawRows({"x": column}, np.zeros((num_rows, 1), np.float32), np.ones(num_rows))


def predictor_of(answer):
    """A predictor by a function of all columns."""
    return lambda columns: lambda replaced: answer({**columns, **replaced})


def _x(columns):
    return columns["x"].to_numpy()[:, None]


def test_a_larger_metric_counts_the_other_way():
    rows = _rows(50)
    kwargs = {"predictor": predictor_of(_x), "seed": 3, "monitor": "m"}

    def measure(labels, logits, weight):
        return {"m": float(np.corrcoef(logits[:, 0], np.arange(50))[0, 1])}

    (up,) = permutation_importance(rows, ["x"], measure=measure, maximize=True, **kwargs)
    (down,) = permutation_importance(rows, ["x"], measure=measure, maximize=False, **kwargs)
    assert up["mean"] == -down["mean"] > 0.5
    assert permutation_importance(rows, ["x"], measure=lambda *_: {}, maximize=True, **kwargs) == []


def test_many_columns_are_shuffled_less_often():
    """A fixed budget of cells, so that time is bounded and the result stays the same."""
    rows = _rows(2048)
    columns = {f"x{i}": rows.columns["x"] for i in range(100)}
    calls = []

    def predict(found):
        calls.append(len(found))
        return found["x0"].to_numpy()[:, None]

    found = permutation_importance(
        rows._replace(columns=columns),
        list(columns),
        predictor=predictor_of(predict),
        measure=lambda *_: {"m": 0.0},
        monitor="m",
        maximize=False,
        seed=1,
    )
    assert len(calls) == 1 + 100 * 1
    assert {item["sd"] for item in found} == {None}


def test_of_many_columns_fewer_rows_are_asked_and_these_are_spread():
    rows = _rows(2048)
    columns = {f"x{i}": rows.columns["x"] for i in range(200)}
    asked = []

    def predict(found):
        asked.append(found["x1"].to_numpy())
        return found["x0"].to_numpy()[:, None]

    partial_dependence(
        rows._replace(columns=columns),
        ["x0"],
        predictor=predictor_of(predict),
        objective=_OneNumber,
    )
    # 2,000,000 cells of 16 points and 200 columns are 625 rows; of 6 columns, 104.
    assert len(asked[0]) == 512
    np.testing.assert_array_equal(asked[0], np.arange(512) * 4)
    asked.clear()
    partial_dependence(
        rows._replace(columns=columns),
        [f"x{i}" for i in range(6)],
        predictor=predictor_of(predict),
        objective=_OneNumber,
    )
    assert len(asked[0]) == 104 and asked[0].max() > 2000


class _OneNumber:
    @staticmethod
    def prediction(logits):
        return logits[:, 0]


class _TwoClasses:
    @staticmethod
    def prediction(logits):
        return logits


def test_of_classes_it_is_the_most_probable_one():
    rows = _rows(20)

    def predict(columns):
        share = columns["x"].to_numpy() / 40
        return np.stack([share, 1 - share], axis=1)

    found = partial_dependence(rows, ["x"], predictor=predictor_of(predict), objective=_TwoClasses)[
        "x"
    ]
    assert found["class"] == 1
    np.testing.assert_allclose(found["prediction"], 1 - np.array(found["values"]) / 40, rtol=1e-6)
    assert found["low"] == pytest.approx(found["high"])
