"""What a run leaves to be looked at: report.html, model_card.md and tables/*.csv."""

from __future__ import annotations

from trainer import storage
from trainer.insight.model_card import card_of
from trainer.insight.page import render, title_of
from trainer.insight.page_sections import lead_of, sections_of
from trainer.insight.report_tables import Found, csv_text


def write_pages(report: Found, job_dir: str) -> None:
    """Write the page, the card and a CSV file for each table of the page, all from the report.

    Raises:
        UserError: the folder cannot be written.
    """
    sections = sections_of(report)
    page = render(title_of(report), sections, lead_of(report))
    storage.write_text(storage.join(job_dir, "report.html"), page)
    storage.write_text(storage.join(job_dir, "model_card.md"), card_of(report))
    for section in sections:
        for table in section.tables:
            storage.write_text(
                storage.join(job_dir, "tables", f"{table.name}.csv"), csv_text(table)
            )
