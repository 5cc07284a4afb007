import numpy as np
import pyarrow as pa
import tensorflow as tf

from trainer.columns import Boolean, Categorical, Identity
from trainer.encoders import IdFeature
from trainer.id_encoders import (
    BooleanEncoder,
    CategoricalEncoder,
    CrossEncoder,
    IdentityEncoder,
    encode_crosses,
)
from trainer.schema import Cross


def _categorical(vocabulary=(), **options):
    column = Categorical(**options)
    return CategoricalEncoder("c", column, vocabulary=vocabulary, default_dim=4)


def _ids(encoder, texts):
    served = encoder.decode({"c": tf.constant([text or "" for text in texts])})
    block = encoder.decode_block({"c": pa.array(texts).dictionary_encode()})
    ids = encoder.encode(served).ids["c"].numpy().tolist()
    assert encoder.encode(block).ids["c"].tolist() == ids
    return ids


def test_ids_are_missing_then_out_of_vocabulary_then_the_tokens():
    encoder = _categorical(["b", "a"])

    assert _ids(encoder, ["a", "b", "zzz", "", None]) == [3, 2, 1, 0, 0]
    assert encoder.id_features == [IdFeature("c", 4, True, 4)]


def test_unseen_tokens_are_hashed_over_the_buckets():
    encoder = _categorical(["b", "a"], oov_buckets=3)
    unseen = [f"token {i}" for i in range(60)]

    ids = _ids(encoder, ["a", "b", *unseen])

    assert ids[:2] == [5, 4]
    assert set(ids[2:]) == {1, 2, 3}
    assert encoder.id_features[0].size == 6


def test_hash_buckets_need_no_vocabulary():
    encoder = _categorical(hash_buckets=5)
    texts = [f"token {i}" for i in range(60)]

    ids = _ids(encoder, [*texts, "", None])

    assert set(ids[:-2]) == {1, 2, 3, 4, 5}
    assert ids[-2:] == [0, 0]
    # FarmHash Fingerprint64 modulo the buckets: the same in every version and on every machine.
    prints = tf.fingerprint(tf.constant(texts)).numpy().view("<u8").ravel()
    assert ids[:-2] == [int(p % 5) + 1 for p in prints.tolist()]


def test_other_alphabets_and_spaces_are_tokens_of_their_own():
    encoder = _categorical(["\u00e9t\u00e9", " a"])

    assert _ids(encoder, ["\u00e9t\u00e9", " a", "a"]) == [2, 3, 1]


def test_booleans_in_any_spelling():
    encoder = BooleanEncoder("c", Boolean(), "auto")
    texts = ["true", "NO", "t", "F", "Yes", "n", "1", "0", "False", "y", "2", "", None, "\u00e9"]

    assert _ids(encoder, texts) == [2, 1, 2, 1, 2, 1, 2, 1, 1, 2, 0, 0, 0, 0]
    assert encoder.describe() == ["c: 3 ids (missing, false, true); wide, embedding 2"]


def test_identities_are_one_more_than_the_value_and_others_missing():
    encoder = IdentityEncoder("c", Identity(size=3), "auto")

    served = encoder.decode({"c": tf.constant([0, 2, 3, -1, -(2**63)], tf.int64)})
    block = encoder.decode_block({"c": pa.array([0, 2, 3, -1, None], pa.int64())})

    assert encoder.encode(served).ids["c"].numpy().tolist() == [1, 3, 0, 0, 0]
    assert encoder.encode(block).ids["c"].numpy().tolist() == [1, 3, 0, 0, 0]
    assert encoder.id_features[0].size == 4
    assert encoder.describe() == ["c: 4 ids (missing, 0 to 2); wide, embedding 2"]


def test_identities_may_arrive_as_floats():
    encoder = IdentityEncoder("c", Identity(size=3), "auto")

    decoded = encoder.decode({"c": tf.constant([2.0, np.nan, np.inf])})

    assert encoder.encode(decoded).ids["c"].numpy().tolist() == [3, 0, 0]


def _cross(bins):
    members = [IdFeature("a", 3, True, 0), IdFeature("b", 4, True, 0)]
    return CrossEncoder(Cross(columns=["a", "b"], bins=bins, towers=["deep"]), members, 6)


def test_a_cross_that_fits_is_exact_and_no_larger_than_needed():
    cross = _cross(bins=12)

    ids = encode_crosses([cross], {"a": tf.constant([0, 2, 1]), "b": tf.constant([0, 3, 2])})

    assert ids["a_x_b"].numpy().tolist() == [0, 11, 6]
    assert cross.feature == IdFeature("a_x_b", 12, wide=False, embedding_dim=6)
    assert _cross(bins=10_000).feature.size == 12
    assert cross.describe() == "a_x_b: 12 ids (exact, 12 combinations); embedding 6"


def test_a_cross_that_does_not_fit_is_hashed():
    cross = _cross(bins=5)

    ids = encode_crosses([cross], {"a": tf.constant([0, 2, 1]), "b": tf.constant([0, 3, 2])})

    assert ids["a_x_b"].numpy().max() < 5
    assert cross.describe() == "a_x_b: 5 ids (hashed, 12 combinations); embedding 6"


def test_crosses_together_have_the_ids_that_each_has_alone():
    sizes = {"a": 3, "b": 4, "c": 50, "d": 7}
    members = {name: IdFeature(name, size, True, 0) for name, size in sizes.items()}
    options = [("ab", 5), ("cd", 1000), ("bd", 20), ("abd", 60), ("ba", 12), ("dc", 9)]
    crosses = [
        CrossEncoder(Cross(columns=list(columns), bins=bins), [members[n] for n in columns], 6)
        for columns, bins in options
    ]
    rng = np.random.default_rng(0)
    ids = {n: tf.constant(rng.integers(0, size, 99), tf.int32) for n, size in sizes.items()}

    together = encode_crosses(crosses, ids)

    assert list(together) == ["a_x_b", "b_x_d", "d_x_c", "c_x_d", "b_x_a", "a_x_b_x_d"]
    for cross in crosses:
        name = cross.feature.name
        alone = encode_crosses([cross], ids)[name].numpy()
        assert together[name].numpy().tolist() == alone.tolist()
        assert alone.max() < cross.feature.size
    assert together["c_x_d"].numpy().tolist() == (ids["c"] * 7 + ids["d"]).numpy().tolist()


def test_descriptions_of_categories():
    line = "c: 4 ids (missing, 1 hash buckets, 2 tokens); wide, embedding 4"

    assert _categorical(["a", "b"]).describe() == [line]
