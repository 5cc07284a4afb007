"""Tables for trainer.init whose truth is planted, and a sample of one without a file."""

import numpy as np
import pyarrow as pa

from trainer.init.column_kinds import choose_kind
from trainer.init.csv_dialect import CsvDialect
from trainer.init.table_facts import TableFacts
from trainer.init.table_sample import TableSample
from trainer.init.table_study import Wishes, study_table
from trainer.insight.column_profile import profile_column

NUM_VALUES = 2000
# What each column of `shop` is to be taken for.
SHOP_KINDS = {
    "row": "key",
    "city": "categorical",
    "visits": "numeric",
    "day": "datetime",
    "age": "numeric",
    "gift": "numeric",
    "zip": "categorical",
    "member": "boolean",
    "country": "ignore",
    "net": "ignore",
}
# A target that no column knows of.
NOISE = np.random.default_rng(7).normal(0, 1, NUM_VALUES)


def write_csv(path, columns, header=True, delimiter=","):
    """Write columns of texts and numbers as they print."""
    names = list(columns)
    lines = [delimiter.join(names)] if header else []
    lines += [delimiter.join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def sample_of(columns, total_rows=None):
    """The sample of a CSV with these columns, all of whose rows were looked at."""
    texts = {name: pa.array([str(v) for v in values]) for name, values in columns.items()}
    num_rows = len(next(iter(texts.values())))
    return TableSample(
        files=("table.csv",),
        columns=texts,
        total_rows=total_rows or num_rows,
        is_whole=total_rows is None,
        is_counted=total_rows is None,
        num_places=0 if total_rows is None else 7,
        num_misfits=0,
        dialect=CsvDialect(",", True, tuple(texts)),
        unreadable={},
    )


def study(columns, target="spent", total_rows=None, **wishes):
    """The decisions for such a table."""
    return study_table(sample_of(columns, total_rows), Wishes(target, ("t.csv",), **wishes))


def facts(target=NOISE, total_rows=NUM_VALUES):
    """Of a table with this target."""
    return TableFacts(np.asarray(target, float), "regression", total_rows)


def choice(values, name="c", known=None):
    """The kind of a column of these values."""
    profile = profile_column(name, pa.array([str(v) for v in values]))
    return choose_kind(profile, known or facts())


def shop(num_rows=2000, seed=5):
    """Sales: `spent` rises with `visits` and by city; the rest is of every other kind."""
    rng = np.random.default_rng(seed)
    city = np.array(["Berlin", "Paris", "Rome", "Wien"])[rng.integers(4, size=num_rows)]
    visits = rng.integers(0, 40, num_rows)
    spent = 3.0 * visits + 40 * (city == "Rome") + rng.normal(0, 8, num_rows)
    days = np.datetime64("2021-01-01") + rng.integers(0, 700, num_rows)
    age = rng.integers(18, 90, num_rows).astype(str)
    age[rng.random(num_rows) < 0.1] = "?"
    gift = np.where(rng.random(num_rows) < 0.7, 0, rng.integers(1, 500, num_rows))
    return {
        "row": np.arange(num_rows) + 1000,
        "city": city,
        "visits": visits,
        "day": days.astype(str),
        "age": age,
        "gift": gift,
        "zip": np.array([f"0{7000 + v}" for v in rng.integers(0, 30, num_rows)]),
        "member": np.where(rng.random(num_rows) < 0.5, "yes", "no"),
        "country": ["DE"] * num_rows,
        "net": np.round(spent / 1.19, 4),
        "spent": np.round(spent, 4),
    }


def rows_text(first, last):
    """Rows n, t, x whose t has quotes and a line break within."""
    return "".join(f'{i},"row {i}\nof ""{last}""",x{i % 7}\n' for i in range(first, last))


def check_rows(sample, last):
    """Numbers of the sampled rows of `rows_text`, each found whole and once."""
    numbers = [int(text) for text in sample.columns["n"].to_pylist()]
    assert numbers == sorted(set(numbers))
    for number, text, token in zip(
        numbers, sample.columns["t"].to_pylist(), sample.columns["x"].to_pylist(), strict=True
    ):
        assert text == f'row {number}\nof "{last}"'
        assert token == f"x{number % 7}"
    return numbers
