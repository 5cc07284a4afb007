"""Runs side by side: one table, and one page with the curves of all of them.

    python scripts/compare_runs.py runs/a runs/b gs://bucket/runs/c --out=comparison.html

Reads what the runs have left, report.json, config.yaml and metrics.jsonl; runs nothing. Of a run of
folds it takes the means over the folds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from trainer import storage
from trainer.errors import UserError
from trainer.insight.chart_style import SERIES, Chart, drawing, shortened
from trainer.insight.page import cell_text, number_text, render
from trainer.insight.page_sections import Section
from trainer.insight.report_tables import Found, Table, Value, csv_text
from trainer.yaml_text import load_yaml

_LINES = ("-", "--", ":", "-.")
_MOST_RUNS = len(SERIES) * len(_LINES)
_MOST_TEXT = 48
_MOST_SETTINGS = 40  # that are printed; the page and the CSV file have all
_MOST_ROWS = 1000


class Run(NamedTuple):
    """What a run has left.

    name: of its folder, unique among those compared. settings: of its config by dotted key.
    """

    name: str
    report: Found
    settings: Mapping[str, Any]
    history: Sequence[Found]


def main(argv: Sequence[str]) -> None:
    """Print the table of the runs that `argv` names, and write the page beside it.

    Raises:
        UserError: a folder holds no complete run of this trainer.
    """
    parser = argparse.ArgumentParser(
        prog="compare_runs.py", description="Runs side by side: a table, and a page of curves."
    )
    parser.add_argument("job_dirs", nargs="+", metavar="DIR", help="run folder, local or gs://")
    parser.add_argument("--out", default="comparison.html", help="of the page; .csv beside it")
    arguments = parser.parse_args(argv)
    if not 2 <= len(arguments.job_dirs) <= _MOST_RUNS:
        raise UserError(
            f"give 2 to {_MOST_RUNS} run folders to compare; received {len(arguments.job_dirs)}"
        )
    runs = read_runs(arguments.job_dirs)
    metrics, settings = metrics_of(runs), settings_of(runs)
    print(text_of(metrics))
    print(f"\n{settings.title}\n{text_of(settings._replace(rows=settings.rows[:_MOST_SETTINGS]))}")
    if len(settings.rows) > _MOST_SETTINGS:
        print(f"and {len(settings.rows) - _MOST_SETTINGS} settings more: see the page")
    sections = [
        Section("comparison", "Runs side by side", tables=[metrics, settings]),
        Section("curves", "Curves", charts=charts_of(runs)),
    ]
    lead = f"{len(runs)} runs: {', '.join(run.name for run in runs)}."
    page = render("Runs compared", sections, lead, most_rows=_MOST_ROWS)
    storage.write_text(arguments.out, page)
    both = metrics._replace(rows=metrics.rows + settings.rows)
    storage.write_text(f"{arguments.out.removesuffix('.html')}.csv", csv_text(both))
    print(f"page: {arguments.out}")


def read_runs(job_dirs: Sequence[str]) -> list[Run]:
    """The runs of these folders, in their order.

    Raises:
        UserError: a folder holds no complete run, or a file of it is damaged.
    """
    return [_read(job_dir, name) for job_dir, name in zip(job_dirs, _names(job_dirs), strict=True)]


def _names(job_dirs: Sequence[str]) -> list[str]:
    """The last parts of the paths, as many as tell them apart.

    >>> _names(["runs/x/1", "runs/x/2/"]), _names(["a/fold_1", "b/fold_1"]), _names(["a", "a"])
    (['1', '2'], ['a/fold_1', 'b/fold_1'], ['a', 'a (2)'])
    """
    parts = [[p for p in path.split("/") if p] for path in job_dirs]
    names: list[str] = []
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-depth:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    return [
        name if name not in names[:i] else f"{name} ({names[:i].count(name) + 1})"
        for i, name in enumerate(names)
    ]


def _read(job_dir: str, name: str) -> Run:
    report_path = storage.join(job_dir, "report.json")
    if not storage.exists(report_path):
        if storage.exists(storage.join(job_dir, "config.yaml")):
            raise UserError(
                f"{job_dir} has no report.json: the run has not ended; start its command again, or "
                "leave it out"
            )
        raise UserError(f"{job_dir} has no report.json; name the folder of a complete run")
    try:
        report = json.loads(storage.read_text(report_path))
    except ValueError as error:
        raise UserError(f"{report_path} is damaged: {error}") from error
    if not isinstance(report, dict) or not isinstance(report.get("metrics"), dict):
        raise UserError(f"{report_path} is not the report of a run: it has no metrics")
    if "folds" not in report:
        return Run(name, report, _settings(job_dir), _history(job_dir))
    folds = [storage.join(job_dir, f"fold_{i}") for i in range(1, report["folds"] + 1)]
    settings = _settings(folds[0])
    settings.pop("data.fold", None)
    return Run(name, report, settings, _mean_history([_history(fold) for fold in folds]))


def _settings(job_dir: str) -> dict[str, Any]:
    path = storage.join(job_dir, "config.yaml")
    return flattened(load_yaml(storage.read_text(path), path))


def _history(job_dir: str) -> list[Found]:
    path = storage.join(job_dir, "metrics.jsonl")
    try:
        return [json.loads(line) for line in storage.read_text(path).splitlines() if line.strip()]
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _mean_history(folds: Sequence[Sequence[Found]]) -> list[Found]:
    """Means over the folds, at the steps that each has evaluated.

    >>> _mean_history([[{"step": 1, "loss": 2}, {"step": 2, "loss": 1}], [{"step": 1, "loss": 4}]])
    [{'step': 1.0, 'loss': 3.0}]
    """
    by_step = [{record["step"]: record for record in fold} for fold in folds]
    shared = [step for step in by_step[0] if all(step in fold for fold in by_step)]
    means: list[Found] = []
    for step in shared:
        records = [fold[step] for fold in by_step]
        names = [n for n in records[0] if all(isinstance(r.get(n), int | float) for r in records)]
        means.append({n: float(np.mean([r[n] for r in records])) for n in names})
    return means


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key.

    >>> flattened({"a": {"b": 1, "c": {}}, "d": [2]})
    {'a.b': 1, 'd': [2]}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def metrics_of(runs: Sequence[Run]) -> Table:
    """A column for each run; a row for each metric and total."""
    rows: list[tuple[Value, ...]] = []
    for part in ("test", "validation"):
        metrics = [run.report["metrics"].get(part, {}) for run in runs]
        for name in dict.fromkeys(name for found in metrics for name in found):
            values = [found.get(name) for found in metrics]
            rows.append((f"{part} {name}", *map(_cell, values)))
            errors = [v.get("standard_error") if isinstance(v, Mapping) else None for v in values]
            if any(error is not None for error in errors):
                rows.append((f"{part} {name}, standard error over folds", *map(_cell, errors)))
    for key in ("task", "folds", *_TOTALS):
        values = [run.report.get(key) for run in runs]
        if any(value is not None for value in values):
            rows.append((key.replace("_", " "), *map(_cell, values)))
    seconds = [run.report.get("seconds", {}) for run in runs]
    # Of folds, one number.
    totals = [found.get("total") if isinstance(found, Mapping) else found for found in seconds]
    rows.append(("seconds", *map(_cell, totals)))
    columns = ("what", *(run.name for run in runs))
    return Table("comparison", "Metrics and totals", columns, rows)


_TOTALS = ("kept_step", "last_step", "stopped_by", "num_weights", "examples_per_second")


def settings_of(runs: Sequence[Run]) -> Table:
    """A column for each run; a row for each setting that differs.

    Of a data column that a run does not have, its kind alone.
    """
    rows: list[tuple[Value, ...]] = []
    columns_of = [{_column_of(key) for key in run.settings} for run in runs]
    shared = set.intersection(*columns_of)
    for key in dict.fromkeys(key for run in runs for key in run.settings):
        if _column_of(key) not in shared and not key.endswith(".kind"):
            continue
        values = [run.settings.get(key) for run in runs]
        if not key.startswith("output.") and any(value != values[0] for value in values):
            rows.append((key, *map(_cell, values)))
    columns = ("what", *(run.name for run in runs))
    note = "" if rows else "All settings are equal."
    return Table("settings", "Settings that differ", columns, rows, note)


def _column_of(key: str) -> str:
    """The data column of a setting; '' of others.

    >>> _column_of("columns.age.kind"), _column_of("training.seed")
    ('age', '')
    """
    section, _, rest = key.partition(".")
    return rest.partition(".")[0] if section == "columns" else ""


def _cell(value: Any) -> Value:
    """A number as it is; of folds the mean; anything else as text."""
    if isinstance(value, Mapping) and "mean" in value:
        value = value["mean"]
    if value is None or isinstance(value, str | int | float):
        return value
    return shortened(json.dumps(value), _MOST_TEXT)


def text_of(table: Table) -> str:
    """The table for a terminal, columns aligned."""
    lines = [
        list(table.columns),
        *(
            [
                number_text(value)
                if isinstance(value, int | float) and not isinstance(value, bool)
                else shortened(cell_text(value), _MOST_TEXT)
                for value in row
            ]
            for row in table.rows
        ),
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def charts_of(runs: Sequence[Run]) -> list[Chart]:
    """A chart for each number of the evaluations, with a line for each run."""
    names = dict.fromkeys(name for run in runs for record in run.history for name in record)
    shown = [
        name
        for name in names
        if name == "loss" or name.endswith("_learning_rate") or name.startswith("val_")
    ]
    skipped = {"val_num_rows", "val_sum_weight", "val_mean_label"}
    shown.sort(key=lambda name: (name.endswith("_learning_rate"), name == "loss"))
    return [_chart(name, runs) for name in shown if name not in skipped]


def _chart(name: str, runs: Sequence[Run]) -> Chart:
    title = name.replace("val_", "validation ", 1).replace("_", " ")
    with drawing(f"curve-{name}", f"{title[0].upper()}{title[1:]} by step, of each run") as canvas:
        axes = canvas.axes
        for i, run in enumerate(runs):
            points = [(r["step"], r[name]) for r in run.history if r.get(name) is not None]
            steps, values = np.array(points, np.float64).reshape(-1, 2).T
            axes.plot(
                steps,
                values,
                color=SERIES[i % len(SERIES)],
                linestyle=_LINES[i // len(SERIES)],
                label=shortened(run.name, 24),
            )
        if name.endswith("_learning_rate"):
            canvas.set_log()
        axes.set_xlabel("step")
        axes.set_ylabel(title)
        canvas.legend()
        return canvas.chart()
