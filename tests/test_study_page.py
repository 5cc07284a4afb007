import csv
import json
import re
import sys
from html.parser import HTMLParser

import pytest

from trainer.errors import UserError
from trainer.jobs.search_space import Parameter
from trainer.jobs.study import Study
from trainer.jobs.study_page import write_best_flags, write_page, write_trials
from trainer.jobs.trials import Trial, ranked_table
from trainer.yaml_text import load_yaml

pytest.importorskip("plotly")

STUDY = Study(
    {"val_rmse": "MINIMIZE"},
    (
        Parameter("rate", "rate", "double", low=0.001, high=1.0, scale="log"),
        Parameter(
            "kind",
            "kind",
            "categorical",
            choices=("a<b", "c"),
            children=(
                Parameter("m", "kind=c/m", "discrete", choices=(0.5, 8.0), parent_values=("c",)),
            ),
        ),
        Parameter("depth", "depth", "integer", low=1.0, high=9.0, scale="reverse_log"),
    ),
)
TRIALS = [
    Trial("1", "SUCCEEDED", {"rate": 0.1, "kind": "a<b", "depth": 1}, {"val_rmse": 2.5}, 7, 1.5),
    Trial("2", "INFEASIBLE", {"rate": 0.2, "kind": "a<b", "depth": 2}, reason="loss, is nan"),
    Trial("3", "SUCCEEDED", {"rate": 0.3, "kind": "c", "m": 8.0, "depth": 3}, {"val_rmse": 0.1}, 5),
    Trial("4", "SUCCEEDED", {"rate": 0.01, "kind": "c", "m": 0.5, "depth": 9}, {"val_rmse": 1 / 3}),
    Trial("5", "STOPPED", {"rate": 0.02, "kind": "a<b", "depth": 4}, {"val_rmse": 0.05}, 2),
    Trial("6", "SUCCEEDED", {"rate": 0.9, "kind": "c", "m": 0.5, "depth": 8}, {"val_rmse": 9.0}),
]  # fmt: skip


class Page(HTMLParser):
    """Tags, attributes and texts outside of scripts and styles."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self._inside = [], "", ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.text += data


def test_json_and_csv_have_the_same_numbers_best_first(tmp_path):
    write_trials(STUDY, TRIALS, tmp_path)

    records = json.loads((tmp_path / "trials.json").read_text())
    with open(tmp_path / "trials.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [record["id"] for record in records] == ["3", "4", "1", "6", "2", "5"]
    assert [record["rank"] for record in records] == [1, 2, 3, 4, None, None]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "", ""]
    for record, row in zip(records, rows, strict=True):
        assert row["trial"] == record["id"] and row["state"] == record["state"]
        value = record["metrics"].get("val_rmse")
        assert row["val_rmse"] == ("" if value is None else repr(value))
        assert row["reason"] == record["reason"]
        for name in ("rate", "kind", "m", "depth"):
            assert row[name] == str(record["parameters"].get(name, ""))
    assert records[1]["metrics"]["val_rmse"] == 1 / 3


def test_best_flags_are_exact_and_say_the_command(tmp_path):
    write_best_flags(STUDY, TRIALS[2], "python -m trainer.task --rate=0.3", tmp_path)

    text = (tmp_path / "best_flags.yaml").read_text()
    assert load_yaml(text, "best_flags.yaml") == {"rate": 0.3, "kind": "c", "m": 8, "depth": 3}
    assert text.startswith("# Trial 3: val_rmse 0.1\n# python -m trainer.task --rate=0.3\n")


def test_line_break_of_a_value_stays_in_the_comment(tmp_path):
    write_best_flags(STUDY, TRIALS[2], "python --name='a\nrate: 9\r\nkind: d\u2028m: 1'", tmp_path)

    text = (tmp_path / "best_flags.yaml").read_text()
    assert load_yaml(text, "best_flags.yaml") == {"rate": 0.3, "kind": "c", "m": 8, "depth": 3}


def test_page_has_table_and_plots_and_no_link_to_elsewhere(tmp_path):
    write_page(STUDY, TRIALS, "Study <x>", tmp_path)

    page = Page(tmp_path / "study.html")
    assert ranked_table(TRIALS, STUDY.goals) in page.text
    assert "Study <x>" in page.text and "No plot" not in page.text
    assert "6 trials, 4 of them ranked by val_rmse" in page.text
    for heading in ("Optimisation history", "Parameter importance", "Parallel coordinates"):
        assert heading in page.text
    loading = {"src", "href", "srcset", "data", "action", "poster", "background"}
    assert [(t, a) for t, attrs in page.tags for a in attrs if a in loading] == []
    assert not {tag for tag, _ in page.tags} & {"link", "base", "iframe", "object", "embed", "img"}
    text = (tmp_path / "study.html").read_text()
    assert "@import" not in re.findall("<style>.*?</style>", text, re.DOTALL)[0]
    assert len(re.findall(r"Plotly\.newPlot\(", text)) >= 3
    assert text.count("plotly.js v") <= 2  # inlined once


def plotted(tmp_path):
    """The data of the plots: what stands in Plotly.newPlot's second argument."""
    text = (tmp_path / "study.html").read_text()
    decoder = json.JSONDecoder()
    return [
        decoder.raw_decode(text, match.end())[0]
        for match in re.finditer(r'Plotly\.newPlot\(\s*"[\w-]+",\s*', text)
    ]


