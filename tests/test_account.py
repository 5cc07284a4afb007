"""trainer.init.account: what the user reads."""

import re

import numpy as np
from planted_tables import sample_of, shop

from trainer.init.account import account
from trainer.init.table_study import Wishes, study_table


def test_rows_columns_findings_and_the_next_command_are_told():
    study = study_table(sample_of(shop()), Wishes("spent", ("t.csv",)))
    text = account(study, "shop.yaml", "shop.tuning.yaml")
    lines = text.splitlines()
    assert lines[0] == "looked at all 2,000 rows of 1 file"
    assert re.match(
        r"target: spent, regression: \d+ different numbers; the constant has rmse",
        text.splitlines()[1],
    )
    # By what they tell, the most telling first.
    assert lines[3].split()[:2] == ["net", "ignore"]
    assert lines[4].split()[:2] == ["visits", "numeric"]
    assert re.search(r"^  country +ignore +0\.00  is 'DE' in every row$", text, re.M)
    assert re.search(r"^note: net: tells (?:99\.\d|100\.0)%", text, re.M)
    assert "validation: 20% of the rows, by row" in lines
    assert lines[-2:] == [
        "wrote shop.yaml and shop.tuning.yaml",
        "next: python -m trainer.task --config=shop.yaml",
    ]


def test_a_wide_table_is_told_in_part():
    rng = np.random.default_rng(1)
    columns = {f"f{i}": np.round(rng.normal(0, 1, 200), 3) for i in range(70)}
    columns["y"] = np.round(columns["f3"] + rng.normal(0, 0.1, 200), 3)
    lines = account(study_table(sample_of(columns), Wishes("y", ("t",))), "a", "b").splitlines()
    assert lines[3].split()[:2] == ["f3", "numeric"]
    assert lines[63] == "  and 10 that tell less; see a"


def test_a_way_between_points_has_its_line():
    columns = shop()
    for name in ("from_lat", "from_lon", "to_lat", "to_lon"):
        columns[name] = [f"{i * i % (70 + len(name) + ord(name[-2]) % 5)}.5" for i in range(2000)]
    text = account(study_table(sample_of(columns), Wishes("spent", ("t.csv",))), "a", "b")
    assert re.search(r"^  trip +geo +from from_lat, from_lon to to_lat, to_lon$", text, re.M)
