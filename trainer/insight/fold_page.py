"""The page of a run of folds: what they say together; each fold has a page of its own."""

from __future__ import annotations

from typing import Any

from trainer import storage
from trainer.insight.page import render, title_of
from trainer.insight.page_sections import Section
from trainer.insight.report_tables import Found, csv_text, of_records
from trainer.metric_names import METRIC_GOALS


def write_fold_page(report: Found, job_dir: str) -> None:
    """report.html and its tables from the report.json of all folds, see `folds.cross_validate`.

    Raises:
        UserError: the folder cannot be written.
    """
    sections = fold_sections(report)
    lead = f"{report['folds']} models, {report['task']}, each validated on the fold it did not see."
    storage.write_text(
        storage.join(job_dir, "report.html"), render(title_of(report), sections, lead)
    )
    for table in (table for section in sections for table in section.tables):
        storage.write_text(storage.join(job_dir, "tables", f"{table.name}.csv"), csv_text(table))


def fold_sections(report: Found) -> list[Section]:
    """The means beside those of the references, and each fold's figures."""
    together, single = [], []
    for part, metrics in report["metrics"].items():
        for name, found in metrics.items():
            if name in METRIC_GOALS:
                together.append(_summary(report, part, name, found))
            values = {f"fold {i}": value for i, value in enumerate(found["values"], 1)}
            single.append({"part": part, "metric": name} | values)
    text = (
        "The standard error is of the mean over the folds; as they share training rows, it is "
        "somewhat too small. A difference of less than two of them may be chance."
    )
    folders = [f"{folder}/report.html" for folder in report["runs"]]
    return [
        Section(
            "folds",
            "All folds together",
            [text],
            tables=[of_records("folds", "Mean over the folds", together)],
        ),
        Section("each", "Each fold", tables=[of_records("each_fold", "Metrics", single)]),
        Section("pages", "Pages of the folds", items=folders),
    ]


def _summary(report: Found, part: str, name: str, found: Found) -> dict[str, Any]:
    better = "lower" if METRIC_GOALS[name] == "minimize" else "higher"
    record = {"part": part, "metric": name, "better": better, "mean": found["mean"]}
    record |= {"standard error": found["standard_error"], "sd": found["sd"]}
    return record | {
        baseline: parts.get(part, {}).get(name, {}).get("mean")
        for baseline, parts in report["baselines"].items()
    }
