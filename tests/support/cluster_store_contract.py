"""What every store of a directory promises: one suite, run on each by a subclass that says how to open it."""

from collections.abc import Callable

import msgspec
import pytest

from shard_router.cluster_records import ClusterPlan, MemberRecord, Report, Stewardship, View
from shard_router.cluster_store import ClusterStore
from shard_router.placement import SlotMap, place
from wire.names import ShardId

A, B = ShardId("shard-a"), ShardId("shard-b")

OpenStore = Callable[[str], ClusterStore]
"""A connection to the cluster of this name."""


def member(name: str, incarnation: str = "first", counter: int = 0) -> MemberRecord:
    return MemberRecord(
        role="shard", id=name, incarnation=incarnation, counter=counter, address="10.0.0.1:8101", weight=100, program="0.1.0",
        report=Report(map_version=3, slots=7),
    )  # fmt: skip


def a_map(version: int) -> SlotMap:
    return place(version, {A: 1, B: 2})


class ClusterStoreContract:
    """Subclasses give `open_store`: a fixture whose value opens the same store by a cluster's name, again and again."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> ClusterStore:
        return open_store("town")

    # --- reading ------------------------------------------------------------------------------

    def test_a_new_store_is_empty(self, store: ClusterStore) -> None:
        assert store.look(0) == View()

    def test_what_one_writes_the_other_reads(self, open_store: OpenStore) -> None:
        one, other = open_store("town"), open_store("town")
        assert one.register(member("shard-a"), "")
        assert one.register(msgspec.structs.replace(member("g"), role="gateway"), "")
        assert one.campaign(member("shard-a"), 0)
        steward = Stewardship(1, "shard:shard-a", "first")
        assert one.write_map(a_map(1), steward, 0)
        plan = ClusterPlan(version=1, weights={A: 100, B: 0}, pins={4095: A}, moves={0: B}, leaving=(B,))
        assert one.write_plan(plan, 0)
        one.hint(B, "first")
        view = other.look(0)
        assert view.members == {
            "shard:shard-a": member("shard-a"), "gateway:g": msgspec.structs.replace(member("g"), role="gateway")
        }  # fmt: skip
        assert (view.map_version, view.slot_map, view.plan, view.steward) == (1, a_map(1), plan, steward)
        assert view.hints == {B: "first"}

    def test_a_map_that_the_reader_has_is_not_sent_again(self, store: ClusterStore) -> None:
        self.found(store)
        view = store.look(1)
        assert (view.map_version, view.slot_map) == (1, None)
        assert store.look(7).slot_map == a_map(1)

    def test_clusters_of_different_names_do_not_see_each_other(self, open_store: OpenStore) -> None:
        town, village = open_store("town"), open_store("village")
        self.found(town)
        town.hint(A, "first")
        assert town.introduce(["one"])
        assert village.look(0) == View()
        assert village.introduce(["two"])

    # --- whose cluster it is --------------------------------------------------------------------

    def test_another_secret_is_turned_away_and_a_rotation_is_followed(self, store: ClusterStore) -> None:
        assert store.introduce(["old"])
        assert store.introduce(["old"])
        assert not store.introduce(["other"])
        assert store.introduce(["old", "new"])
        assert store.introduce(["new", "old"])
        assert store.introduce(["new"])
        assert not store.introduce(["old"])
        assert store.look(0).fingerprint == "new"

    # --- members ----------------------------------------------------------------------------------

    def test_a_name_is_given_once_and_handed_on_to_who_names_the_last_incarnation(self, store: ClusterStore) -> None:
        assert store.register(member("shard-a", "first"), "")
        assert not store.register(member("shard-a", "second"), "")
        assert not store.register(member("shard-a", "second"), "zeroth")
        assert store.register(member("shard-a", "second"), "first")
        assert store.look(0).members["shard:shard-a"].incarnation == "second"

    def test_a_renewal_replaces_ones_own_record_and_nobody_elses(self, store: ClusterStore) -> None:
        store.register(member("shard-a", "first"), "")
        assert store.renew(member("shard-a", "first", 1))
        assert store.look(0).members["shard:shard-a"].counter == 1
        store.register(member("shard-a", "second"), "first")
        assert not store.renew(member("shard-a", "first", 2))
        assert store.look(0).members["shard:shard-a"] == member("shard-a", "second")

    def test_a_record_that_was_lost_is_written_anew(self, store: ClusterStore) -> None:
        assert store.renew(member("shard-a", "first", 9))
        assert store.look(0).members["shard:shard-a"].counter == 9

    def test_a_record_is_taken_out_only_for_its_own_incarnation(self, store: ClusterStore) -> None:
        store.register(member("shard-a", "second"), "")
        store.remove("shard:shard-a", "first")
        assert "shard:shard-a" in store.look(0).members
        store.remove("shard:shard-a", "second")
        store.remove("shard:shard-a", "second")
        assert store.look(0).members == {}

    def test_member_names_of_two_roles_do_not_meet(self, store: ClusterStore) -> None:
        assert store.register(member("one"), "")
        assert store.register(msgspec.structs.replace(member("one"), role="gateway"), "")
        assert len(store.look(0).members) == 2

    # --- the steward --------------------------------------------------------------------------------

    def found(self, store: ClusterStore) -> Stewardship:
        """Become steward and write map 1."""
        steward = Stewardship(1, "shard:shard-a", "first")
        assert store.campaign(member("shard-a"), 0)
        assert store.write_map(a_map(1), steward, 0)
        return steward

    def test_of_two_who_campaign_one_wins(self, open_store: OpenStore) -> None:
        one, other = open_store("town"), open_store("town")
        assert one.campaign(member("shard-a"), 0)
        assert not other.campaign(member("shard-b"), 0)
        assert other.campaign(member("shard-b"), 1)
        assert one.look(0).steward == Stewardship(2, "shard:shard-b", "first")

    def test_a_steward_whose_lease_was_taken_over_writes_no_map(self, open_store: OpenStore) -> None:
        one, other = open_store("town"), open_store("town")
        steward = self.found(one)
        assert other.campaign(member("shard-b"), 1)
        assert not one.write_map(a_map(2), steward, 1)
        assert other.write_map(a_map(2), Stewardship(2, "shard:shard-b", "first"), 1)
        assert one.look(0).map_version == 2

    def test_a_token_of_the_same_number_in_other_hands_is_another(self, store: ClusterStore) -> None:
        self.found(store)
        for stranger in (Stewardship(1, "shard:shard-b", "first"), Stewardship(1, "shard:shard-a", "second")):
            assert not store.write_map(a_map(2), stranger, 1)

    def test_a_map_is_written_over_the_one_that_was_meant(self, store: ClusterStore) -> None:
        steward = self.found(store)
        assert not store.write_map(a_map(9), steward, 0)
        assert not store.write_map(a_map(9), steward, 2)
        assert store.write_map(a_map(9), steward, 1)
        assert store.look(0).slot_map == a_map(9)

    def test_who_resigns_leaves_the_place_and_the_token(self, store: ClusterStore) -> None:
        steward = self.found(store)
        store.resign(member("shard-b"))
        store.resign(member("shard-a", "second"))
        assert store.look(0).steward == steward
        store.resign(member("shard-a"))
        assert store.look(0).steward == Stewardship(1)
        assert not store.write_map(a_map(2), steward, 1)
        assert store.campaign(member("shard-b"), 1)

    # --- the plan -------------------------------------------------------------------------------------

    def test_of_two_edits_of_one_plan_one_is_told_to_look_again(self, open_store: OpenStore) -> None:
        one, other = open_store("town"), open_store("town")
        assert one.write_plan(ClusterPlan(version=1, weights={A: 1}), 0)
        assert one.write_plan(ClusterPlan(version=2, weights={A: 2}), 1)
        assert not other.write_plan(ClusterPlan(version=2, weights={A: 3}), 1)
        assert other.look(0).plan.weights == {A: 2}

    # --- hints ------------------------------------------------------------------------------------------

    def test_a_hint_is_cleared_for_the_incarnation_that_was_looked_into(self, store: ClusterStore) -> None:
        store.hint(A, "first")
        store.hint(A, "first")
        store.hint(A, "second")
        store.clear_hint(A, "first")
        assert store.look(0).hints == {A: "second"}
        store.clear_hint(A, "second")
        store.clear_hint(A, "second")
        assert store.look(0).hints == {}
