"""trainer.columns: the kinds that there are."""

from trainer.columns import (
    COLUMN_KINDS,
)

POINTS = {"from_point": ("a", "b"), "to_point": ("c", "d")}


def test_every_kind_is_known_by_its_name():
    assert list(COLUMN_KINDS) == [
        "numeric",
        "vector",
        "bucketized",
        "categorical",
        "identity",
        "boolean",
        "multi_hot",
        "text",
        "datetime",
        "geo",
        "weight",
        "key",
        "ignore",
    ]
    assert all(cls.model_fields["kind"].default == kind for kind, cls in COLUMN_KINDS.items())
