"""trainer.wide_part: where it starts, and what it refuses."""

import pytest
import tensorflow as tf
from tiny_network import build
from tiny_table import make_features

from trainer.errors import UserError
from trainer.features import FeatureLayout, IdFeature


def test_wide_part_starts_at_the_offset():
    ids, numbers = make_features(5)
    logits = build(towers="wide", offset=-1.25)(tf.constant(ids), tf.constant(numbers))
    assert logits.numpy().tolist() == [[-1.25]] * 5


def test_a_wide_part_without_features_is_refused():
    layout = FeatureLayout((IdFeature("color", 5, wide=False, embedding_dim=2),), ())
    with pytest.raises(UserError, match=r"no column is in the wide part.*model.towers: deep"):
        build(layout)
