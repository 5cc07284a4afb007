"""The tables of a run's report, for the page, the CSV files and the model card.

All come from report.json alone: a list of records becomes rows, nested records become columns.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Found = Mapping[str, Any]
Value = str | int | float | bool | None


class Table(NamedTuple):
    """Rows under named columns.

    name: of its file and its place in the page. title: in words.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]


def csv_text(table: Table) -> str:
    """RFC 4180 with a header line, absent values empty, numbers as in report.json."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([table.columns, *table.rows])
    return text.getvalue()


def of_records(name: str, title: str, records: Iterable[Found]) -> Table:
    """One row for each record.

    >>> of_records("t", "T", [{"a": 1, "b": {"c": 2}}, {"a": 3, "d": [4]}])
    Table(name='t', title='T', columns=('a', 'b.c'), rows=[(1, 2), (3, None)])
    """
    flat = [dict(_flat(record)) for record in records]
    columns = tuple(dict.fromkeys(key for record in flat for key in record))
    return Table(name, title, columns, [tuple(record.get(c) for c in columns) for record in flat])


def _flat(record: Found, prefix: str = "") -> Iterable[tuple[str, Value]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is None or isinstance(value, str | int | float):
            yield f"{prefix}{key}", value


def run_table(report: Found) -> Table:
    """What was trained on what."""
    origin, versions = report.get("origin", {}), report.get("versions", {})
    facts = {
        "task": report.get("task"),
        "label": report.get("label"),
        **{f"{part} rows": count for part, count in report.get("rows", {}).items()},
        "weights": report.get("num_weights"),
        "steps": report.get("last_step"),
        "kept step": report.get("kept_step"),
        "stopped by": report.get("stopped_by"),
        "monitored metric": report.get("monitor"),
        "examples per second": report.get("examples_per_second"),
        "started": origin.get("started"),
        "finished": origin.get("finished"),
        "git revision": origin.get("git_revision"),
        **{f"{name} version": version for name, version in versions.items()},
        "model": report.get("model_dir"),
        "export's largest difference": report.get("export_max_difference"),
    }
    rows: list[tuple[Value, ...]] = [(k, v) for k, v in facts.items() if v not in (None, "")]
    return Table("run", "The run", ("what", "value"), rows)


def metrics_table(report: Found) -> Table:
    """The model beside its references, by part and metric."""
    baselines = report.get("baselines", {})
    records = [
        {"part": part, "metric": metric, "model": value}
        | {name: found.get(part, {}).get(metric) for name, found in baselines.items()}
        for part, metrics in report.get("metrics", {}).items()
        for metric, value in metrics.items()
    ]
    return of_records("metrics", "Metrics beside the references", records)


def evaluation_tables(part: str, found: Found) -> list[Table]:
    """Those of `evaluation.<part>`."""
    titles = {
        "residuals_by_decile": "Residuals by decile of the prediction",
        "thresholds": "Decisions by threshold",
        "calibration": "Calibration",
    }
    tables = [
        of_records(f"{key}_{part}", f"{title}, {part} rows", found[key])
        for key, title in titles.items()
        if found.get(key)
    ]
    confusion = found.get("confusion")
    if isinstance(confusion, Mapping):
        tables.append(of_records(f"confusion_{part}", f"Confusion matrix, {part}", [confusion]))
    elif confusion:
        names = [str(name) for name in found["classes"]]
        names += ["(rest)"] * (len(confusion) - len(names))
        rows = [(name, *counts) for name, counts in zip(names, confusion, strict=False)]
        title = f"Confusion matrix, {part} rows: label by prediction"
        tables.append(Table(f"confusion_{part}", title, ("label", *names), rows))
    scalars = {
        key: value
        for key, value in found.items()
        if key == "operating_point" or isinstance(value, int | float)
    }
    if scalars:
        tables.append(of_records(f"decision_{part}", f"In one number, {part} rows", [scalars]))
    by_class = found.get("by_class")
    if by_class:
        tables.append(_by_class(part, by_class))
    return tables


def by_class_tables(report: Found) -> list[Table]:
    """Figures of each class, where the evaluation has none of its own."""
    evaluated = report.get("evaluation", {})
    return [
        _by_class(part, found)
        for part, found in report.get("by_class", {}).items()
        if found and not evaluated.get(part, {}).get("by_class")
    ]


def _by_class(part: str, found: Any) -> Table:
    records = (
        [{"class": name, **figures} for name, figures in found.items()]
        if isinstance(found, Mapping)
        else found
    )
    return of_records(f"by_class_{part}", f"Figures of each class, {part} rows", records)


def fairness_table(part: str, columns: Mapping[str, Sequence[Found]]) -> Table:
    """Rates by group, of all columns that were asked for."""
    records = [
        {"column": column, **group} for column, groups in columns.items() for group in groups
    ]
    return of_records(f"fairness_{part}", f"Rates by group, {part} rows", records)


def weights_table(weights: Found) -> Table:
    """The strongest weights of the wide part, largest first."""
    records = sorted([*weights["positive"], *weights["negative"]], key=lambda one: -one["weight"])
    return of_records("wide_weights", "Strongest weights of the wide part", records)


def neighbors_table(maps: Mapping[str, Found]) -> Table:
    """The nearest values of each shown value in the space of its embedding."""
    records = [
        {
            "feature": feature,
            "value": name,
            "nearest": ", ".join(f"{one['name']} ({one['similarity']:.2f})" for one in near),
        }
        for feature, found in maps.items()
        for name, near in (found.get("neighbors") or {}).items()
    ]
    return of_records("neighbors", "Nearest values by cosine similarity", records)


def profile_table(columns: Sequence[Found]) -> Table:
    """The data profile, one row for each column and part."""
    records = []
    for column in columns:
        for part in ("train", "validation", "test"):
            if part not in column:
                continue
            record = {"column": column["column"], "kind": column["kind"], "part": part}
            record |= column[part]
            record |= column.get("drift", {}).get(part, {})
            if part in column.get("unseen", {}):
                record["unseen"] = column["unseen"][part]
            if part == "train" and column.get("leak") is not None:
                record["leak"] = column["leak"]
            records.append(record)
    return of_records("data_profile", "Columns by part", records)


def curves_table(curves: Found) -> Table:
    """The history, one row for each evaluation."""
    columns = {name: values for name, values in curves.items() if isinstance(values, list)}
    rows = list(zip(*columns.values(), strict=True))
    return Table("curves", "Evaluations while training", tuple(columns), rows)


def dependence_table(dependence: Mapping[str, Found]) -> Table:
    """Partial dependence, one row for each value of a column."""
    records = [
        {"column": column, "value": value}
        | {key: found[key][i] for key in ("prediction", "low", "high") if key in found}
        for column, found in dependence.items()
        for i, value in enumerate(found["values"])
    ]
    return of_records("partial_dependence", "Partial dependence", records)


def health_table(health: Found) -> Table:
    """What each layer was like at the last evaluation."""
    records = [
        {
            "layer": layer["name"],
            **{
                key: values[-1]
                for key, values in layer.items()
                if isinstance(values, list) and values
            },
        }
        for layer in health.get("layers", [])
    ]
    return of_records("layers", "Layers at the last evaluation", records)


def seconds_table(seconds: Mapping[str, float]) -> Table:
    """Where the time went."""
    rows: list[tuple[Value, ...]] = list(seconds.items())
    return Table("seconds", "Seconds by phase", ("phase", "seconds"), rows)
