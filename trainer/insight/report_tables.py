"""The tables of a run's report, for the page, the CSV files and the model card.

All come from report.json alone: a list of records becomes rows, nested records become columns.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from trainer.metric_names import METRIC_GOALS

Found = Mapping[str, Any]
Value = str | int | float | bool | None


class Table(NamedTuple):
    """Rows under named columns.

    name: of its file and its place in the page. title: in words. note: how to read it. is_folded:
    the page shows it when asked to.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    note: str = ""
    is_folded: bool = False


def csv_text(table: Table) -> str:
    """RFC 4180 with a header line, absent values empty, numbers as in report.json.

    A text that a spreadsheet would take for a formula stays as it is: a mark before it would make
    it another value for whoever reads the file as data.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([table.columns, *table.rows])
    return text.getvalue()


def of_records(name: str, title: str, records: Iterable[Found], note: str = "") -> Table:
    """One row for each record.

    >>> of_records("t", "T", [{"a": 1, "b": {"c": 2}}, {"a": 3, "d": [4]}])[2:4]
    (('a', 'b.c'), [(1, 2), (3, None)])
    """
    flat = [dict(_flat(record)) for record in records]
    columns = tuple(dict.fromkeys(key for record in flat for key in record))
    return Table(
        name, title, columns, [tuple(record.get(c) for c in columns) for record in flat], note
    )


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
    records = [
        record for part in report.get("metrics", {}) for record in _beside_references(report, part)
    ]
    table = of_records("metrics", "All metrics beside the references", records)
    return table._replace(is_folded=True)


def headline_table(report: Found, part: str) -> Table:
    """What the page begins with: the metrics of one part that have a better and a worse."""
    records = [
        {"metric": one["metric"], "better": _BETTER[METRIC_GOALS[one["metric"]]]}
        | {key: value for key, value in one.items() if key not in ("part", "metric")}
        for one in _beside_references(report, part)
        if one["metric"] in METRIC_GOALS
    ]
    records.sort(key=lambda one: one["metric"] != report.get("monitor"))
    references = report.get("baselines", {})
    notes = [text for name, text in _REFERENCES.items() if name in references]
    point = report.get("operating_point") or {}
    if references and "thresholds" in point:
        notes.append(
            "Each label has a threshold of its own in the model, 0.5 in the references: metrics of "
            "decisions do not compare."
        )
    if references and isinstance(point.get("threshold"), float) and point["threshold"] != 0.5:
        notes.append(
            f"A probability from {point['threshold']:.4g} on is a yes of the model, from 0.5 on "
            "one of the references: metrics of such decisions do not compare."
        )
    return of_records("headline", f"On the {part} rows", records, " ".join(notes))


_BETTER = {"minimize": "lower", "maximize": "higher"}
_REFERENCES = {
    "constant": "constant: the mean of the training labels, for every row.",
    "wide_only": "wide only: the wide part alone, a linear model, trained for as many steps.",
}


def _beside_references(report: Found, part: str) -> list[dict[str, Any]]:
    return [
        {"part": part, "metric": metric, "model": value}
        | {
            name: found.get(part, {}).get(metric)
            for name, found in report.get("baselines", {}).items()
        }
        for metric, value in report["metrics"][part].items()
    ]


def evaluation_tables(part: str, found: Found) -> list[Table]:
    """Those of `evaluation.<part>`."""
    tables = [
        of_records(f"{key}_{part}", f"{title}, {part} rows", found[key], note)
        for key, (title, note) in _EVALUATIONS.items()
        if found.get(key)
    ]
    scalars = {
        key.removeprefix("operating_point."): value
        for key, value in _flat(found)
        if key.startswith("operating_point.") or (key != "rows" and key in found)
    }
    if scalars:
        rows: list[tuple[Value, ...]] = list(scalars.items())
        title = f"In one number, {part} rows"
        tables.append(Table(f"decision_{part}", title, ("what", "value"), rows))
    confusion = found.get("confusion")
    if confusion:
        tables.append(_confusion(part, found))
    by_class = found.get("by_class")
    if by_class:
        tables.append(_by_class(part, by_class))
    return tables


_EVALUATIONS = {
    "residuals_by_decile": (
        "Residuals by decile of the prediction",
        "bias: mean prediction less mean label, with its 95% interval; p05 to p95: percentiles of "
        "prediction less label.",
    ),
    "thresholds": (
        "Decisions by threshold",
        "A probability from the threshold on is a yes; selected: share of the rows with a yes.",
    ),
    "calibration": (
        "Calibration",
        "Rows of similar probability: its mean, and the share that was right, with its 95% "
        "interval.",
    ),
}


def _confusion(part: str, found: Found) -> Table:
    counts = found["confusion"]
    if isinstance(counts, Mapping):
        names, of_column = ["positive", "negative"], "predicted "
        counts = [[counts["tp"], counts["fn"]], [counts["fp"], counts["tn"]]]
    else:
        names, of_column = [str(name) for name in found["classes"]], ""
        names += ["(rest)"] * (len(counts) - len(names))
    rows = [(name, *row) for name, row in zip(names, counts, strict=False)]
    columns = ("label", *(f"{of_column}{name}" for name in names[: len(counts)]))
    note = "A row for each label, a column for each prediction."
    return Table(f"confusion_{part}", f"Confusion matrix, {part} rows", columns, rows, note)


def by_class_tables(report: Found) -> list[Table]:
    """Figures of each class, where the evaluation has none of its own."""
    evaluated = report.get("evaluation", {})
    return [
        _by_class(part, found)
        for part, found in report.get("by_class", {}).items()
        if found and not evaluated.get(part, {}).get("by_class")
    ]


def _by_class(part: str, found: Any) -> Table:
    title = f"Figures of each class, {part} rows"
    return of_records(f"by_class_{part}", title, class_records(found))


def class_records(found: Any) -> Sequence[Found]:
    """Figures of classes by name as records."""
    if isinstance(found, Mapping):
        return [{"class": name, **figures} for name, figures in found.items()]
    return list(found)


def fairness_table(part: str, columns: Mapping[str, Sequence[Found]]) -> Table:
    """Rates by group, of all columns that were asked for."""
    records = [
        {"column": column, **group} for column, groups in columns.items() for group in groups
    ]
    return of_records(f"fairness_{part}", f"Rates by group, {part} rows", records, _FAIRNESS)


_FAIRNESS = (
    "positive rate: share of labels that are yes; selection rate: of decisions; tpr, fpr: share of "
    "yes among rows whose label is yes, and no; tpr behind: how far tpr is below the best group's."
)


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
    return Table("curves", "Evaluations while training", tuple(columns), rows, is_folded=True)


def dependence_table(dependence: Mapping[str, Found]) -> Table:
    """Partial dependence, one row for each value of a column."""
    records = [
        {"column": column, "value": value}
        | {key: found[key][i] for key in ("prediction", "low", "high") if key in found}
        for column, found in dependence.items()
        for i, value in enumerate(found["values"])
    ]
    return of_records("partial_dependence", "Partial dependence", records)._replace(is_folded=True)


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
    return Table("seconds", "Seconds by phase", ("phase", "seconds"), rows, is_folded=True)
