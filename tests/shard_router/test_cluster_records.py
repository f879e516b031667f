"""Records survive being written and read, by older and newer programs, and junk is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard_router.cluster_records import (
    BadRecord,
    ClusterPlan,
    MemberRecord,
    Report,
    Stewardship,
    View,
    decode_map,
    decode_member,
    decode_plan,
    encode_map,
    encode_record,
    member_key,
)
from shard_router.placement import BadSlotMap, place
from wire.names import ShardId

A, B = ShardId("shard-a"), ShardId("shard-b")
RECORD = MemberRecord(
    role="shard", id="shard-a", incarnation="0f", counter=3, address="[::1]:8101", weight=100, is_leaving=True,
    program="0.1.0", link_version=2, report=Report(map_version=7, served_version=6, slots=2048, rooms=9),
)  # fmt: skip
PLAN = ClusterPlan(version=4, weights={A: 100, B: 0}, pins={5: A}, moves={4095: B}, leaving=(B,))


def test_records_survive_writing_and_reading() -> None:
    assert decode_member(encode_record(RECORD)) == RECORD
    assert decode_plan(encode_record(PLAN)) == PLAN
    slot_map = place(3, {A: 1, B: 2})
    assert decode_map(encode_map(slot_map)) == slot_map
    assert decode_plan(None) == ClusterPlan()


def test_an_older_and_a_newer_program_read_each_others_records() -> None:
    newer = {**json.loads(encode_record(RECORD)), "colour": "blue"}
    assert decode_member(json.dumps(newer).encode()) == RECORD
    older = json.dumps({"role": "gateway", "id": "g", "incarnation": "1"}).encode()
    assert decode_member(older) == MemberRecord(role="gateway", id="g", incarnation="1")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_are_refused(data: bytes) -> None:
    for decode in (decode_member, decode_plan, decode_map):
        with pytest.raises((BadRecord, BadSlotMap)):
            decode(b"\xff" + data)


@pytest.mark.parametrize(
    "damage",
    [{"pins": {"4096": "a"}}, {"moves": {"-1": "a"}}, {"weights": {"a": 1001}}, {"weights": {"a": -1}}, {"pins": {"x": "a"}}],
)
def test_a_plan_out_of_bounds_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(BadRecord):
        decode_plan(json.dumps(damage).encode())


def test_keys_say_role_and_name() -> None:
    assert RECORD.key == "shard:shard-a" == member_key("shard", "shard-a")
    view = View(members={RECORD.key: RECORD, "gateway:g": MemberRecord(role="gateway", id="g", incarnation="1")})
    assert list(view.shards()) == [RECORD]


def test_a_stewardship_is_one_incarnations() -> None:
    assert Stewardship(3, RECORD.key, "0f").is_held_by(RECORD)
    assert not Stewardship(3, RECORD.key, "10").is_held_by(RECORD)
    assert not Stewardship(3).is_held_by(RECORD)
