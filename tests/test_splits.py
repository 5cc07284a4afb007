"""trainer.splits: shares of the rows, folds, negatives that are kept."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trainer.blocks import open_parts
from trainer.cluster import Cluster
from trainer.config import parse_config
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
