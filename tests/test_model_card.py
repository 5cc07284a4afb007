"""trainer.insight.model_card: the report in Markdown."""

import re

from planted_reports import EVIL, planted_report

from trainer.insight.model_card import card_of

CARD = card_of(planted_report())


def test_card_has_the_verdict_the_numbers_and_the_caveats():
    headings = re.findall(r"^##+ (.*)$", CARD, re.MULTILINE)
    assert headings == [
        "Verdict",
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Slices, worst first, test rows",
        "Rates by group, test rows",
        "What the predictions depend on",
        "Ethical considerations",
        "Caveats and recommendations",
    ]
    assert "| rmse | lower | 1.17 | 2.34 | 1.462 |" in CARD
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
    assert "No rows were held out." in card and "No groups were compared" in card


def test_card_names_the_data_and_the_largest_gap():
    data = {"train": ["a.csv", "b.csv"], "validation_fraction": 0.1, "test": [], "limit_rows": 0}
    groups = [{"value": v, "rows": 9, "tpr_behind": b} for v, b in (("f", 0.0), ("m", 0.125))]
    report = planted_report("binary") | {"fairness": {"test": {"gender": groups}}}
    report["origin"]["data"] = data
    card = card_of(report)
    assert "- data.train: a.csv, b.csv" in card and "- data.validation\\_fraction: 0.1" in card
    assert "data.test" not in card and "limit" not in card
    assert "the group gender = m gets a yes less often than the best group, by 0.125" in card
    assert "- Do first what the training doctor advises: overfitting." in card
