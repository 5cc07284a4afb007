"""The report of whole runs: the page says what report.json says; none; a failure."""

import json
from types import SimpleNamespace

import pytest
from page_reader import Reader
from planted_reports import EVIL
from table_runs import config_text, table_files

from trainer import model
from trainer.config import parse_config
from trainer.insight import insights
from trainer.yaml_text import load_yaml


def run(folder, **evaluation):
    for name, content in table_files("parquet").items():
        (folder / name).write_bytes(content)
    values = load_yaml(config_text(folder, "parquet"), "test")
    values["evaluation"] |= evaluation
    values["output"] = {"job_dir": str(folder / "run")}
    return model.train_and_evaluate(parse_config(values, "test"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The report and the folder of a run."""
    folder = tmp_path_factory.mktemp("finished")
    return run(folder), folder / "run"


def test_page_of_a_run_says_what_its_report_says(finished):
    report, job_dir = finished
    assert json.loads((job_dir / "report.json").read_text()) == report
    text = (job_dir / "report.html").read_text()
    shown = set(Reader(text).data)
    for part in ("validation", "test"):
        assert {("table-metrics", v) for v in report["metrics"][part].values()} <= shown
        counts = report["evaluation"][part]["confusion"]
        assert {(f"table-confusion_{part}", float(v)) for v in counts.values()} <= shown
    assert {("table-importance", i["mean"]) for i in report["importance"]} <= shown
    assert ("table-seconds", report["seconds"]["report"]) in shown
    for name in ("run", "verdict", "training", "evaluation", "importance", "data", "health"):
        assert f'<section id="{name}"' in text
    assert len(report["verdict"]) == 3 and report["verdict"][0].startswith("On 60 test rows")
    assert (job_dir / "tables" / "importance.csv").exists()
    assert (job_dir / "model_card.md").read_text().startswith("# Model card: ")


def test_a_run_without_a_report_has_no_page(tmp_path):
    report = run(tmp_path, report="none")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert "report.json" in names and not {"report.html", "model_card.md", "tables"} & names
    assert not {"verdict", "evaluation", "importance", "doctor"} & set(report)


def test_a_page_that_fails_is_a_warning(finished, tmp_path, monkeypatch, caplog):
    report, _ = finished

    def broken(report):
        raise ValueError(EVIL)

    monkeypatch.setattr(insights, "FORGIVEN", (Exception,))
    monkeypatch.setattr(insights.page_files, "card_of", broken)
    insights.present(report, SimpleNamespace(job_dir=str(tmp_path)))
    assert [m for m in caplog.messages if m.startswith("the report has no")] == [
        f"the report has no page: ValueError: {EVIL}"
    ]