def values_of(array):
    """A plot's numbers, a list or packed."""
    if isinstance(array, dict):
        import base64

        import numpy as np

        return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"]).tolist()
    return array


def test_plots_show_the_trials_by_their_number_and_true_values(tmp_path):
    write_page(STUDY, TRIALS, "Study", tmp_path)

    history, importance, parallel = plotted(tmp_path)
    assert values_of(history[0]["x"]) == [1, 3, 4, 6]
    assert values_of(history[0]["y"]) == pytest.approx([2.5, 0.1, 1 / 3, 9.0])
    best = next(trace for trace in history if trace["name"] == "Best Value")
    assert values_of(best["y"])[-1] == pytest.approx(0.1)
    assert set(importance[0]["y"]) <= {"rate", "kind", "kind=c/m", "depth"}
    assert "kind=c/m" in json.dumps(parallel)


def test_plots_have_true_values_and_not_the_mirrored_ones_of_the_search(tmp_path):
    study = Study(STUDY.goals, (STUDY.parameters[2],))

    write_page(study, TRIALS, "Study", tmp_path)
    lines = plotted(tmp_path)[2]
    if "dimensions" in lines[0]:  # Optuna 4 draws one trace of all trials, Optuna 5 one of each
        (depths,) = [d["values"] for d in lines[0]["dimensions"] if d["label"] == "depth"]
        found = values_of(depths)
    else:
        found = [dict(line["customdata"])["depth"] for line in lines if "customdata" in line]
    assert sorted(map(int, found)) == [1, 3, 8, 9]


@pytest.mark.parametrize("trials", [[], TRIALS[:1], TRIALS[1:2], TRIALS[:5]])
def test_page_of_hardly_any_trial_says_why_a_plot_is_missing(tmp_path, trials):
    write_page(STUDY, trials, "Study", tmp_path)

    text = Page(tmp_path / "study.html").text
    assert "Parameter importance" in text and "No plot: it needs 4 ranked trials" in text


def test_page_of_a_parameter_with_one_value_is_made(tmp_path):
    study = Study(STUDY.goals, (Parameter("x", "x", "double", low=1.0, high=1.0),))
    trials = [Trial(str(i), "SUCCEEDED", {"x": 1.0}, {"val_rmse": float(i)}) for i in (1, 2, 3)]

    write_page(study, trials, "Study", tmp_path)

    assert "Optimisation history" in Page(tmp_path / "study.html").text


def test_missing_plotly_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)

    with pytest.raises(UserError, match=r"study.html needs plotly; pip install .*\[local\]"):
        write_page(STUDY, TRIALS, "Study", tmp_path)
