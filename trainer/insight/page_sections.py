"""The sections of report.html in their order: what stands in each, from report.json alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from trainer.insight import embedding_charts, evaluation_charts, report_tables, run_charts
from trainer.insight.chart_style import Chart
from trainer.insight.next_steps import next_steps
from trainer.insight.report_tables import Found, Table

# The page shows charts of one part: what the other has stands in its tables.
_PARTS = ("test", "validation")
_MOST_MAPS = 9


class Section(NamedTuple):
    """A heading and what is under it.

    name: its id in the page. paragraphs, items of a list, preformatted: texts, not yet escaped.
    """

    name: str
    title: str
    paragraphs: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    preformatted: str = ""
    items: Sequence[str] = ()


def sections_of(report: Found) -> list[Section]:
    """Those that have something to show, in the order of the page."""
    found: Iterable[Section] = (make(report) for make in _MAKERS)
    return [s for s in found if any(s[2:])]


def lead_of(report: Found) -> str:
    """What was trained on what, in one sentence under the heading."""
    rows = report.get("rows", {})
    parts = ", ".join(f"{count:,} {part} rows" for part, count in rows.items() if count)
    when = report.get("origin", {}).get("finished", "")
    kind = {"wide": "wide (linear)", "wide deep": "wide-and-deep", "deep": "deep"}
    made = f"A {kind[' '.join(towers_of(report))]} model, {report.get('task', '')}, of {parts}"
    return f"{made}; finished {when}." if when else f"{made}."


def towers_of(report: Found) -> tuple[str, ...]:
    """The parts that the model has."""
    towers = report.get("origin", {}).get("towers", "both")
    return ("wide", "deep") if towers == "both" else (towers,)


def _verdict(report: Found) -> Section:
    part = next((part for part in _PARTS if report.get("metrics", {}).get(part)), None)
    tables = [report_tables.headline_table(report, part)] if part else []
    if report.get("metrics"):
        tables.append(report_tables.metrics_table(report))
    return Section("verdict", "Verdict", report.get("verdict", []), tables=tables)


def _next(report: Found) -> Section:
    items = next_steps(report) if report.get("verdict") else []
    return Section("next", "What to do next", items=items)


def _doctor(report: Found) -> Section:
    findings = report.get("doctor")
    if findings is None:
        return Section("doctor", "Training doctor")
    if not findings:
        return Section("doctor", "Training doctor", ["No illness was found."])
    table = report_tables.of_records("doctor", "Findings, worst first", findings)
    return Section("doctor", "Training doctor", tables=[table])


def _run(report: Found) -> Section:
    return Section("run", "What was trained on what", tables=[report_tables.run_table(report)])


def _training(report: Found) -> Section:
    curves, seconds = report.get("curves"), report.get("seconds", {})
    monitor = report.get("monitor", "")
    references = {
        name: found.get("validation", {}).get(monitor)
        for name, found in report.get("baselines", {}).items()
    }
    charts = []
    if curves:
        charts = run_charts.curve_charts(curves, monitor, references, towers_of(report))
    if len(seconds) > 1:
        charts.append(run_charts.seconds_chart(seconds))
    tables = [report_tables.curves_table(curves)] if curves else []
    tables += [report_tables.seconds_table(seconds)] if seconds else []
    text = []
    if report.get("examples_per_second"):
        text = [
            f"{report['examples_per_second']:,} examples per second, compiling and evaluations "
            "included."
        ]
    return Section("training", "Training", text, charts, tables)


def _evaluation(report: Found) -> Section:
    found = report.get("evaluation", {})
    parts = [part for part in _PARTS if found.get(part)]
    charts = evaluation_charts.charts(parts[0], found[parts[0]]) if parts else []
    tables = [t for part in parts for t in report_tables.evaluation_tables(part, found[part])]
    tables += report_tables.by_class_tables(report)
    text = f"Charts are of the {parts[0]} rows." if parts else ""
    return Section(
        "evaluation",
        "On rows that training has not seen",
        [text] if text else [],
        charts,
        _second_folded(tables, parts),
    )


def _second_folded(tables: Iterable[Table], parts: Sequence[str]) -> list[Table]:
    """Tables of the part that the page does not begin with stay folded."""
    return [
        t._replace(is_folded=t.is_folded or any(t.name.endswith(f"_{p}") for p in parts[1:]))
        for t in tables
    ]


def _slices(report: Found) -> Section:
    found = {part: report.get("slices", {}).get(part) for part in _PARTS}
    found = {part: slices for part, slices in found.items() if slices}
    bias = (
        "the mean probability of the predicted class less the share of right ones"
        if report.get("task") == "multiclass"
        else "mean prediction less mean label"
    )
    text = (
        f"Bias is {bias}. Worst first: those whose 95% interval, widened for the number of slices, "
        "keeps clear of 0 are biased beyond chance."
    )
    return Section(
        "slices",
        "Prediction bias by slice",
        [text] if found else [],
        [evaluation_charts.slices_chart(part, slices) for part, slices in [*found.items()][:1]],
        [
            report_tables.of_records(f"slices_{part}", f"Slices, {part} rows", slices)._replace(
                is_folded=True
            )
            for part, slices in found.items()
        ],
    )


def _fairness(report: Found) -> Section:
    found = report.get("fairness", {})
    tables = [report_tables.fairness_table(p, found[p]) for p in _PARTS if found.get(p)]
    return Section(
        "fairness", "Fairness", tables=_second_folded(tables, [p for p in _PARTS if p in found])
    )


def _importance(report: Found) -> Section:
    importance, dependence = report.get("importance"), report.get("partial_dependence")
    charts, tables = [], []
    if importance:
        charts.append(run_charts.importance_chart(importance))
        title = "Permutation importance"
        tables.append(report_tables.of_records("importance", title, importance))
    if dependence:
        charts += run_charts.dependence_charts(dependence, report.get("task", ""))
        tables.append(report_tables.dependence_table(dependence))
    text = _importance_text(report["importance_of"]) if report.get("importance_of") else []
    title = "What the predictions depend on"
    return Section("importance", title, text if charts else [], charts, tables)


def _importance_text(measured: Found) -> list[str]:
    """How far the figures go."""
    part, columns, all_columns = measured["part"], measured["columns"], measured["all_columns"]
    text = [
        f"Measured on {measured['rows']:,} {part} rows. It is what the model makes of a column, "
        "not what the column is worth: of two that say the same each may seem to be worth little, "
        "and one that matters only in a cross has what the cross is worth."
    ]
    if columns < all_columns:
        text.append(
            f"Of {all_columns:,} columns the {columns:,} that tell most of the label by themselves "
            "were shuffled; one that tells something beside another one only may be missing."
        )
    if part == "train":
        text.append("No rows were held out: what was learned by heart of these rows counts, too.")
    return text


def _weights(report: Found) -> Section:
    weights = report.get("wide_weights") or {}
    if not (weights.get("positive") or weights.get("negative")):
        return Section("wide-weights", "Weights of the wide part")
    return Section(
        "wide-weights",
        "Weights of the wide part",
        ["What the wide part adds to the logit of a row that has the value or the cross."],
        [run_charts.wide_weights_chart(weights)],
        [report_tables.weights_table(weights)],
    )


def _embeddings(report: Found) -> Section:
    maps = report.get("embedding_map") or {}
    tables = [report_tables.neighbors_table(maps)] if maps else []
    rank = {one["column"]: -place for place, one in enumerate(report.get("importance") or [])}
    named = sorted(maps, key=lambda name: -rank.get(name.partition(".")[0], -len(rank)))
    charts = embedding_charts.charts({name: maps[name] for name in named[:_MOST_MAPS]})
    text = ""
    if len(named) > _MOST_MAPS:
        text = f"{_MOST_MAPS} of {len(named)}: those of the columns that matter most."
    shown = [t._replace(is_folded=True) for t in tables if t.rows]
    return Section("embeddings", "Embeddings", [text] if text else [], charts, shown)


def _data(report: Found) -> Section:
    profile = report.get("data_profile") or {}
    columns = profile.get("columns")
    table = report_tables.profile_table(columns or [])._replace(is_folded=True)
    text = [_words(warning) for warning in profile.get("warnings", [])]
    if columns and not text:
        is_compared = any(column.get("drift") for column in columns)
        text = [
            "No column has drifted between the parts, has unseen values, or tells too much of the "
            "label."
            if is_compared
            else "No column tells too much of the label; without held-out rows nothing is known of "
            "drift and unseen values."
        ]
    return Section(
        "data",
        "Data profile",
        text,
        tables=[table] if columns else [],
    )


def _words(warning: Any) -> str:
    if isinstance(warning, Mapping):
        return "; ".join(f"{key}: {value}" for key, value in warning.items())
    return str(warning)


def _health(report: Found) -> Section:
    health = report.get("health") or {}
    layers = report_tables.health_table(health)
    scalars = {k: v for k, v in health.items() if k not in ("layers", "steps")}
    rest = report_tables.of_records("health", "Of the run", [scalars])
    return Section(
        "health",
        "Training health",
        (),
        run_charts.health_charts(health),
        [table for table in (layers, rest) if table.columns],
    )


def _config(report: Found) -> Section:
    return Section("config", "Config", preformatted=report.get("origin", {}).get("config", ""))


_MAKERS: tuple[Callable[[Found], Section], ...] = (
    _verdict,
    _next,
    _doctor,
    _run,
    _training,
    _evaluation,
    _slices,
    _fairness,
    _importance,
    _weights,
    _embeddings,
    _data,
    _health,
    _config,
)
