"""Sections as one HTML file that needs nothing else: no network, no script, no other file.

Everything that comes from data is escaped; see the template, report.html.j2.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.insight.chart_style import shortened
from trainer.insight.page_sections import Section
from trainer.insight.report_tables import Found, Table, Value

# Of a table on the page; the CSV file has all.
MOST_ROWS = 25


def title_of(report: Found) -> str:
    """The heading of a run's page."""
    return f"{shortened(report.get('label', 'A model'), 60)}: what was learned"


def render(
    title: str, sections: Sequence[Section], lead: str = "", most_rows: int = MOST_ROWS
) -> str:
    """The page of these sections, with a sentence under the heading.

    Args:
        most_rows: of a table; one that has more is folded, and says which CSV file has all.
    """
    # 0.1 s that other runs need not pay.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": number_text,
        "cell": cell_text,
        "words": words,
        "number_columns": number_columns,
    }
    source = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    template = environment.from_string(source)
    return template.render(title=title, lead=lead, sections=sections, most_rows=most_rows)


def number_text(value: float) -> str:
    """A number for people: 4 significant digits, thousands separated.

    >>> [number_text(v) for v in (1234567, 12345.678, 0.1234567, 1e-9, 2.0, -0.0)]
    ['1,234,567', '12,346', '0.1235', '1e-09', '2', '0']
    """
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.4g}"
    return f"{value + 0.0:.4g}"


def cell_text(value: Value) -> str:
    """A text or a truth for people; '' where there is none.

    >>> cell_text(None), cell_text(True), cell_text("a")
    ('', 'yes', 'a')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def words(name: str) -> str:
    """A key as words.

    >>> words("train.mean_label")
    'train mean label'
    """
    return name.replace("_", " ").replace(".", " ")


def number_columns(table: Table) -> list[bool]:
    """Which columns hold numbers only."""

    def is_number(value: Any) -> bool:
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))

    shown = table.rows[:MOST_ROWS]
    return [all(is_number(row[i]) for row in shown) for i in range(len(table.columns))]
