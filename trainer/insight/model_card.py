"""The model card: what a model is, for whom it is not, in Markdown."""

from __future__ import annotations

from trainer.insight import report_tables
from trainer.insight.page import cell_text, number_text, words
from trainer.insight.report_tables import Found, Table, Value

_MOST_ROWS = 10
# What Markdown, or HTML in it, would read as more than text.
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~$!&"} | {"\n": " ", "\r": " "})


def card_of(report: Found) -> str:
    """model_card.md of a run, from its report.

    Source: the headings of Mitchell et al., "Model Cards for Model Reporting", 2019.
    """
    label, task = _plain(report.get("label", "")), report.get("task", "")
    parts = [
        f"# Model card: {label}",
        f"A wide-and-deep model ({task}) that predicts {label} from a row of a table.",
        *_section("Verdict", [_plain(text) for text in report.get("verdict", [])]),
        *_section("Model details", [_markdown(report_tables.run_table(report))]),
        *_section("Metrics", [_markdown(report_tables.metrics_table(report))]),
    ]
    for part, slices in report.get("slices", {}).items():
        title = f"Slices, worst first, {part} rows"
        if slices:
            parts += _section(title, [_markdown(report_tables.of_records("", title, slices))])
    for part, columns in report.get("fairness", {}).items():
        table = report_tables.fairness_table(part, columns)
        parts += _section(table.title, [_markdown(table)])
    if report.get("importance"):
        title = "What the predictions depend on"
        table = report_tables.of_records("", title, report["importance"])
        parts += _section(title, [_markdown(table)])
    parts += _section("Caveats", _caveats(report))
    return "\n\n".join(parts) + "\n"


def _caveats(report: Found) -> list[str]:
    """What is known to be wrong, and what always holds."""
    found = [
        f"- {_plain(one['severity'])}: {_plain(one['illness'])}, {_plain(one['evidence'])}. "
        f"{_plain(one['advice'])}"
        for one in report.get("doctor") or []
    ]
    found.append(
        "- The figures hold for rows like those it was measured on: watch the columns for drift, "
        "and train again where they have moved."
    )
    return ["\n".join(found)]


def _section(title: str, paragraphs: list[str]) -> list[str]:
    return [f"## {_plain(title)}", *paragraphs] if any(paragraphs) else []


def _markdown(table: Table) -> str:
    """A table of GitHub's Markdown, its first rows; '' without rows."""
    if not table.rows:
        return ""
    lines = [
        [_plain(words(column)) for column in table.columns],
        ["---"] * len(table.columns),
        *([_cell(value) for value in row] for row in table.rows[:_MOST_ROWS]),
    ]
    rest = len(table.rows) - _MOST_ROWS
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
