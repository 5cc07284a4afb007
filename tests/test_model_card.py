"""trainer.insight.model_card: the report in Markdown."""

import re

from planted_reports import EVIL, planted_report

from trainer.insight.model_card import card_of

CARD = card_of(planted_report())


def test_card_has_the_verdict_the_numbers_and_the_caveats():
    headings = re.findall(r"^## (.*)$", CARD, re.MULTILINE)
    assert headings == [
        "Verdict",
        "Model details",
        "Metrics",
        "Slices, worst first, test rows",
        "Rates by group, test rows",
        "What the predictions depend on",
        "Caveats",
    ]
    assert "| test | rmse | 1.17 | 2.34 | 1.462 |" in CARD
    assert "| train rows | 7,000 |" in CARD
    assert "- alarm: overfitting, val " in CARD and "20 rows more in report.html" in CARD


def test_tokens_are_no_markup():
    assert "<" not in re.sub(r"\\<", "", CARD)
    # None has a cell more for the "|" of its token.
    for table in re.findall(r"(?:^\|.*\n)+", CARD, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert EVIL[1:7] in CARD


def test_card_of_little():
    card = card_of({"label": "y", "task": "binary", "rows": {"train": 5}})
    assert "| train rows | 5 |" in card and "## Metrics" not in card
