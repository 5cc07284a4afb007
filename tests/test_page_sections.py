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
    linear = planted_report()
    linear["origin"] |= {"towers": "wide", "config": "a:\n\n... the rest is in config.yaml\n"}
    assert lead_of(linear).startswith("A wide (linear) model, regression")
    (training,) = (s for s in sections_of(linear) if s.name == "training")
    rates = {c.name: c.svg for c in training.charts}["curve-rates"]
    assert "--first" in rates and "--second" not in rates
    verdict = sections["verdict"]
    assert len(verdict.paragraphs) == 3
    headline, metrics = verdict.tables
    assert headline.rows[0] == ("rmse", "lower", 1.17, 2.34, 1.4625)
    assert not headline.is_folded and metrics.is_folded
    assert "overfitting" in sections["next"].items[0]


def test_of_many_embeddings_those_of_the_columns_that_matter_are_drawn():
    report = planted_report()
    (found,) = report["embedding_map"].values()
    names = [f"c{i}" for i in range(12)] + ["hour.part"]
    report["embedding_map"] = dict.fromkeys(names, found)
    (made,) = (s for s in sections_of(report) if s.name == "embeddings")
    assert len(made.charts) == 9 and made.paragraphs == [
        "9 of 13: those of the columns that matter most."
    ]
    assert made.charts[0].caption.startswith("Embedding of hour.part")


def test_without_test_rows_validation_is_shown():
    report = planted_report()
    del report["evaluation"]["test"]
    (found,) = (s for s in sections_of(report) if s.name == "evaluation")
    assert [c.name for c in found.charts] == ["scatter-validation", "residuals-validation"]


def test_an_empty_doctor_says_so():
    report = planted_report() | {"doctor": [], "slices": {"test": []}}
    found = {s.name: s for s in sections_of(report)}
    assert found["doctor"].paragraphs == ["No illness was found."] and "slices" not in found


def text_of(name, **changes):
    return [
        p for s in sections_of(planted_report() | changes) if s.name == name for p in s.paragraphs
    ]


def test_importance_says_how_far_it_goes():
    measured = {"part": "test", "rows": 1501, "columns": 4, "all_columns": 4}
    (text,) = text_of("importance", importance_of=measured)
    assert text.startswith("Measured on 1,501 test rows.")
    some = measured | {"part": "train", "all_columns": 300}
    _, few, by_heart = text_of("importance", importance_of=some)
    assert few.startswith("Of 300 columns the 4 that tell most")
    assert by_heart.startswith("No rows were held out")


def test_data_without_held_out_rows_has_not_been_compared():
    column = {"column": "a", "kind": "number", "train": {"rows": 10}, "drift": {}}
    profile = {"columns": [column], "warnings": []}
    (text,) = text_of("data", data_profile=profile)
    assert "without held-out rows nothing is known of drift" in text
    column["drift"] = {"test": {"js": 0.0}}
    (text,) = text_of("data", data_profile=profile)
    assert text.startswith("No column has drifted")


def test_bias_of_classes_is_that_of_their_probability():
    assert "Bias is mean prediction less mean label." in text_of("slices")[0]
    (text,) = text_of("slices", task="multiclass")
    assert "Bias is the mean probability of the predicted class less the share of right" in text
