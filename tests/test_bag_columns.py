"""trainer.bag_columns: what the options allow, and what a schema refuses."""

import pytest
from pydantic import ValidationError

from trainer.columns import Categorical, MultiHot, Text
from trainer.config import parse_config
from trainer.errors import UserError


def test_tags_have_the_options_of_a_category():
    options = {"vocabulary", "vocabulary_file", "hash_buckets", "min_frequency", "top_k"}
    assert (
        options | {"oov_buckets"} <= MultiHot.model_fields.keys() & Categorical.model_fields.keys()
    )
    with pytest.raises(ValidationError, match="at most one of vocabulary, vocabulary_file, hash"):
        MultiHot(vocabulary=["a"], hash_buckets=4)


@pytest.mark.parametrize(
    "options", [{"delimiter": ""}, {"max_values": 0}, {"max_values": 5000}, {"combiner": "max"}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        MultiHot(**options)


def test_ngrams_are_few():
    assert Text().ngrams == 2
    with pytest.raises(ValidationError, match="ngrams"):
        Text(ngrams=0)


@pytest.mark.parametrize("kind", ["multi_hot", "text"])
def test_a_cross_takes_no_bag(kind):
    values = {
        "columns": {"tags": kind, "city": "categorical"},
        "crosses": [{"columns": ["city", "tags"]}],
        "label": {"column": "y", "task": "regression"},
    }
    message = f"cross city_x_tags: 'tags' is of kind {kind}, with several ids in a row; a cross"
    with pytest.raises(UserError, match=message):
        parse_config(values, "test")
