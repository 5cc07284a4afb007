"""trainer.table_plans: which features stand where."""

from trainer.encoders import IdFeature
from trainer.features import FeatureLayout
from trainer.table_plans import deep_plans, wide_plans


def feature(name, size, embedding_dim=2, wide=True, **options):
    return IdFeature(name, size, wide, embedding_dim, **options)


def plans_of(*features):
    layout = FeatureLayout(features, ())
    return wide_plans(layout, 3), deep_plans(layout)


def test_features_of_many_ids_have_a_table_of_their_own():
    (small, large), deep = plans_of(
        feature("a", 5), feature("b", 32_769, 0), feature("c", 32_768), feature("d", 9, wide=False)
    )
    assert (small.name, small.columns, small.width) == ("table", (0, 2), 3)
    assert small.sections == (range(0, 5), range(5, 32_773))
    assert (large.name, large.columns, large.sections) == ("table_large", (1,), (range(32_769),))
    assert [(p.name, p.columns, p.num_rows) for p in deep] == [("embedding_2", (0, 2, 3), 32_782)]


def test_each_width_has_its_tables_in_rising_order():
    _, deep = plans_of(feature("a", 5, 8), feature("b", 6, 3), feature("c", 7, 8))
    assert [(p.name, p.width, p.columns) for p in deep] == [
        ("embedding_3", 3, (1,)),
        ("embedding_8", 8, (0, 2)),
    ]


def test_a_feature_of_several_slots_has_as_many_columns():
    (wide,), _ = plans_of(feature("a", 5), feature("tags", 9, slots=3), feature("b", 4))
    assert wide.columns == (0, 1, 2, 3, 4)
    assert wide.sections == (range(0, 5), range(5, 14), range(14, 18))
    assert wide.id_spaces == ((5, 1), (9, 3), (4, 1))


def test_a_shared_embedding_is_one_section_and_wide_weights_are_two():
    shared = {"shared": "city"}
    # A column that happens to have the group's name shares nothing with it.
    features = (feature("from", 6, **shared), feature("city", 4), feature("to", 6, 2, **shared))
    (wide,), (deep,) = plans_of(*features)
    assert wide.sections == (range(0, 6), range(6, 10), range(10, 16))
    assert deep.sections == (range(0, 6), range(6, 10), range(0, 6))
    assert (deep.num_rows, deep.id_spaces) == (10, ((6, 2), (4, 1)))


def test_frozen_embeddings_have_a_table_that_is_not_trained():
    features = feature("a", 5), feature("b", 40_000, frozen=True), feature("c", 3)
    wide, deep = plans_of(*features)
    assert [p.columns for p in wide] == [(0, 2), (1,)]
    assert [(p.name, p.columns, p.is_trained) for p in deep] == [
        ("embedding_2", (0, 2), True),
        ("embedding_2_frozen", (1,), False),
    ]
