"""trainer.insight.page_sections: what stands where."""

import pytest
from planted_reports import TASKS, planted_report

from trainer.insight.page_sections import lead_of, sections_of


@pytest.fixture(scope="module")
def sections():
    return {s.name: s for s in sections_of(planted_report())}


def test_everything_of_the_issue_is_there(sections):
    assert list(sections) == [
        *("verdict", "next", "doctor", "run", "training", "evaluation", "slices", "fairness"),
        *("importance", "wide-weights", "embeddings", "data", "health", "config"),
    ]


def test_names_of_charts_and_tables_are_unique():
    for task in TASKS:
        made = sections_of(planted_report(task))
        for names in (
            [c.name for s in made for c in s.charts],
            [t.name for s in made for t in s.tables],
        ):
            assert len(names) == len(set(names))


def test_charts_are_of_the_test_rows_and_tables_of_both(sections):
    found = sections["evaluation"]
    assert [c.name for c in found.charts] == ["scatter-test", "residuals-test"]
    tables = {t.name: t.is_folded for t in found.tables}
    assert tables == {"residuals_by_decile_test": False, "residuals_by_decile_validation": True}


def test_page_begins_with_what_a_stranger_asks(sections):
    lead = lead_of(planted_report())
    assert lead == (
        "A wide-and-deep model, regression, of 7,000 train rows, 1,500 validation rows, 1,501 test "
        "rows; finished 2026-11-21 20:00:12 UTC."
    )
    verdict = sections["verdict"]
    assert len(verdict.paragraphs) == 3
    headline, metrics = verdict.tables
    assert headline.rows[0] == ("rmse", "lower", 1.17, 2.34, 1.4625)
    assert not headline.is_folded and metrics.is_folded
    assert "overfitting" in sections["next"].items[0]


def test_without_test_rows_validation_is_shown():
    report = planted_report()
    del report["evaluation"]["test"]
    (found,) = (s for s in sections_of(report) if s.name == "evaluation")
    assert [c.name for c in found.charts] == ["scatter-validation", "residuals-validation"]


def test_an_empty_doctor_says_so():
    report = planted_report() | {"doctor": [], "slices": {"test": []}}
    found = {s.name: s for s in sections_of(report)}
    assert found["doctor"].paragraphs == ["No illness was found."] and "slices" not in found
