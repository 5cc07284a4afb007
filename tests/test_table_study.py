"""trainer.init.table_study: the decisions for a planted table, together."""

import numpy as np
import pytest
from planted_tables import SHOP_KINDS, sample_of, shop, study

from trainer.errors import UserError
from trainer.init.table_study import Wishes, data_values, study_table


def test_every_column_of_the_shop_gets_what_was_planted():
    found = study(shop())
    kinds = {choice.name: choice.kind for choice in found.choices}
    assert kinds == SHOP_KINDS
    assert found.null_values == ("?",) and found.missing["age"] == pytest.approx(0.1, abs=0.03)
    (leak,) = [note for note in found.findings if note.startswith("net: ")]
    assert "a copy of it, or known only afterwards? Left out" in leak
    assert found.powers["visits"] > 0.7 > 0.3 > found.powers["city"] > 0.05 > found.powers["gift"]
    assert data_values(found) == {
        "train": ["t.csv"],
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
        "split_column": "row",
        "null_values": ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"],
    }


def test_own_files_of_validation_and_test_leave_no_split():
    values = data_values(study(shop(), validation=("v.csv",), test=("e.csv",)))
    assert values["validation"] == ["v.csv"] and values["test"] == ["e.csv"]
    assert not {"split_column", "validation_fraction", "test_fraction"} & set(values)


def test_rows_without_a_target_are_allowed_for():
    columns = shop()
    columns["spent"] = ["" if i % 100 == 0 else str(v) for i, v in enumerate(columns["spent"])]
    assert data_values(study(columns))["max_bad_rows"] == 20
    sampled = study(columns, total_rows=200_000)
    assert sampled.max_bad_rows == int(np.ceil((20 + 3 * np.sqrt(20) + 3) * 100))
    assert any("spent: missing in 20 of 2000 rows" in note for note in sampled.findings)


def test_other_ways_to_split_are_said():
    notes = study(shop()).split_notes
    assert notes[0].endswith("by day: files of their own, given as validation and test.")
    assert notes[1].endswith("hold out whole ones: split_column: zip.")
    assert (
        study(
            {"x": [i // 2 for i in range(99)], "y": [i * 7 % 99 for i in range(99)]}, "y"
        ).split_notes
        == ()
    )


def test_codes_that_do_not_come_back_in_the_validation_files_stay_numbers():
    rng = np.random.default_rng(3)
    levels = rng.normal(0, 1, 400)

    def table(low, high, num_rows):
        code = rng.integers(low, high, num_rows)
        return {"shop": code, "y": np.round(levels[code] + rng.normal(0, 1, num_rows), 4)}

    train = sample_of(table(0, 300, 12_000))
    wishes = Wishes("y", ("t.csv",), validation=("v.csv",))
    kinds = [
        study_table(train, wishes, sample_of(table(low, low + 100, 900))).choices[0].kind
        for low in (0, 300)
    ]
    assert kinds == ["categorical", "numeric"]


def test_suspects_stay_and_are_said():
    columns = shop()
    spent = np.array(columns["spent"], float)
    noise = np.random.default_rng(1).normal(0, 0.17 * spent.std(), len(spent))
    found = study(columns | {"order": np.round(spent + noise, 3)})
    kinds = {choice.name: choice.kind for choice in found.choices}
    assert kinds["order"] == "numeric"
    (note,) = [note for note in found.findings if note.startswith("order: ")]
    assert "is it known before the target is?" in note


def test_a_second_key_and_a_twin_are_left_out_but_a_number_beside_its_text_stays():
    columns = shop()
    columns["line"] = np.arange(2000)
    columns["town"] = [f"{city} town" for city in columns["city"]]
    columns["city_number"] = [10 * len(city) + ord(city[0]) % 7 for city in columns["city"]]
    found = {choice.name: choice for choice in study(columns).choices}
    assert found["line"].kind == "ignore"
    assert found["town"].reason == "says the same as city, value for value"
    assert found["city_number"].kind == "numeric"


def test_a_table_with_nothing_to_learn_from_is_refused():
    with pytest.raises(UserError, match=r"no column of table.csv is left to predict 'y' from: a: "):
        study({"a": [1] * 50, "y": list(range(50))}, "y")


def test_a_rare_class_and_useless_columns_are_findings():
    rng = np.random.default_rng(2)
    columns = {"x": np.round(rng.normal(0, 1, 3000), 3), "y": (rng.random(3000) < 0.01).astype(int)}
    notes = study(columns, "y").findings
    assert any("of the rows are the rarer class" in note for note in notes)
