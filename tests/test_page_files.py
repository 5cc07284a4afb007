"""trainer.insight.page_files: what lies in the run's folder afterwards."""

import csv

from planted_reports import planted_report

from trainer.insight.page_files import write_pages
from trainer.insight.page_sections import sections_of

REPORT = planted_report()


def test_page_card_and_a_file_for_each_table(tmp_path):
    write_pages(REPORT, str(tmp_path))
    names = {t.name for s in sections_of(REPORT) for t in s.tables}
    assert {p.stem for p in (tmp_path / "tables").iterdir()} == names
    with open(tmp_path / "tables" / "slices_test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # All of them, of which the page shows 25.
    assert [float(row["bias"]) for row in rows] == [s["bias"] for s in REPORT["slices"]["test"]]
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (tmp_path / "model_card.md").read_text().startswith("# Model card: fare\n")


def test_into_a_bucket(emulator):
    from trainer import storage

    write_pages(REPORT, f"{emulator}/run")
    assert storage.list_dir(f"{emulator}/run") == ["model_card.md", "report.html", "tables"]
    assert "</html>" in storage.read_text(f"{emulator}/run/report.html")
