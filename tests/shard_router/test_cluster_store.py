"""The model of a directory's store keeps the contract, and its faults are those that it says."""

import pytest

from shard_router.cluster_store import StoreAway
from tests.support.cluster_store_contract import ClusterStoreContract, OpenStore, member
from tests.support.cluster_store_model import ClusterStoreModel


class TestClusterStoreModel(ClusterStoreContract):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        models: dict[str, ClusterStoreModel] = {}
        return lambda name: models.setdefault(name, ClusterStoreModel()).client()


def test_a_model_that_is_away_does_nothing_and_says_so() -> None:
    model = ClusterStoreModel(is_away=True)
    with pytest.raises(StoreAway):
        model.client().register(member("shard-a"), "")
    model.is_away = False
    assert model.client().look(0).members == {}


def test_a_reply_that_is_lost_is_of_something_that_happened() -> None:
    model = ClusterStoreModel(lose_replies=1)
    with pytest.raises(StoreAway):
        model.client().register(member("shard-a"), "")
    assert list(model.client().look(0).members) == ["shard:shard-a"]


def test_one_client_can_be_cut_off_alone() -> None:
    model = ClusterStoreModel()
    cut_off, other = model.client(), model.client()
    cut_off.is_cut_off = True
    with pytest.raises(StoreAway):
        cut_off.look(0)
    other.look(0)
