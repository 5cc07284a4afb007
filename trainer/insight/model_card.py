"""The model card: what a model is, for whom it is not, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from trainer.insight import report_tables
from trainer.insight.next_steps import next_steps
from trainer.insight.page import cell_text, number_text, words
from trainer.insight.page_sections import lead_of
from trainer.insight.report_tables import Found, Table, Value

_MOST_ROWS, _MOST_COLUMNS = 10, 20
_PARTS = ("test", "validation")
# What Markdown, or HTML in it, would read as more than text.
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~$!&"} | {"\n": " ", "\r": " "})


def card_of(report: Found) -> str:
    """model_card.md of a run, from its report.

    Source: the headings of Mitchell et al., "Model Cards for Model Reporting", 2019.
    """
    label, task = _plain(report.get("label", "")), _plain(report.get("task", ""))
    return (
        "\n\n".join(
            [
                f"# Model card: {label}",
                f"{_plain(lead_of(report))} It predicts {label} from a row of a table ({task}).",
                *_section("Verdict", [_plain(text) for text in report.get("verdict", [])]),
                *_section("Model details", [_markdown(report_tables.run_table(report), 40)]),
                *_section("Intended use", _intended_use(report)),
                *_section("Factors", _factors(report)),
                *_section("Metrics", _metrics(report)),
                *_section("Evaluation data", _evaluation_data(report)),
                *_section("Training data", _training_data(report)),
                *_section("Quantitative analyses", _analyses(report)),
                *_section("Ethical considerations", _ethics(report)),
                *_section("Caveats and recommendations", _caveats(report)),
            ]
        )
        + "\n"
    )


def _intended_use(report: Found) -> list[str]:
    profile = report.get("data_profile") or {}
    columns = [
        f"{_plain(one['column'])} ({_plain(one['kind'])})" for one in profile.get("columns", [])
    ]
    shown = ", ".join(columns[:_MOST_COLUMNS])
    more = f" and {len(columns) - _MOST_COLUMNS} more" if len(columns) > _MOST_COLUMNS else ""
    use = f"For rows with the columns {shown}{more}. " if columns else ""
    return [
        f"{use}It holds for rows like those that it was measured on, with columns that are known "
        "when the prediction is wanted. For whom it was made, and what it must not decide, the run "
        "does not know: its owner writes it here."
    ]


def _factors(report: Found) -> list[str]:
    slices = report.get("slices", {})
    sliced = dict.fromkeys(one["column"] for found in slices.values() for one in found)
    groups = dict.fromkeys(name for found in report.get("fairness", {}).values() for name in found)
    return [
        f"Slices were measured by {_names(sliced)}." if sliced else "No slice was measured.",
        f"Rates were compared between groups of {_names(groups)}."
        if groups
        else "No groups were compared: evaluation.fairness\\_columns names columns of groups.",
    ]


def _names(columns: Iterable[str]) -> str:
    return ", ".join(_plain(name) for name in columns)


def _metrics(report: Found) -> list[str]:
    texts = [f"The monitored metric is {_plain(report.get('monitor', 'the loss'))}."]
    point, calibration = report.get("operating_point") or {}, report.get("calibration") or {}
    if isinstance(point.get("threshold"), float):
        texts.append(
            f"A probability from {number_text(point['threshold'])} on is a yes, by the rule "
            f"{_plain(point.get('rule', 'fixed'))}."
        )
    if calibration.get("kind"):
        texts.append(f"Probabilities are calibrated by {_plain(calibration['kind'])}.")
    tables = [
        report_tables.headline_table(report, part)
        for part in _PARTS
        if report.get("metrics", {}).get(part)
    ]
    for table in tables:
        texts += [_plain(f"{table.title}:"), _markdown(table)]
    return [*texts, _plain(tables[0].note)] if tables else []


def _evaluation_data(report: Found) -> list[str]:
    rows = report.get("rows", {})
    parts = [f"{rows[part]:,} {part} rows" for part in ("validation", "test") if rows.get(part)]
    if not parts:
        return ["No rows were held out."]
    return [
        f"{' and '.join(parts)}, none of them trained on. Validation chose the weights, and "
        "threshold and calibration where there are such; the test rows were scored once.",
        _settings(report, ("validation", "test", "validation_fraction", "test_fraction", *_SPLIT)),
    ]


def _training_data(report: Found) -> list[str]:
    count = report.get("rows", {}).get("train")
    warnings = (report.get("data_profile") or {}).get("warnings") or []
    return [
        f"{count:,} rows." if count else "",
        _settings(report, ("train", "negative_keep", "limit_rows")),
        "\n".join(f"- {_plain(text)}" for text in warnings),
    ]


_SPLIT = ("split_column", "fold", "folds")


def _settings(report: Found, names: Iterable[str]) -> str:
    """Those of `data` that are not left at nothing, as a list."""
    data = report.get("origin", {}).get("data", {})
    found = {name: data.get(name) for name in names}
    return "\n".join(
        f"- data.{_plain(name)}: {_plain(', '.join(value) if isinstance(value, list) else value)}"
        for name, value in found.items()
        if value not in (None, 0, 1, [])
    )


def _analyses(report: Found) -> list[str]:
    part = next((p for p in _PARTS if report.get("metrics", {}).get(p)), "")
    parts = []
    if slices := report.get("slices", {}).get(part):
        title = f"Slices, worst first, {part} rows"
        parts += _table(report_tables.of_records("", title, slices))
    if columns := report.get("fairness", {}).get(part):
        parts += _table(report_tables.fairness_table(part, columns))
    if report.get("importance"):
        title = "What the predictions depend on"
        parts += _table(report_tables.of_records("", title, report["importance"]))
    return parts


def _table(table: Table) -> list[str]:
    return [
        text
        for text in (f"### {_plain(table.title)}", _markdown(table), _plain(table.note))
        if text
    ]


def _ethics(report: Found) -> list[str]:
    text = (
        "What a wrong prediction does to whom, and whether columns stand for attributes that must "
        "not count, the run does not know: its owner writes it here."
    )
    found = report.get("fairness", {})
    part = next((part for part in _PARTS if found.get(part)), "")
    gaps = [
        (group["tpr_behind"], column, group["value"])
        for column, groups in found.get(part, {}).items()
        for group in groups
        if group.get("tpr_behind") is not None
    ]
    if not gaps:
        return [text]
    gap, column, value = max(gaps, key=lambda one: one[0])
    return [
        f"The largest gap: of the {part} rows whose label is yes, the group {_plain(column)} = "
        f"{_plain(value)} gets a yes less often than the best group, by {number_text(gap)}.",
        text,
    ]


def _caveats(report: Found) -> list[str]:
    """What is known to be wrong, and what is to be done."""
    found = [
        f"- {_plain(one['severity'])}: {_plain(one['illness'])}, {_plain(one['evidence'])}. "
        f"{_plain(one['advice'])}"
        for one in report.get("doctor") or []
    ]
    return ["\n".join([*found, *(f"- {_plain(step)}" for step in next_steps(report))])]


def _section(title: str, paragraphs: list[str]) -> list[str]:
    return [f"## {_plain(title)}", *(p for p in paragraphs if p)] if any(paragraphs) else []


def _markdown(table: Table, most_rows: int = _MOST_ROWS) -> str:
    """A table of GitHub's Markdown, its first rows; '' without rows."""
    if not table.rows:
        return ""
    lines = [
        [_plain(words(column)) for column in table.columns],
        ["---"] * len(table.columns),
        *([_cell(value) for value in row] for row in table.rows[:most_rows]),
    ]
    rest = len(table.rows) - most_rows
    more = f"\n\n{rest} rows more in report.html" if rest > 0 else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + more


def _cell(value: Value) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_text(value)
    return _plain(cell_text(value))


def _plain(text: object) -> str:
    """Text that Markdown takes as such.

    >>> _plain("a|b <i>")
    'a\\\\|b \\\\<i\\\\>'
    """
    return str(text).translate(_ESCAPED)
