"""trainer.insight.learned_weights: planted weights are found, embeddings mapped as sklearn does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from trainer.config import parse_config
from trainer.insight.learned_weights import neighbors, principal_components, wide_weights
from trainer.model import train_and_evaluate
from trainer.trained_embeddings import LearnedRows, TrainedEmbeddings

SCRIPT = Path(__file__).parents[1] / "scripts/neighbors.py"
# London and Leeds behave alike, Paris otherwise.
EFFECTS = {"London": 2.0, "Leeds": 2.0, "Paris": -3.0, "Rome": 0.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    random = np.random.default_rng(1)
    city = random.choice(list(EFFECTS), 1200, p=[0.4, 0.3, 0.2, 0.1])
    day = random.choice(["mon", "tue"], 1200)
    label = np.array([EFFECTS[c] for c in city]) + 5.0 * ((city == "Rome") & (day == "tue"))
    table = {"city": city, "day": day, "label": label + random.normal(0, 0.1, 1200)}
    pa.csv.write_csv(pa.table(table), folder / "rows.csv")
    config = parse_config(
        {
            "data": {"train": str(folder / "rows.csv"), "validation_fraction": 0.2},
            "columns": {"city": {"kind": "categorical", "embedding_dim": 4}, "day": "categorical"},
            "crosses": [{"columns": ["city", "day"], "bins": 30}],
            "label": {"column": "label", "task": "regression"},
            "model": {"hidden_units": [8], "dropout": 0.0, "input_dropout": 0.0},
            "training": {"steps": 400, "batch_size": 64},
            "evaluation": {"baseline": "none"},
            "output": {"job_dir": str(folder / "run")},
        },
        "test",
    )
    return train_and_evaluate(config), TrainedEmbeddings(str(folder / "run")), table


def test_the_strongest_weights_are_named_and_counted(run):
    report, exported, _ = run
    weights = report["wide_weights"]
    assert ("city", "Paris") in [(w["feature"], w["value"]) for w in weights["negative"][:4]]
    assert [w["weight"] for w in weights["negative"]] == sorted(
        w["weight"] for w in weights["negative"]
    )
    strongest = max(weights["positive"], key=lambda item: item["weight"])
    assert weights["positive"][0] == strongest
    assert "Rome x tue" in [w["value"] for w in weights["positive"] if w["feature"] == "city_x_day"]
    known = exported.wide_weights()
    by_city = {}
    for item in [*weights["positive"], *weights["negative"]]:
        rows = dict(zip(*known[item["feature"]], strict=True))
        assert item["weight"] == pytest.approx(float(rows[item["value"]][0]), rel=1e-5)
        if item["feature"] == "city":
            by_city[item["value"]] = item["rows"]
    # All rows of training have one of the cities that weigh something.
    assert sum(by_city.values()) <= report["rows"]["train"]
    assert by_city["Paris"] == pytest.approx(0.2 * report["rows"]["train"], rel=0.2)


def test_the_map_is_that_of_the_exported_embeddings(run):
    report, exported, _ = run
    found = report["embedding_map"]["city"]
    rows = dict(zip(*exported.embeddings()["city"], strict=True))
    assert found["names"] == ["London", "Leeds", "Paris", "Rome"]
    assert sum(found["rows"]) == report["rows"]["train"]
    matrix = np.array([rows[name] for name in found["names"]])
    expected = PCA(2).fit_transform(matrix)
    for mine, theirs in zip((found["x"], found["y"]), expected.T, strict=True):
        np.testing.assert_allclose(np.abs(mine), np.abs(theirs), rtol=1e-3, atol=1e-5)
    cosines = cosine_similarity(matrix)
    for i, name in enumerate(found["names"]):
        theirs = sorted(np.delete(cosines[i], i), reverse=True)
        mine = [n["similarity"] for n in found["neighbors"][name]]
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
        assert name not in [n["name"] for n in found["neighbors"][name]]


def test_components_equal_those_of_sklearn():
    rows = np.random.default_rng(2).normal(size=(50, 6)).astype(np.float32)
    found, theirs = principal_components(rows), PCA(2).fit_transform(rows.astype(float)).T
    np.testing.assert_allclose(np.abs(found), np.abs(theirs), rtol=1e-6)
    assert (found[[0, 1], np.abs(found).argmax(axis=1)] > 0).all()
    np.testing.assert_allclose(principal_components(np.eye(3)[:, :1])[1], 0.0)


def test_several_outputs_are_told_apart():
    class Names:
        def of(self, feature, ids):
            return tuple(f"v{i}" for i in ids)

    tables = {"a": np.array([[0.0, 1.0], [-2.0, 0.5]])}
    found = wide_weights(tables, Names(), {}, ["no", "yes"])
    assert [(w["value"], w["class"], w["weight"]) for w in found["positive"]] == [
        ("v0", "yes", 1.0),
        ("v1", "yes", 0.5),
    ]
    assert found["negative"] == [
        {"feature": "a", "value": "v1", "weight": -2.0, "rows": None, "class": "no"}
    ]


def test_a_row_of_zeros_is_near_to_nothing():
    values = LearnedRows(("a", "b", "c"), np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
    assert [n.similarity for n in neighbors(values, 0)] == [0.0, 0.0]
    assert neighbors(values, 1)[0].similarity == pytest.approx(np.sqrt(0.5))


def test_the_script_prints_neighbors_or_what_is_wrong(run):
    _, exported, _ = run

    def call(column, value):
        command = [sys.executable, str(SCRIPT), f"--model={exported.model_dir}"]
        return subprocess.run(
            [*command, f"--column={column}", f"--value={value}"],
            capture_output=True,
            text=True,
            check=False,
        )

    found = call("city", "London")
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[0].endswith("Leeds")
    wrong = call("city", "Londn")
    assert wrong.returncode == 2
    assert "did you mean 'London'" in wrong.stderr.strip().splitlines()[-1]
    assert "has no embedding of 'citi'; did you mean 'city'" in call("citi", "London").stderr
