"""trainer.splits: shares of the rows, folds, negatives that are kept."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trainer.blocks import open_parts
from trainer.cluster import Cluster
from trainer.config import parse_config
from trainer.convert import convert
from trainer.data_config import DataConfig
from trainer.data_files import find_files, with_tables
from trainer.errors import UserError
from trainer.splits import fingerprint_buckets, splits_of


@pytest.mark.parametrize(
    ("text", "fingerprint"),
    # Source: the example of FARM_FINGERPRINT in the BigQuery manual, section on hash functions.
    [
        ("1footrue", -1541654101129638711),
        ("2applefalse", 2794438866806483259),
        ("3true", -4880158226897771312),
    ],
)
def test_split_buckets_are_those_of_bigquery(text, fingerprint):
    for modulus in (2, 100, 999_983):
        (bucket,) = fingerprint_buckets(pa.array([text]), modulus)
        assert bucket == abs(fingerprint) % modulus


def test_split_buckets_of_any_string_column_and_of_null():
    texts = ["b", None, "", "b", "\u00e9"]
    expected = fingerprint_buckets(pa.array(["b", "", "", "b", "\u00e9"]), 1000).tolist()
    assert expected[0] == expected[3] != expected[1] == expected[2]
    for column in (pa.array(texts), pa.array(texts).dictionary_encode()):
        assert fingerprint_buckets(column, 1000).tolist() == expected
    assert fingerprint_buckets(pa.array([], pa.string()), 10).tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 0.5, exclude_max=True), st.floats(0, 0.5), st.sampled_from([2, 10, 100, 999]))
def test_shares_are_a_partition_of_the_buckets(validation, test, modulus):
    assume(all(not share or round(share * modulus) for share in (validation, test)))
    data = DataConfig(validation_fraction=validation, test_fraction=test, split_modulus=modulus)
    shares = splits_of(data)
    if not (validation or test):
        assert shares == {}
        return
    assert list(shares) == [
        *["train"],
        *["validation"] * bool(validation),
        *["test"] * bool(test),
    ]
    buckets = [b for share in shares.values() for b in range(share.low, share.high)]
    assert buckets == list(range(modulus))
    sizes = {part: share.high - share.low for part, share in shares.items()}
    assert sizes.get("validation", 0) == round(validation * modulus)
    assert sizes.get("test", 0) == round(test * modulus)


@pytest.mark.parametrize("test_fraction", [0.0, 0.25])
def test_folds_are_a_partition_and_each_is_trained_on_the_others(test_fraction):
    shares = [
        splits_of(DataConfig(folds=7, fold=i, test_fraction=test_fraction)) for i in range(1, 8)
    ]

    held = [(s["validation"].low, s["validation"].high) for s in shares]
    top = 75 if test_fraction else 100
    assert [bucket for ends in held for bucket in range(*ends)] == list(range(top))
    assert {high - low for low, high in held} <= {top // 7, top // 7 + 1}
    for share, ends in zip(shares, held, strict=True):
        assert (share["train"].low, share["train"].high, share["train"].gap) == (0, top, ends)
    if test_fraction:
        assert all((s["test"].low, s["test"].high) == (75, 100) for s in shares)


def make_config(**data):
    return parse_config(
        {
            "columns": {"x": "numeric", "t": "ignore"},
            "label": {"column": "y", "task": "binary", "positive": "yes"},
            "data": data,
        },
        "test",
    )


def parts_of(config, frame):
    tables = {"train": frame}
    config = with_tables(config, tables, Cluster())
    return open_parts(config, find_files(config.data, "", tables))


def rows_of(part):
    return sorted(int(x) for block in part.blocks() for x in block.columns["x"].to_pylist())


@pytest.mark.parametrize("suffix", ["memory", "csv", "parquet", "tfrecord"])
def test_ten_buckets_of_any_format_are_those_of_bigquery(tmp_path, suffix):
    """MOD(ABS(FARM_FINGERPRINT(t)), 10) of the manual's examples is 1, 9 and 2."""
    frame = pd.DataFrame({"x": [0, 1, 2], "t": ["1footrue", "2applefalse", "3true"], "y": "yes"})
    split = {"split_column": "t", "split_modulus": 10, "test_fraction": 0.1}
    for held, rows in ((0.1, [0, 2]), (0.7, [0]), (0.8, [])):
        config = make_config(validation_fraction=held, **split)
        if suffix == "memory":
            parts = parts_of(config, frame)
        else:
            path = tmp_path / f"a.{suffix}"
            pa.parquet.write_table(pa.Table.from_pandas(frame), tmp_path / "a.parquet")
            if suffix != "parquet":
                convert([str(tmp_path / "a.parquet")], str(path))
            data = config.data.model_copy(update={"train": (str(path),)})
            parts = open_parts(config.model_copy(update={"data": data}), {"train": (str(path),)})
        assert rows_of(parts["train"]) == rows
        assert rows_of(parts["test"]) == [1]


def make_frame(num_rows=20_000, share=0.05):
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "x": np.arange(num_rows),
            "y": np.where(rng.uniform(size=num_rows) < share, "yes", "no"),
            "t": "",
        }
    )


def test_negatives_are_a_share_of_the_training_rows_and_weigh_for_the_others():
    frame = make_frame()
    parts = parts_of(make_config(negative_keep=0.1, validation_fraction=0.2), frame)
    whole = parts_of(make_config(validation_fraction=0.2), frame)
    positives = set(np.flatnonzero(frame["y"] == "yes"))

    kept, every = set(rows_of(parts["train"])), set(rows_of(whole["train"]))

    assert rows_of(parts["validation"]) == rows_of(whole["validation"])
    assert kept & positives == every & positives
    num_negatives = len(every - positives)
    # A binomial share: four standard deviations.
    assert abs(len(kept - positives) - 0.1 * num_negatives) < 4 * np.sqrt(0.09 * num_negatives)
    assert set(rows_of(parts["train"])) == kept
    (block,) = parts["train"].blocks()
    weights = dict(
        zip(block.columns["x"].to_pylist(), parts["train"].weight(block).tolist(), strict=True)
    )
    assert {weights[row] for row in kept & positives} == {1.0}
    assert {weights[row] for row in kept - positives} == {10.0}
    statistics = parts["train"].statistics()
    num_kept = len(kept - positives)
    num_positive = len(kept & positives)
    assert statistics.num_rows == len(kept)
    assert statistics.label.mean == pytest.approx(num_positive / (num_positive + 10 * num_kept))
    assert statistics.mean_weight == pytest.approx(
        (num_positive + 10 * num_kept) / (num_positive + num_kept)
    )


def test_negatives_and_weights_multiply():
    frame = make_frame(2000).assign(w=2.5)
    config = parse_config(
        {
            "columns": {"x": "numeric", "w": "weight"},
            "label": {"column": "y", "task": "binary", "positive": "yes"},
            "data": {"negative_keep": 0.25},
        },
        "test",
    )

    part = parts_of(config, frame)["train"]

    (block,) = part.blocks()
    assert set(part.weight(block).tolist()) == {2.5, 10.0}


def test_negatives_are_for_binary_tasks():
    values = {
        "columns": {"x": "numeric"},
        "label": {"column": "y", "task": "regression"},
        "data": {"negative_keep": 0.5},
    }

    with pytest.raises(UserError, match=r"data.negative_keep is for label.task binary"):
        parse_config(values, "test")
