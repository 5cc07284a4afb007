"""Random texts of tags and words: a block of training and a request get the same ids.

As tests/test_fuzz_data.py; the ids of a text also do not depend on the texts around it.
"""

import numpy as np
import pyarrow as pa
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing import fuzz
from trainer.bag_encoders import BagSplitter, MultiHotEncoder, TextEncoder
from trainer.columns import MultiHot, Text
from trainer.statistics import StatisticsBuilder

TOKENS = ("a", "b", "\u00e9t\u00e9", "\u4f60\u597d", "red wine", "\U0001f600")
NUM_SLOTS = 6
ODD = (
    "|,; \t\n\r\v\f\0\u00a0\u2003\u200b\u0301\ufeff"
    "\u0130\u1e9e\u03a3\u0645\u0906\U0001f600a\u00e9B1_-'\u00b2"
)
PIECES = st.one_of(
    st.sampled_from(TOKENS),
    st.sampled_from(["", "|", "||", " | ", "a|a|a", "x" * 5000, "a|" * 3000, "nice! " * 500]),
    st.text(st.sampled_from(ODD), max_size=8),
    st.text(st.characters(codec="utf-8"), max_size=8),
)
TEXTS = st.one_of(st.none(), st.lists(PIECES, max_size=6).map("|".join), PIECES)


def _statistics(column):
    builder = StatisticsBuilder([], [], "y", bags=["c"])
    texts = pa.array(["|".join(TOKENS) + " one two three"])
    builder.add(
        {"c": BagSplitter("c", column)({"c": texts}), "y": np.zeros(1)}, np.zeros(1, np.uint64)
    )
    return builder.finalize()


TAGS, TEXT = MultiHot(max_values=NUM_SLOTS, oov_buckets=3), Text(hash_buckets=50, max_tokens=9)
ENCODERS = {
    "tags": MultiHotEncoder(
        "c", TAGS, vocabulary=TOKENS, statistics=_statistics(TAGS), default_dim=4
    ),
    "text": TextEncoder("c", TEXT, _statistics(TEXT), 4),
}
SPLITTERS = {"tags": BagSplitter("c", MultiHot()), "text": BagSplitter("c", TEXT)}


def _served(encoder, texts):
    """Ids of a request, in which a missing text is ''."""
    served = tf.constant([(text or "").encode() for text in texts], tf.string)
    return encoder.decode({"c": served})["c"].numpy()


@fuzz()
@given(st.lists(TEXTS, min_size=1, max_size=8), st.sampled_from(list(ENCODERS)))
def test_training_and_serving_have_the_same_ids(texts, kind):
    encoder = ENCODERS[kind]
    served = _served(encoder, texts)
    for column in (pa.array(texts, pa.string()), pa.array(texts, pa.string()).dictionary_encode()):
        np.testing.assert_array_equal(encoder.decode_block({"c": column})["c"], served)
    alone = np.concatenate([_served(encoder, [text]) for text in texts])
    np.testing.assert_array_equal(alone, served)
    (feature,) = encoder.id_features
    assert served.shape == (len(texts), feature.slots)
    assert ((served >= 0) & (served < feature.size)).all()
    # Unused slots are the last ones.
    assert (np.diff((served > 0).astype(int), axis=1) <= 0).all()


@fuzz()
@given(st.lists(TEXTS, min_size=1, max_size=8), st.sampled_from(list(ENCODERS)))
def test_statistics_see_the_values_that_are_encoded(texts, kind):
    bag = SPLITTERS[kind]({"c": pa.array(texts, pa.string())})
    lengths = np.sort(np.repeat(bag.lengths, bag.num_rows))
    served = _served(ENCODERS[kind], texts)
    num_slots = served.shape[1]
    np.testing.assert_array_equal(np.minimum(lengths, num_slots), np.sort((served > 0).sum(axis=1)))


@fuzz()
@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_tags_are_what_python_makes_of_them(texts):
    blanks = " \t\n\r\v\f"
    expected = []
    for text in texts:
        values = [value.strip(blanks) for value in (text or "").split("|")]
        ids = [4 + TOKENS.index(v) if v in TOKENS else -1 for v in values if v][:NUM_SLOTS]
        expected.append(ids + [0] * (NUM_SLOTS - len(ids)))
    found = _served(ENCODERS["tags"], texts)
    # Hashed ones are 1 to 3.
    found[(found >= 1) & (found <= 3)] = -1
    assert found.tolist() == expected
