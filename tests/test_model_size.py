"""trainer.model_size: what is too large is refused before it is allocated."""

import pytest

from trainer import model_size
from trainer.encoders import IdFeature, NumberFeature
from trainer.errors import UserError
from trainer.features import FeatureLayout
from trainer.model_config import ModelConfig
from trainer.model_size import check_size, memory_bytes


def layout_of(*ids):
    return FeatureLayout(ids=ids, numbers=(NumberFeature("age", wide=True, deep=True),))


SHOP = IdFeature("shop", 1000, wide=True, embedding_dim=8)
CITY = IdFeature("city", 500, wide=True, embedding_dim=0)
# 1500 in the wide part; 8000 embedded; 9 inputs, 4 and 2 units, 1 output.
BYTES = 2 * 4 * (1500 + 8000 + 9 * 4 + 4 * 2 + 2 * 1)


def test_model_that_fits_exactly_is_taken():
    check_size(layout_of(SHOP, CITY), ModelConfig(hidden_units=(4, 2)), 1, BYTES)


@pytest.mark.parametrize(
    ("towers", "outputs", "num_bytes"),
    [("both", 1, BYTES), ("wide", 2, 8 * 3000), ("deep", 1, BYTES - 8 * 1500)],
)
def test_model_of_one_weight_more_is_refused(towers, outputs, num_bytes):
    config = ModelConfig(hidden_units=(4, 2), towers=towers)
    check_size(layout_of(SHOP, CITY), config, outputs, num_bytes)
    with pytest.raises(UserError, match=r"^the model has .* weights, which take .* GB to train;"):
        check_size(layout_of(SHOP, CITY), config, outputs, num_bytes - 1)


def test_largest_part_is_named():
    huge = IdFeature("user", 2**30, wide=True, embedding_dim=181)
    with pytest.raises(UserError) as caught:
        check_size(layout_of(SHOP, huge), ModelConfig(), 1, 24 * 10**9)
    assert str(caught.value) == (
        "the model has 2e+11 weights, which take 1.6e+03 GB to train; this machine has 24 GB. The "
        "largest part is the embedding of user: lower its hash_buckets, bins, embedding_dim or "
        "model.hidden_units"
    )
    with pytest.raises(UserError, match="The largest part is hidden layer 2: "):
        check_size(layout_of(SHOP), ModelConfig(hidden_units=(65_536, 65_536)), 1, 24 * 10**9)


@pytest.mark.parametrize(
    ("options", "num_weights"),
    [
        # 9 inputs; widths 9 -> 4 -> 4: only the first layer's input needs a projection. One
        # output sees the last layer and the crosses.
        ({"hidden_units": (4, 4), "residual": True}, 9 * 4 * 2 + 4 * 4 + 4),
        ({"hidden_units": (4,), "cross_layers": 3}, 9 * 4 + 3 * 9 * 9 + 13),
        ({"hidden_units": (4,), "cross_layers": 3, "cross_rank": 2}, 9 * 4 + 3 * 2 * 9 * 2 + 13),
    ],
)
def test_projections_and_crosses_count(options, num_weights):
    config = ModelConfig(towers="deep", **options)
    num_bytes = 2 * 4 * (8000 + num_weights)
    check_size(layout_of(SHOP, CITY), config, 1, num_bytes)
    with pytest.raises(UserError):
        check_size(layout_of(SHOP, CITY), config, 1, num_bytes - 1)


def test_a_cross_network_that_is_the_largest_part_is_named():
    wide = IdFeature("tag", 2, wide=False, embedding_dim=4096)
    config = ModelConfig(cross_layers=64, towers="deep")
    with pytest.raises(UserError, match=r"part is the cross network \(model.cross_rank\): lower"):
        check_size(layout_of(wide), config, 1, 10**9)


def test_ids_that_int32_cannot_count_are_refused():
    ids = [IdFeature(f"c{i}", 2**30, wide=True, embedding_dim=0) for i in range(2)]
    with pytest.raises(
        UserError, match="of the wide part have 2147483648 ids, more than 2147483647"
    ):
        check_size(layout_of(*ids), ModelConfig(), 1, 10**15)
    check_size(layout_of(*ids), ModelConfig(towers="deep"), 1, 10**15)


def test_limit_of_a_container_counts(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(model_size, "_CGROUP_LIMIT", limit)
    machine = memory_bytes()
    assert machine > 10**8
    for text, expected in (("max\n", machine), ("50000000\n", 50_000_000), (f"{10**20}", machine)):
        limit.write_text(text)
        assert memory_bytes() == expected


def test_a_shared_embedding_counts_once():
    shared = [IdFeature(n, 1000, False, 8, shared="city") for n in ("from", "to")]
    num_bytes = 2 * 4 * (8000 + 17 * 1 + 1)
    config = ModelConfig(hidden_units=(1,), towers="deep")
    check_size(layout_of(*shared), config, 1, num_bytes)
    with pytest.raises(UserError, match="which take"):
        check_size(layout_of(*shared), config, 1, num_bytes - 1)


def test_pairs_of_ids_and_classes_that_int32_cannot_count_are_refused():
    ids = [IdFeature(n, size, True, 0) for n, size in (("a", 10), ("user", 2**20), ("b", 30))]
    config = ModelConfig(softmax="sampled")
    with pytest.raises(
        UserError,
        match=r"has 2147565568 pairs of ids and classes, .*\(towers: \[deep\]\): user, b, a$",
    ):
        check_size(layout_of(*ids), config, 2048, 10**15)
    check_size(layout_of(*ids), config, 2047, 10**15)
    check_size(layout_of(*ids), config.model_copy(update={"towers": "deep"}), 2048, 10**15)
